"""Shared by the checks of proxies and gateways: an API behind them, tokens, a line per check. Standard library only."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Json = dict[str, Any]

START_DEADLINE = 20.0


class Backend(BaseHTTPRequestHandler):
    """The API behind the proxy: it answers with the client that the proxy names."""

    def do_GET(self) -> None:
        names = {"client_id": "X-Client-Id", "claim": "OIDC_CLAIM_client_id", "oauth2": "OAUTH2_CLAIM_client_id", "email": "X-Forwarded-Email"}
        body = json.dumps({key: self.headers.get(name) for key, name in names.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


class Report:
    """Prints a line per check, which begins with ok or FAILED and the kind of library."""

    def __init__(self, kind: str) -> None:
        self.kind, self.failed = kind, False

    def check(self, library: str, what: str, run: Callable[[], object]) -> None:
        try:
            run()
        except Exception as error:
            self.failed = True
            print(f"FAILED {self.kind} {library}: {what}: {type(error).__name__}: {error}")
        else:
            print(f"ok {self.kind} {library}: {what}")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def get(port: int, path: str, token: str | None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@contextmanager
def running(command: list[str], port: int, directory: Path) -> Iterator[None]:
    with (directory / "output").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + START_DEADLINE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    logs = [file.read_text() for file in [directory / "output", directory / "error.log"] if file.exists()]
                    raise RuntimeError(f"it does not start: {' '.join(logs)}") from error
                time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(30)


class Checks:
    """A fixture, a directory for what runs, and an API for it to protect."""

    def __init__(self, kind: str) -> None:
        """Of the arguments of the program: FIXTURE DIRECTORY."""
        self.fixture: Json = json.loads(Path(sys.argv[1]).read_text())
        self.directory, self.report = Path(sys.argv[2]), Report(kind)
        api = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
        threading.Thread(target=api.serve_forever, daemon=True).start()
        self.backend = api.server_address[1]

    def token(self, name: str, scope: str = "read") -> str:
        issuer = urllib.parse.urlsplit(self.fixture["issuer"])
        connection = http.client.HTTPConnection(issuer.netloc, timeout=30)
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": scope, **self.fixture["clients"][name]})
        connection.request("POST", "/oauth/token", form, {"Content-Type": "application/x-www-form-urlencoded"})
        token: str = json.load(connection.getresponse())["access_token"]
        return token

    @contextmanager
    def running_envoy(self, directory: Path, port: int, filters: str, packages: Path) -> Iterator[None]:
        """Envoy, of a Python package, with filters as YAML. The provider's URL and its cluster are separate settings, so the cluster is plain."""
        directory.mkdir()
        issuer = urllib.parse.urlsplit(self.fixture["issuer"])
        text = (Path(__file__).parent / "envoy/envoy.yaml").read_text().replace("# filters.yaml\n", textwrap.indent(filters, " " * 16))
        for documented, actual in {
            "https://auth.example": self.fixture["issuer"],
            "port_value: 8080": f"port_value: {issuer.port}",
            "port_value: 8000": f"port_value: {port}",
            "port_value: 9000": f"port_value: {self.backend}",
        }.items():
            text = text.replace(documented, actual)
        (directory / "envoy.yaml").write_text(text)
        binary = next((packages / "lib").glob("python3*/site-packages/envoy/_bin/envoy"))
        command = [str(binary), "-c", str(directory / "envoy.yaml"), "--disable-hot-restart", "--log-level", "warning"]
        with running(command, port, directory):
            yield

    def protects(self, library: str, port: int, clients: list[str], named: str, checks_scope: bool = True, without_token: int = 401) -> None:
        """Checks the gateway on a port. `named`: the name of the client that the API gets; `without_token`: the status without a token."""

        def accepts(client: str) -> None:
            token = self.token(client)
            status, body = get(port, "/api/", token)
            assert status == 200, f"it answers {status}"
            assert json.loads(body)[named] == client, f"the API is given {body!r}"
            start = token.rindex(".") + 1 if "." in token else len(token) - 1
            changed = token[:start] + ("B" if token[start] == "A" else "A") + token[start + 1 :]
            assert get(port, "/api/", changed)[0] in [401, 403], "a changed token is accepted"

        def rejects() -> None:
            assert get(port, "/api/", None)[0] == without_token, "a request without a token is accepted"
            assert get(port, "/api/", self.token("other-audience"))[0] in [401, 403], "another audience is accepted"
            if checks_scope:
                assert get(port, "/api/", self.token("es256", "write"))[0] in [401, 403], "another scope is accepted"

        for client in clients:
            self.report.check(library, f"accepts {client}, and no changed token", lambda: accepts(client))
        rejected = "no token, another audience and another scope" if checks_scope else "no token and another audience"
        self.report.check(library, f"rejects {rejected}", rejects)
