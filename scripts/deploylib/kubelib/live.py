"""Starts the real server with the environment, arguments, user, volumes and ports of each manifest, and asks its probes."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from databases import Databases
from report import CheckError, Report
from rules import PROBES, ending_seconds
from sandbox import Sandbox, certificates, require_exit, variables
from tools import CHART, KUSTOMIZE, OVERLAYS, Object, binary, container, helm_template, kustomize, of_kind, one, one_line, parse, run

NAMES = ["postgres.database.svc", "db-a.internal", "db-b.internal", "redis.redis.svc", "otel-collector.observability.svc"]


def get(url: str, timeout: float = 5, **headers: str) -> int:
    return request(url, None, timeout, **headers)[0]


def request(url: str, form: bytes | None, timeout: float = 5, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, form, headers), timeout=timeout) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


class Pod:
    """One container of a manifest, running."""

    def __init__(self, sandbox: Sandbox, workload: Object, files: dict[str, str], log: Path, changes: dict[str, str] | None = None) -> None:
        self.workload, self.log, self.sandbox = workload, log, sandbox
        self.variables = variables(workload) | (changes or {})
        self.root = sandbox.root(binary(), files, workload)
        self.ports = {port["name"]: port["containerPort"] for port in container(workload)["ports"]}
        command = sandbox.command(self.root, workload, container(workload)["args"])
        with open(log, "ab") as sink:
            self.process = subprocess.Popen(command, env=self.variables, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A subcommand, as `kubectl exec` runs it."""
        return run(self.sandbox.command(self.root, self.workload, list(arguments)), env=self.variables)

    def probe(self, name: str) -> int:
        found = container(self.workload)[name]["httpGet"]
        return get(f"http://127.0.0.1:{self.ports[found['port']]}{found['path']}", container(self.workload)[name]["timeoutSeconds"])

    def wait_ready(self, url: str | None = None) -> None:
        for _ in range(600):
            if self.process.poll() is not None:
                raise CheckError(f"the server ended with {self.process.returncode}: {one_line(self.log.read_text()[-600:])}")
            status = get(url) if url else self.probe("readinessProbe")
            if status == 200:
                return
            if status not in (0, 503):
                raise CheckError(f"the readiness probe got {status}")
            time.sleep(0.05)
        raise CheckError(f"the server is not ready after 30 s: {one_line(self.log.read_text()[-600:])}")

    def token(self, secret: str) -> tuple[int, str]:
        basic = base64.b64encode(f"demo-check:{secret}".encode()).decode()
        return request(f"http://127.0.0.1:{self.ports['http']}/oauth/token", b"grant_type=client_credentials", Authorization=f"Basic {basic}")

    def create_client(self) -> str:
        done = self.command("client", "create", "--id", "demo-check", "--scope", "read", "--json")
        if done.returncode != 0:
            raise CheckError(f"client create ended with {done.returncode}: {one_line(done.stderr)}")
        secret: str = json.loads(done.stdout)["client_secret"]
        # A running server learns of a client that a subcommand created within a second.
        for _ in range(40):
            if self.token(secret)[0] == 200:
                break
            time.sleep(0.05)
        return secret

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def check_metric(pod: Pod) -> None:
    """The counter that the rule of Prometheus Adapter reads exists, with the labels that it selects by."""
    rule = yaml.safe_load((KUSTOMIZE / "components/hpa-requests/prometheus-adapter-rules.yaml").read_text())["rules"]["custom"][0]
    name = rule["seriesQuery"].partition("{")[0]
    routes = re.search(r'route=~"([^"]+)"', rule["metricsQuery"])
    metrics = request(f"http://127.0.0.1:{pod.ports['management']}/metrics", None)[1]
    found = set(re.findall(rf'^{name}{{[^}}]*route="([^"]+)"[^}}]*}} [1-9]', metrics, re.MULTILINE))
    if not routes or not any(re.fullmatch(routes[1], route) for route in found):
        raise CheckError(f"/metrics has no {name} of the routes of the adapter's rule; it has counted {sorted(found)}")


def check_shutdown(pod: Pod, secret: str) -> float:
    """SIGTERM: not ready at once, tokens during the delay, exit code 0 in time. Returns the seconds that it took."""
    pod.process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    while pod.probe("readinessProbe") != 503:
        if time.monotonic() - started > 0.5:
            raise CheckError("/ready does not answer 503 after SIGTERM")
        time.sleep(0.02)
    if pod.probe("livenessProbe") != 200:
        raise CheckError("/health does not answer 200 while the server drains")
    # Near the end of the delay, when the last load balancer may have noticed.
    time.sleep(max(0.0, (ending_seconds(pod.workload) - 4) * 0.9 - (time.monotonic() - started)))
    status, body = pod.token(secret)
    if status != 200:
        raise CheckError(f"a token request near the end of the drain delay got {status}: {one_line(body)}")
    grace = pod.workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    code = require_exit(pod.process, grace - (time.monotonic() - started), pod.log)
    if code != 0:
        raise CheckError(f"the server ended with {code} after SIGTERM: {one_line(pod.log.read_text()[-300:])}")
    return time.monotonic() - started


def check_manifest(report: Report, name: str, workload: Object, sandbox: Sandbox, files: dict[str, str]) -> None:
    pod = Pod(sandbox, workload, files, sandbox.directory / f"{name.split()[0]}.log")
    try:
        pod.wait_ready()
        asked = {probe: pod.probe(probe) for probe in PROBES}
        if set(asked.values()) != {200}:
            raise CheckError(f"probes got {asked}")
        checked = pod.command("config", "check", "--strict")
        if checked.returncode != 0:
            raise CheckError(f"config check --strict: {one_line(checked.stderr)}")
        secret = pod.create_client()
        status, body = pod.token(secret)
        if status != 200 or "access_token" not in body:
            raise CheckError(f"a token request got {status}: {one_line(body)}")
        for host, wanted in (("oauth2-server-management:8081", 200), (f"oauth2-server-management.{name}.svc:8081", 200), ("evil.example", 421)):
            if (seen := get(f"http://127.0.0.1:{pod.ports['management']}/metrics", Host=host)) != wanted:
                raise CheckError(f"/metrics for the host {host} got {seen}, not {wanted}")
        check_metric(pod)
        seconds = check_shutdown(pod, secret)
        user = workload["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
        grace = workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        report.ok(
            f"{name}: the server with this environment, uid {user}, no capabilities and a read-only root answers the three probes and issues a "
            f"token; after SIGTERM /ready is 503 at once, tokens are issued until the delay ends, it exits with 0 after {seconds:.1f} s of {grace} s"
        )
    except CheckError as error:
        report.failed(f"{name}: the server with the environment of the manifest", str(error))
    finally:
        pod.kill()


def check_migration(report: Report, workload: Object, sandbox: Sandbox, files: dict[str, str], databases: Databases) -> None:
    """Three Pods that start at once on an empty database: one migrates, the others wait, all become ready."""
    databases.new_database()
    pods = []
    try:
        for number in range(3):
            ports = {"OAUTH2_SERVER_PORT": str(9000 + 2 * number), "OAUTH2_MANAGEMENT_PORT": str(9001 + 2 * number)}
            pods.append(Pod(sandbox, workload, files, sandbox.directory / f"migration{number}.log", ports))
        for number, pod in enumerate(pods):
            pod.wait_ready(f"http://127.0.0.1:{9001 + 2 * number}/ready")
        versions, distinct = databases.sql("SELECT count(*) || ' ' || count(DISTINCT version) FROM refinery_schema_history", "oauth2").split()
        keys, algorithms = databases.sql("SELECT count(*) || ' ' || count(DISTINCT algorithm) FROM signing_keys", "oauth2").split()
        if versions != distinct or versions == "0":
            raise CheckError(f"{versions} migrations with {distinct} versions in the history")
        if keys != algorithms or keys == "0":
            raise CheckError(f"{keys} signing keys for {algorithms} algorithms")
        used = int(databases.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'oauth2'"))
        allowed = 3 * (int(pods[0].variables["OAUTH2_DATABASE_MAX_CONNECTIONS"]) + 1)
        if used > allowed:
            raise CheckError(f"3 Pods have {used} connections to Postgres, more than the {allowed} that are counted")
        report.ok(f"base: 3 Pods started at once on an empty Postgres; {versions} migrations applied once, one signing key for each of {keys} algorithms, all ready")
    except CheckError as error:
        report.failed("base: 3 Pods started at once on an empty Postgres", str(error))
    finally:
        for pod in pods:
            pod.kill()


def check_lost_database(report: Report, workload: Object, sandbox: Sandbox, files: dict[str, str]) -> None:
    """A Pod without a database is alive and not ready: it must not be restarted."""
    wrong = {"OAUTH2_DATABASE_URL": variables(workload)["OAUTH2_DATABASE_URL"].replace(":5432", ":5433")}
    pod = Pod(sandbox, workload, files, sandbox.directory / "lost.log", wrong)
    try:
        time.sleep(2)
        seen = {name: pod.probe(name) for name in PROBES}
        if seen != {"startupProbe": 200, "livenessProbe": 200, "readinessProbe": 503}:
            raise CheckError(f"probes got {seen}")
        report.ok("base: without its database a Pod is started, alive and not ready")
    except CheckError as error:
        report.failed("base: a Pod without its database", str(error))
    finally:
        pod.kill()


def check_all(report: Report, directory: Path) -> None:
    """The directory is empty. A tmpfs covers it, in this namespace alone, so nothing is left in it."""
    base = one(parse(kustomize(KUSTOMIZE / "base")), "Deployment")
    sandbox = Sandbox(directory, NAMES)
    certificates(directory / "tls", NAMES)
    databases = Databases(directory, directory / "tls", int(base["metadata"]["annotations"]["oauth2-server/postgres-max-connections"]))
    databases.start()
    authority = (directory / "tls/ca.pem").read_text()
    files = {
        "database_password": databases.database_password, "database_ca.pem": authority,
        "redis_password": databases.redis_password, "redis_ca.pem": authority,
        "key_encryption_key": base64.b64encode(secrets.token_bytes(32)).decode(), "admin_token": secrets.token_hex(32),
    }
    manifests = {f"overlay-{name}": parse(kustomize(KUSTOMIZE / "overlays" / name)) for name in OVERLAYS}
    manifests["chart"] = parse(helm_template("-f", CHART / "ci/everything-values.yaml"))
    for name, objects in manifests.items():
        databases.new_database()
        check_manifest(report, name, of_kind(objects, "Deployment")[0], sandbox, files)
    check_migration(report, base, sandbox, files, databases)
    check_lost_database(report, base, sandbox, files)


def main() -> int:
    report = Report(os.environ.get("CHECK_SYSTEM", "kubernetes"))
    scratch = Path(sys.argv[1])
    try:
        check_all(report, scratch)
    except CheckError as error:
        report.failed("the server with the environment of each manifest", str(error))
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
