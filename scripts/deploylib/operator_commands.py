"""Commands of operators, as pages of docs/operations have them, on two nodes that run: addresses, ids and times are those of the check."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable

from edge.cluster import Cluster, Node
from edge.programs import ROOT, run, wait_for
from edge.report import NotRun, expect
from edge.wire import basic
from hostlib import doc


class Operator:
    """A shell on the host of the first node, with its configuration."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.node = cluster, cluster.nodes[0]
        self.home = cluster.directory / "operator"
        programs = self.home / "programs"
        programs.mkdir(parents=True)
        (programs / "oauth2_server").symlink_to(cluster.binary)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("OAUTH2_")}, **cluster.settings, "PATH": f"{programs}:{cluster.postgres.binaries}:{os.environ['PATH']}", "NO_PROXY": "127.0.0.1",
            "OAUTH2_SERVER_PORT": str(self.node.port), "OAUTH2_MANAGEMENT_PORT": str(self.node.management), "OAUTH2_LOG_LEVEL": "error"}

    def run(self, script: str, code: int = 0, **environment: str) -> str:
        """Runs commands, which must end with this exit code; returns what they printed."""
        # `head` ends early, and with it what writes to it.
        options = [] if "| head" in script else ["-o", "pipefail"]
        seen, output = run(["/bin/bash", *options, "-ec", script], cwd=self.home, env=self.environment | environment)
        expect(seen == code, f"exit code {seen}: {output[-500:]}")
        return output

    def local(self, text: str) -> str:
        """The commands with the management port of the node."""
        return doc.replace(text, ("127.0.0.1:8081", f"127.0.0.1:{self.node.management}"))

    def status(self, node: Node, client: str, secret: str, address: str = "127.0.0.1") -> str:
        """The status of a token request of a client that a proxy passes on."""
        header = basic(client, secret)["Authorization"]
        return run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: {header}", "-H", f"X-Forwarded-For: {address}",
                    "-d", "grant_type=client_credentials", f"http://127.0.0.1:{node.port}/oauth/token"], env=self.environment)[1]

    def create(self, client: str) -> str:
        secret = str(self.cluster.admin("POST", "/clients", {"client_id": client})["client_secret"])
        for node in self.cluster.nodes:
            wait_for(f"a node knowing {client}", lambda node=node: self.status(node, client, secret) == "200", 10)  # type: ignore[misc]
        return secret


def health(operator: Operator) -> str:
    """maintenance.md and the first block of troubleshooting.md."""
    output = operator.run(doc.block("maintenance.md", "oauth2_server doctor"))
    expect("signing keys unwrap" in output, output)
    text = operator.local(doc.block("troubleshooting.md", "oauth2_server top"))
    output = operator.run(doc.replace(text, ("oauth2_server top", "oauth2_server top --views 1 --interval 1")))
    expect("signing keys unwrap" in output and "\noauth2_server_build_info" in output and "# HELP" not in output, output[-500:])
    return "doctor passes, top shows a view, the metrics are those of the node"


def memory(operator: Operator) -> str:
    assert operator.node.process
    output = operator.run(operator.local(doc.block("troubleshooting.md", "smaps_rollup")), PID=str(operator.node.process.pid))
    expect(re.search(r"(?m)^oauth2_server_process_resident_memory_bytes \d+", output) and re.search(r"(?m)^Rss: +\d+ kB", output), output)
    return "resident memory by the metric and by the kernel"


def perf(operator: Operator) -> str:
    if not shutil.which("perf"):
        raise NotRun("perf is not installed (Debian: linux-perf)")
    assert operator.node.process
    process = str(operator.node.process.pid)
    code, output = run(["perf", "record", "-F", "99", "-g", "-p", process, "-o", operator.home / "probe", "--", "true"])
    if code:
        raise NotRun(f"perf may not be used here: {output[-100:]}")
    processor = doc.replace(doc.block("troubleshooting.md", "-F 99"), ("sleep 30", "sleep 4"))
    faults = doc.replace(doc.block("troubleshooting.md", "page-faults"), ("sleep 60", "sleep 4"))
    client, secret = operator.cluster.client_id, operator.cluster.client_secret
    load = f"while :; do curl -sS -o /dev/null -u {client}:{secret} -d grant_type=client_credentials http://127.0.0.1:{operator.node.port}/oauth/token; done"
    loader = subprocess.Popen(["/bin/bash", "-c", load], env=operator.environment, stderr=subprocess.DEVNULL)
    try:
        threads = operator.run(processor, PID=process)
        places = operator.run(faults, PID=process)
    finally:
        loader.kill()
        loader.wait()
    expect("Samples:" in threads and re.search(r"(?m)^ +[\d.]+% +\S", threads), threads[-500:])
    expect("page-faults" in places and re.search(r"(?m)^ +[\d.]+% +\S", places), places[-500:])
    return "threads and functions by perf record, and first uses of pages, under load"


def workers(operator: Operator) -> str:
    """The block of scaling.md: the number of workers on all cores, and on one."""
    output = operator.run(doc.block("scaling.md", "taskset"))
    found = [int(number) for number in re.findall(r"server\.workers\D*(\d+)", output)]
    expect(len(found) == 2 and found[1] == 1 and found[0] == min(len(os.sched_getaffinity(0)), found[0]) >= 1, output)
    return f"{found[0]} workers, 1 on one core"


def tuning(operator: Operator) -> str:
    """The first block of scaling.md: `tune` prints the line of the page; the patch is applied to the file of this repository."""
    tune, patch = doc.block("scaling.md", "deploy/postgres/tune").splitlines()
    output = operator.run(doc.replace(tune, ("deploy/postgres/tune", f"{ROOT}/deploy/postgres/tune")))
    documented = doc.block("scaling.md", "# Connections:", "text")
    expect(output == documented, f"{output} instead of {documented}")
    kubectl = ROOT / "target/tools/deploy/python/bin/kubectl"
    if not kubectl.exists():
        return "the page shows what tune prints; kubectl is not installed"
    autoscaler = ROOT / "deploy/kubernetes/base/autoscaler.yaml"
    local = doc.replace(patch, ("kubectl -n oauth2-production patch hpa oauth2-hpa", f"{kubectl} patch --local -o yaml -f {autoscaler}"))
    output = operator.run(local)
    expect("minReplicas: 5" in output and "name: oauth2-hpa" in output, output[-400:])
    return "the page shows what tune prints; the patch changes the file of the autoscaler (kubectl patch --local)"


def persons(operator: Operator) -> str:
    """compliance.md: what is held of a client and of an address, and the erasure."""
    secret = operator.create("ci-0042")
    expect(operator.status(operator.node, "ci-0042", "wrong", "192.0.2.7") == "401", "a wrong secret is accepted")
    access = doc.block("compliance.md", "oauth2_server client show ci-0042")

    def complete() -> bool:
        return "auth.failed" in operator.run(access, READ_URL=operator.cluster.postgres.url)

    wait_for("the row of the failed authentication", complete, 10)
    output = operator.run(access, READ_URL=operator.cluster.postgres.url)
    expect("ci-0042" in output and "client.create" in output and "(1 row)" in output, output)
    operator.run(doc.block("compliance.md", "oauth2_server client delete ci-0042"))
    wait_for("the end of the client", lambda: operator.status(operator.cluster.nodes[1], "ci-0042", secret) == "401", 10)
    return "client, audit rows and the row of the address; after the erasure 401"


def follow(operator: Operator) -> str:
    """compliance.md and disaster-recovery.md: the audit log as it is written, and the rows without a mistake."""
    exported = doc.replace(doc.block("compliance.md", "audit list --follow"), ("/var/log/oauth2-audit.jsonl", f"{operator.home}/exported.jsonl"))
    kept = doc.block("disaster-recovery.md", "audit list --follow")
    followers = [operator.cluster.programs.start(["/bin/bash", "-ec", script], operator.home / "follow.log", env=operator.environment, cwd=operator.home)
                 for script in (exported, kept)]

    def both(word: str) -> bool:
        return all(file.exists() and word in file.read_text() for file in (operator.home / "exported.jsonl", operator.home / "audit.jsonl"))

    try:
        time.sleep(1.5)
        operator.create("followed")
        operator.cluster.admin("POST", "/clients/followed/disable")
        operator.create("mistake")
        wait_for("the rows of changes", lambda: both('"mistake"'), 15)
    finally:
        for follower in followers:
            # Each has a session of its own. The shell passes no signal on to the program, which would follow for ever.
            os.killpg(follower.pid, signal.SIGTERM)
            operator.cluster.programs.stop(follower)
    run(["curl", "-sS", "-X", "DELETE", "-H", f"Authorization: Bearer {operator.cluster.admin_token}",
         f"http://127.0.0.1:{operator.node.management}/admin/v1/clients/mistake"], env=operator.environment)
    wait_for("the row in the log", lambda: '"client.delete"' in operator.cluster.log(operator.node).read_text(), 10)
    shutil.copy(operator.cluster.log(operator.node), operator.home / "node-a.jsonl")
    operator.run(doc.block("disaster-recovery.md", 'select(.target == "audit"'))
    rows = (operator.home / "kept.jsonl").read_text()
    expect('"client.create"' in rows and '"client.delete"' not in rows, rows[-300:])
    return f"--follow writes each change, also into a file of the restore; jq keeps {len(rows.splitlines())} rows and leaves out the deletion"


def pipeline(operator: Operator) -> str:
    """"In a pipeline" of clients-as-files.md."""
    files = operator.home / "clients"
    files.mkdir()
    (files / "clients.yaml").write_text("owner: pipeline\nclients:\n  - client_id: piped\n    secret_file: piped.secret\n")
    review, merge = doc.block("clients-as-files.md", "--exit-code").splitlines()
    (files / "piped.secret").write_text("a-secret-of-the-pipeline-0123456789abcdef\n")
    output = operator.run(review, code=1)
    expect("+ piped" in output and "1 to create" in output, output)
    operator.run(merge)
    output = operator.run(review)
    expect("1 unchanged" in output, output)
    return "1 in a review where the store differs, then 0"


def rotation(operator: Operator) -> str:
    """rotation.md: secrets of clients, scripts that use an admin token, operators as clients."""
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    old = operator.create("ci")
    secrets = [line for line in doc.block("rotation.md", "rotate-secret ci --overlap 86400").splitlines()]
    new = secret_in(operator.run(secrets[0]))
    second = operator.cluster.nodes[1]
    wait_for("the new secret", lambda: operator.status(second, "ci", new) == "200", 10)
    expect(operator.status(second, "ci", old) == "200", "the old secret is refused within its overlap")
    newest = secret_in(operator.run(secrets[1]))
    wait_for("the end of the old secrets", lambda: operator.status(second, "ci", new) == "401", 10)
    expect(operator.status(second, "ci", newest) == "200" and operator.status(second, "ci", old) == "401", "after the leak")
    used = operator.run(doc.replace(doc.block("rotation.md", "uniq -c"), ("2026-11-30T14:00:00Z", began)))
    expect(re.search(r"(?m)^ +\d+ admin_token:[0-9a-f]{8}$", used), used)

    text = doc.replace(doc.block("rotation.md", "--scope oauth2.admin"), ("--audience https://auth.example.com", f"--audience {operator.cluster.settings['OAUTH2_ISSUER']}"),
                       ("https://auth.example.com/", f"http://127.0.0.1:{operator.node.port}/"), ("10.0.1.10:8081", f"127.0.0.1:{operator.node.management}"))
    create, use = text.split("\n", 1)
    secret = secret_in(operator.run(create))
    wait_for("the node knowing the operator", lambda: operator.status(operator.node, "ops", secret) == "200", 10)
    output = operator.run(use, SECRET=secret)
    expect('"client_id":"ops"' in output and secret_in(output) != secret, output[-300:])
    return "an overlap of a day, an end at once, the digits of the admin token that was used, and an operator as a client"


def secret_in(output: str) -> str:
    """The secret that a subcommand printed; it may begin or end with a hyphen."""
    found = re.search(r"(?<![\w-])([\w-]{43,})(?![\w-])", output)
    expect(found, output)
    assert found
    return found[1]


def steps(cluster: Cluster) -> list[tuple[str, Callable[[], str]]]:
    operator = Operator(cluster)
    named = {"maintenance.md, troubleshooting.md: doctor, top, metrics": health, "troubleshooting.md: memory": memory, "troubleshooting.md: perf": perf,
             "scaling.md: workers": workers, "scaling.md: connections": tuning, "compliance.md: access and erasure": persons,
             "compliance.md, disaster-recovery.md: the audit log": follow, "clients-as-files.md: in a pipeline": pipeline,
             "rotation.md: clients and operators": rotation}
    return [(f"commands of {what}", lambda step=step: step(operator)) for what, step in named.items()]  # type: ignore[misc]
