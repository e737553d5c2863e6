"""Speaks HTTP to a proxy: well-formed and not."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path

from .programs import run

NAME = "auth.example"


@dataclass
class Response:
    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def first(self, name: str) -> str:
        return (self.all(name) or [""])[0]


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate of its own for auth.example, and its key."""
    certificate, key = directory / "fullchain.pem", directory / "privkey.pem"
    code, output = run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", key, "-out", certificate])
    if code:
        raise RuntimeError(f"openssl made no certificate: {output[-300:]}")
    return certificate, key


@dataclass
class Edge:
    """A proxy on 127.0.0.1."""

    https: int
    http: int
    certificate: Path

    def connect(self, source: str = "127.0.0.1", timeout: float = 15, tls: bool = True) -> socket.socket:
        """A connection from one of the addresses of the loopback network."""
        plain = socket.create_connection(("127.0.0.1", self.https if tls else self.http), timeout, (source, 0))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not tls:
            return plain
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.set_alpn_protocols(["http/1.1"])
        return context.wrap_socket(plain, server_hostname=NAME)

    def request(self, method: str, path: str, body: str | bytes | None = None, headers: dict[str, str] | None = None,
                source: str = "127.0.0.1", tls: bool = True) -> Response:
        """One request over HTTP/1.1, with the path as it is written here."""
        connection = http.client.HTTPConnection(NAME)
        connection.sock = self.connect(source, tls=tls)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            # The name alone, as a client on the standard port sends it.
            given = {"Host": NAME} | (headers or {})
            data = body.encode() if isinstance(body, str) else body
            if data is not None:
                given = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(data))} | given
            for name, value in given.items():
                connection.putheader(name, value)
            connection.endheaders()
            if data is not None:
                try:
                    connection.sock.sendall(data)
                except OSError:
                    # The response to a body that is too large may come before all of it was sent.
                    pass
            response = connection.getresponse()
            return Response(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def raw(self, data: bytes, seconds: float = 3, source: str = "127.0.0.1") -> bytes:
        """Sends bytes and returns all that comes back until the connection is closed or silent."""
        with self.connect(source, seconds) as connection:
            connection.sendall(data)
            return read_all(connection)

    def curl(self, path: str, *options: str) -> tuple[int, str, str]:
        """The status, the version of HTTP, and the body or curl's error, by curl. A status of 0 means that there was no response."""
        url = f"https://{NAME}:{self.https}{path}"
        code, output = run(["curl", "-sS", "--noproxy", "*", "--max-time", "10", "--cacert", str(self.certificate),
                            "--resolve", f"{NAME}:{self.https}:127.0.0.1", "-w", "\n%{http_code} %{http_version}", *options, url], timeout=20)
        body, _, last = output.rpartition("\n")
        status, version = last.split()
        return (int(status) if code == 0 else 0), version, body


def read_all(connection: socket.socket) -> bytes:
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except OSError:
        pass
    return received


def seconds_until_closed(connection: socket.socket, limit: float) -> tuple[float, bytes]:
    """How long the peer keeps a connection open, and what it sends before it closes."""
    began = time.monotonic()
    connection.settimeout(0.5)
    received = b""
    while time.monotonic() - began < limit:
        try:
            chunk = connection.recv(65536)
        except TimeoutError:
            continue
        except OSError:
            break
        if not chunk:
            break
        received += chunk
    return time.monotonic() - began, received


def basic(client: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()}
