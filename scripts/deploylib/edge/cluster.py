"""A private Postgres, and servers on it."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from .postgres import start_postgres
from .programs import ROOT, Programs, listens, wait_for

ISSUER = "https://auth.example"


def server_binary() -> Path:
    binary = Path(os.environ.get("OAUTH2_SERVER_BINARY") or ROOT / "target/debug/oauth2_server").resolve()
    if not os.access(binary, os.X_OK):
        raise SystemExit(f"no server at {binary}: build it, or set OAUTH2_SERVER_BINARY")
    return binary


@dataclass
class Node:
    number: int
    port: int
    management: int
    process: subprocess.Popen[bytes] | None = None

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=2) as response:
                return bool(response.status == 200)
        except OSError:
            return False


class Cluster:
    """Servers with one Postgres, one issuer and one key encryption key. `drain` is OAUTH2_SERVER_DRAIN_DELAY. `binary` is the one that they
    start with, by default the present one. `settings` are further ones, which win."""

    def __init__(self, programs: Programs, nodes: int, drain: str = "1", binary: Path | None = None, settings: dict[str, str] | None = None) -> None:
        self.programs = programs
        self.binary = server_binary()
        self.directory = programs.directory
        self.admin_token = secrets.token_hex(32)
        self.postgres = start_postgres(programs, programs.directory)
        self.settings = {
            "PATH": os.environ["PATH"],
            "OAUTH2_DATABASE_URL": self.postgres.url,
            "OAUTH2_KEY_ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode(),
            "OAUTH2_ADMIN_TOKEN": self.admin_token,
            "OAUTH2_ISSUER": ISSUER,
            # The proxy connects from here. Clients in the checks use other addresses of the loopback network.
            "OAUTH2_SERVER_TRUSTED_PROXIES": "127.0.0.1/32",
            "OAUTH2_SERVER_DRAIN_DELAY": drain,
            "OAUTH2_LOG_FORMAT": "json",
            # Each failed authentication has a line and a row of its own.
            "OAUTH2_AUDIT_AUTH_FAILURES": "10000",
        } | (settings or {})
        self.nodes = [Node(number, programs.free_port(), programs.free_port()) for number in range(1, nodes + 1)]
        for node in self.nodes:
            self.start(node, binary)
        self.client_id, self.client_secret = self.create_client()

    def log(self, node: Node) -> Path:
        return self.directory / f"node-{node.number}.log"

    def start(self, node: Node, binary: Path | None = None) -> None:
        work = self.directory / f"node-{node.number}"
        work.mkdir(exist_ok=True)
        settings = self.settings | {"OAUTH2_SERVER_PORT": str(node.port), "OAUTH2_MANAGEMENT_PORT": str(node.management)}
        node.process = self.programs.start([binary or self.binary], self.log(node), env=settings, cwd=work)
        wait_for(f"node {node.number} being ready", node.ready)

    def stop(self, node: Node, how: signal.Signals = signal.SIGTERM) -> int:
        assert node.process
        return self.programs.stop(node.process, how)

    def admin(self, method: str, path: str, body: object | None = None) -> dict[str, object]:
        node = next(node for node in self.nodes if node.process and node.process.poll() is None and listens(node.management))
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{node.management}/admin/v1{path}", data, method=method)
        request.add_header("Authorization", f"Bearer {self.admin_token}")
        with urllib.request.urlopen(request, timeout=10) as response:
            content: dict[str, object] = json.load(response)
            return content

    def create_client(self) -> tuple[str, str]:
        made = self.admin("POST", "/clients", {"scope": "read"})
        # Another node hears of a new client within 500 ms even without a bus.
        client = str(made["client_id"]), str(made["client_secret"])
        for node in self.nodes:
            wait_for("every node knowing the client", lambda port=node.port: _token_status(port, client) == 200, 10)  # type: ignore[misc]
        return client

    def failed_addresses(self) -> list[str]:
        """The addresses of the failed authentications in the audit log, newest first."""
        rows = self.admin("GET", "/audit?kind=auth.failed&limit=100")["items"]
        assert isinstance(rows, list)
        return [row["detail"].get("address", "") for row in rows]


def _token_status(port: int, client: tuple[str, str]) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/oauth/token", b"grant_type=client_credentials")
    request.add_header("Authorization", "Basic " + base64.b64encode(":".join(client).encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
