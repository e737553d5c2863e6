"""Real servers, a real Prometheus and a private Postgres on loopback, for as long as a check runs."""

import base64
import contextlib
import glob
import json
import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def server_binary():
    candidates = [os.environ.get("OAUTH2_SERVER_BIN"), ROOT / "target/release/oauth2_server", ROOT / "target/debug/oauth2_server"]
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return Path(candidate).resolve()
    raise SystemExit("no oauth2_server: build it (cargo build --release), or name it by OAUTH2_SERVER_BIN")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def get(url, headers=None, timeout=10):
    with OPENER.open(urllib.request.Request(url, headers=headers or {}), timeout=timeout) as response:
        return response.read()


def is_up(url):
    try:
        get(url, timeout=2)
        return True
    except (OSError, urllib.error.URLError):
        return False


class Stack(contextlib.ExitStack):
    """Starts processes in a directory of its own, and ends them, the last one first."""

    def __init__(self, directory):
        super().__init__()
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)

    def start(self, name, command, environment=None, directory=None, user=None):
        directory = Path(directory or self.directory / name)
        directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(part) for part in command], cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, **(user or {}),
            )  # fmt: skip
        self.callback(end, process)
        return process

    def wait_for(self, name, process, is_ready, seconds=60):
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if is_ready():
                return
            if process.poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit(f"{name} is not ready:\n" + (self.directory / f"{name}.log").read_text(errors="replace")[-2000:])


def end(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Server:
    def __init__(self, stack, name="server", database=None, options=None):
        """On SQLite in its own directory, or on the database of a URL."""
        self.name, self.directory = name, stack.directory / name
        public, management = free_ports(2)
        self.url, self.management = f"http://127.0.0.1:{public}", f"http://127.0.0.1:{management}"
        self.target = f"127.0.0.1:{management}"
        self.token = secrets.token_hex(32)
        self.environment = {
            "PATH": os.environ["PATH"],
            "OAUTH2_SERVER_PORT": str(public),
            "OAUTH2_MANAGEMENT_PORT": str(management),
            "OAUTH2_SERVER_DRAIN_DELAY": "0",
            "OAUTH2_ADMIN_TOKEN": self.token,
            "OAUTH2_LOG_FORMAT": "json",
            **(on_postgres(database) if database else {}),
            **(options or {}),
        }
        self.command = [server_binary()]
        self.process = stack.start(name, self.command, self.environment)
        stack.wait_for(name, self.process, lambda: is_up(f"{self.url}/ready"))

    def metrics(self):
        return get(f"{self.management}/metrics").decode()


def on_postgres(url):
    return {"OAUTH2_DATABASE_URL": url, "OAUTH2_KEY_ENCRYPTION_KEY": base64.b64encode(secrets.token_bytes(32)).decode()}


class Postgres:
    """A private server. initdb does not run as root."""

    def __init__(self, stack):
        binaries = Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))[-1])
        self.directory = stack.directory / "postgres"
        self.directory.mkdir(parents=True)
        user = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            for path in (self.directory, *self.directory.parents[:1]):
                os.chmod(path, 0o755)
            os.chown(self.directory, account.pw_uid, account.pw_gid)
        data = self.directory / "data"
        subprocess.run(
            [binaries / "initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-D", data],
            check=True, cwd=self.directory, stdout=subprocess.DEVNULL, **user,
        )  # fmt: skip
        (self.port,) = free_ports(1)
        command = [
            binaries / "postgres", "-D", data, "-p", self.port, "-c", "listen_addresses=127.0.0.1",
            "-c", f"unix_socket_directories={self.directory}", "-c", "max_connections=100", "-c", "fsync=off",
        ]  # fmt: skip
        self.process = stack.start("postgres", command, directory=self.directory, user=user)
        probe = [binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        stack.wait_for("postgres", self.process, lambda: subprocess.run(probe).returncode == 0)
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"


class Prometheus:
    def __init__(self, stack, targets, rules=(), interval="1s", job="oauth2-server"):
        """`targets`: address by the value of the label `instance`. The intervals of rule groups are replaced by `interval`."""
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        directory = stack.directory / "prometheus"
        directory.mkdir(parents=True, exist_ok=True)
        for path in rules:
            text = Path(path).read_text()
            (directory / Path(path).name).write_text(re.sub(r"(?m)^(\s*-?\s*\"?interval\"?:\s*).*$", rf"\g<1>{interval}", text))
        config = {
            "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
            "rule_files": [str(directory / Path(path).name) for path in rules],
            "scrape_configs": [
                {
                    "job_name": job,
                    "static_configs": [{"targets": [address], "labels": {"instance": name}} for name, address in targets.items()],
                }
            ],
        }
        (directory / "prometheus.yml").write_text(json.dumps(config, indent=2))
        command = [
            shutil.which("prometheus") or "prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data",
            f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver",
        ]  # fmt: skip
        self.process = stack.start("prometheus", command)
        stack.wait_for("prometheus", self.process, lambda: is_up(f"{self.url}/-/ready"))

    def call(self, path, **parameters):
        """The `data` of an answer. A query that Prometheus rejects raises ValueError with its message."""
        body = urllib.parse.urlencode(parameters, doseq=True)
        try:
            answer = json.loads(get(f"{self.url}/api/v1/{path}?{body}", timeout=60))
        except urllib.error.HTTPError as error:
            raise ValueError(json.loads(error.read()).get("error", str(error))) from error
        return answer["data"]

    def range(self, expr, start, end, step):
        return self.call("query_range", query=expr, start=start, end=end, step=step)["result"]

    def instant(self, expr, at):
        return self.call("query", query=expr, time=at)["result"]
