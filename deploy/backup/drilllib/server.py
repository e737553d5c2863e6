"""A server of oauth2_server on loopback, and its subcommands."""

import base64
import http.client
import json
import os
import subprocess
import time
import urllib.parse
from pathlib import Path

from .cluster import Cluster
from .scratch import Failed, Scratch, free_port, last_lines


def basic(client: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(client).encode()).decode()


class Server:
    """Runs as oauth2_server; subcommands that migrate run as oauth2_owner."""

    def __init__(self, scratch: Scratch, binary: Path, cluster: Cluster | None, name: str, more: dict | None = None) -> None:
        self.scratch, self.binary, self.cluster, self.name = scratch, binary, cluster, name
        self.port, self.management = free_port(), free_port()
        self.process: subprocess.Popen | None = None
        self.log = scratch.path / f"{name}.log"
        self.work = scratch.directory(f"work-{name}")
        key = scratch.path / "key_encryption_key"
        if not key.exists():
            scratch.file("key_encryption_key", base64.b64encode(os.urandom(32)).decode() + "\n")
        self.variables = {
            "OAUTH2_SERVER_PORT": self.port,
            "OAUTH2_MANAGEMENT_PORT": self.management,
            "OAUTH2_SERVER_DRAIN_DELAY": 0,
            # The same for all servers of a run, so that tokens of one are known to the next.
            "OAUTH2_ISSUER": "https://auth.example",
            "OAUTH2_KEY_ENCRYPTION_KEY_FILE": key,
            "OAUTH2_LIMITS_AUTH_FAILURES": "100000/m",
        } | (more or {})

    def database(self, role: str, url: str | None = None) -> dict:
        if self.cluster is None:
            return {}
        return {"OAUTH2_DATABASE_URL": url or self.cluster.url(role), "OAUTH2_DATABASE_PASSWORD_FILE": self.cluster.secrets / role}

    def command(self, *words: str, role: str = "oauth2_owner", url: str | None = None, seconds: float = 60, stdin: str | None = None) -> subprocess.CompletedProcess:
        return self.scratch.run([self.binary, *words], self.variables | self.database(role, url), seconds, input=stdin)

    def must(self, *words: str, role: str = "oauth2_owner", stdin: str | None = None) -> str:
        done = self.command(*words, role=role, stdin=stdin)
        if done.returncode != 0:
            raise Failed(f"oauth2_server {' '.join(words[:2])} exited with {done.returncode}: {last_lines(done.stderr or done.stdout)}")
        return done.stdout

    def start(self, *, role: str = "oauth2_server", url: str | None = None, seconds: float = 30) -> None:
        environment = self.variables | self.database(role, url)
        words = ["serve", "--no-migrate"] if self.cluster is not None else ["serve"]
        self.process = self.scratch.start([self.binary, *words], self.log, environment)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failed(f"the server {self.name} ended: {last_lines(self.log.read_text())}")
            if self.is_ready():
                return
            time.sleep(0.05)
        raise Failed(f"the server {self.name} is not ready: {last_lines(self.log.read_text())}")

    def is_ready(self) -> bool:
        try:
            return self.request("GET", "/ready", port=self.management)[0] == 200
        except OSError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.scratch.end(self.process)

    def request(self, method: str, path: str, form: dict | None = None, client: tuple[str, str] | None = None, port: int | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=10)
        try:
            headers = {"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {}
            if client:
                headers["Authorization"] = basic(client)
            connection.request(method, path, urllib.parse.urlencode(form) if form is not None else None, headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def register(self, client_id: str, *words: str, role: str = "oauth2_server", scope: str = "read") -> tuple[str, str]:
        made = json.loads(self.must("client", "create", "--id", client_id, "--scope", scope, "--json", *words, role=role))
        return client_id, made["client_secret"]

    def administer(self, method: str, path: str, body: dict | None = None) -> dict:
        """A request to the admin API with OAUTH2_ADMIN_TOKEN: only such changes are in the server's log."""
        connection = http.client.HTTPConnection("127.0.0.1", self.management, timeout=10)
        try:
            headers = {"Authorization": f"Bearer {self.variables['OAUTH2_ADMIN_TOKEN']}", "Content-Type": "application/json"}
            connection.request(method, f"/admin/v1/{path}", json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        if response.status not in (200, 201):
            raise Failed(f"{method} {path} got {response.status} {text}")
        return json.loads(text)

    def request_token(self, client: tuple[str, str], scope: str | None = None) -> tuple[int, str]:
        return self.request("POST", "/oauth/token", {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {}), client)

    def token(self, client: tuple[str, str], scope: str | None = None) -> str:
        status, body = self.request_token(client, scope)
        if status != 200:
            raise Failed(f"the token request of {client[0]} got {status} {body}")
        return json.loads(body)["access_token"]

    def revoke(self, client: tuple[str, str], token: str) -> None:
        status, body = self.request("POST", "/oauth/revoke", {"token": token}, client)
        if status != 200:
            raise Failed(f"the revocation got {status} {body}")

    def is_active(self, client: tuple[str, str], token: str) -> bool:
        status, body = self.request("POST", "/oauth/introspect", {"token": token}, client)
        if status != 200:
            raise Failed(f"the introspection got {status} {body}")
        return json.loads(body)["active"]
