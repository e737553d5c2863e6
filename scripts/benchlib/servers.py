"""The programs that are compared: the ceiling and the server under test."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import time
from pathlib import Path

from .http_client import basic_authorization, get, post
from .processes import BenchError, Processes, free_port

#: The server's clients with their options. Ids have the same length, so that all requests and responses do.
CLIENTS: dict[str, list[str]] = {
    "bench-p": ["--format", "paseto"],
    "bench-s": ["--format", "paseto", "--ledger", "stateless"],
    "bench-j": ["--format", "jwt", "--signing-alg", "EdDSA"],
    "bench-o": ["--format", "opaque"],
    # Its tokens are issued in advance and must remain valid during all rounds.
    "bench-u": ["--format", "paseto", "--ledger", "stateless", "--lifetime", "7200"],
}
GRANT = "grant_type=client_credentials&scope=read+write"


class Ceiling:
    def __init__(self, processes: Processes, binary: Path, workers: int, directory: Path) -> None:
        self.process = processes.start([str(binary), "--workers", str(workers)], directory / "ceiling.log",
                                       stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], 10)
        line = self.process.stdout.readline().decode().split() if readable else []
        if len(line) != 2 or line[0] != "ready":
            raise BenchError(f"the ceiling did not start; see {directory / 'ceiling.log'}")
        self.port = int(line[1])
        self.authorization = basic_authorization("bench-p", "x" * 50)

    @property
    def pid(self) -> int:
        return self.process.pid


class Server:
    """`oauth2_server` on one store."""

    def __init__(self, processes: Processes, binary: Path, name: str, store: str, workers: int,
                 directory: Path) -> None:
        self.processes, self.binary, self.name = processes, binary, name
        self.workers = workers
        self.home = directory / f"server-{name}"
        self.home.mkdir()
        self.log = directory / f"server-{name}.log"
        self.port, self.management = free_port(), free_port()
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("OAUTH2_")}
        self.env |= {
            "OAUTH2_DATABASE_URL": store,
            "OAUTH2_SERVER_PORT": str(self.port),
            "OAUTH2_MANAGEMENT_PORT": str(self.management),
            "OAUTH2_SERVER_DRAIN_DELAY": "0",
            "OAUTH2_ISSUER": f"http://127.0.0.1:{self.port}",
            "OAUTH2_KEY_ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode(),
            "OAUTH2_LOG_FORMAT": "json",
        }
        self.authorization: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None
        #: The standard output of the last run, if it was captured.
        self.stdout = ""

    def command(self, *arguments: str) -> str:
        """Runs a subcommand and returns its standard output."""
        # Not with `binary`: the allocation-counting build prints its counts on stdout.
        return self.processes.run([str(self.binary.with_name("oauth2_server")), *arguments], timeout=60, env=self.env, cwd=self.home)

    def prepare(self) -> None:
        """Creates the schema and the clients."""
        self.command("migrate")
        for client, options in CLIENTS.items():
            created = self.command("client", "create", "--id", client, "--grant", "client_credentials", "--scope",
                                   "read write", *options, "--json")
            self.authorization[client] = basic_authorization(client, json.loads(created)["client_secret"])

    def join(self, other: Server) -> None:
        """Makes this server another node of the same issuer, on the same store."""
        self.authorization = other.authorization
        for shared in ("OAUTH2_KEY_ENCRYPTION_KEY", "OAUTH2_ISSUER"):
            self.env[shared] = other.env[shared]

    def start(self, capture_stdout: bool = False) -> float:
        """Starts the server; returns the seconds until the first 200 of /ready."""
        began = time.monotonic()
        env = self.env | {"OAUTH2_SERVER_WORKERS": str(self.workers)}
        self.process = self.processes.start([str(self.binary)], self.log, env=env, cwd=self.home,
                                            stdout=subprocess.PIPE if capture_stdout else None)
        while True:
            if self.is_ready():
                return time.monotonic() - began
            if self.process.poll() is not None or time.monotonic() > began + 60:
                raise BenchError(f"{self.name} did not become ready; see {self.log}")
            time.sleep(0.002)

    def is_ready(self) -> bool:
        response = get(self.port, "/ready")
        return response is not None and response[0] == 200

    def stop(self) -> None:
        if self.process:
            self.processes.stop(self.process)
            if self.process.stdout:
                self.stdout = self.process.stdout.read().decode()
            self.process = None

    @property
    def pid(self) -> int:
        if self.process is None:
            raise BenchError(f"{self.name} is not running")
        return self.process.pid

    def counter(self, series: str) -> float:
        """The value of a series in /metrics, by name and labels."""
        response = get(self.management, "/metrics")
        for line in (response[1] if response else "").splitlines():
            if line.startswith(series + " "):
                return float(line.rsplit(" ", 1)[1])
        raise BenchError(f"/metrics has no {series}")

    def token(self, client: str) -> str:
        status, body = post(self.port, "/oauth/token", self.authorization[client], GRANT)
        if status != 200:
            raise BenchError(f"{self.name} returned {status} to {client}: {body.decode()[:200]}")
        token: str = json.loads(body)["access_token"]
        return token
