"""What every proxy in front of the server promises, whichever program it is."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .cluster import Cluster
from .report import Mismatch, Report, expect
from .wire import NAME, Edge, basic, seconds_until_closed

#: Sent once by the edge, whoever made the response.
HEADERS = {
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}

#: No path but those of the allow-list reaches a server, in whichever spelling.
REFUSED = ["/", "/metrics", "/metrics/recent", "/admin", "/admin/v1/clients", "/openapi.json", "/ready", "//metrics", "/%6detrics",
           "/./metrics", "/oauth/../metrics", "/oauth/%2e%2e/metrics", "/oauth/token/../../metrics", "/oauth/token/..%2f..%2fmetrics",
           "/metrics/../oauth/token", "//oauth/token", "/oauth//token",
           "/oauth/%74oken", "/oauth/token/", "/oauth/token;x=1", "/OAUTH/TOKEN", "/.well-known/../ready", "/.well-known/jwks.json/../../metrics",
           "/oauth\\token", "/health/../ready", "/health%00"]

#: An address that clients claim and do not have.
FORGED = "203.0.113.9"


@dataclass
class Suite:
    report: Report
    edge: Edge
    cluster: Cluster
    #: The logs of the proxy, where no secret may stand.
    logs: list[Path]
    #: The address that exceeds its limits.
    limited: str = "127.0.0.40"
    #: How many requests a burst takes that must meet the limit.
    burst: int = 800
    secrets_sent: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = (self.cluster.client_id, self.cluster.client_secret)
        self.secrets_sent += [self.client[1], basic(*self.client)["Authorization"].split()[1]]

    def issue(self) -> str:
        response = self.edge.request("POST", "/oauth/token", "grant_type=client_credentials", basic(*self.client))
        expect(response.status == 200, f"a token request got {response.status} {response.body!r}")
        return str(json.loads(response.body)["access_token"])

    def run(self) -> None:
        check: Callable[[str, Callable[[], str | None]], bool] = self.report.check
        for tls in ("1.2", "1.3"):
            for version in ("1.1", "2"):
                check(f"token over TLS {tls} and HTTP/{version}", lambda tls=tls, version=version: self.protocols(tls, version))  # type: ignore[misc]
        check("TLS 1.0 and 1.1 are refused", self.old_tls)
        check("introspection, batch, revocation, metadata and keys pass", self.endpoints)
        check("security headers, each once", self.headers)
        check("nothing outside the allow-list, in any spelling, over HTTP/1.1 and HTTP/2", self.refused_paths)
        check("port 80 redirects GET and refuses POST", self.port_80)
        check("a secret in the query is refused", self.query)
        check("an address over its rate gets 429 as an OAuth error with Retry-After; others are served", self.rate_limit)
        check("a denied address is refused", self.denied)
        check("a forged X-Forwarded-For, Forwarded or X-Real-IP is ignored; the audit log has the client's address", self.addresses)
        check("Connection: close, X-Forwarded-For removes no address", self.hop_by_hop)
        check("Connection: Upgrade (h2c, websocket) is harmless", self.upgrade)
        check("ambiguous lengths smuggle no request", self.smuggling)
        check("a body that is too large gets 413", self.too_large)
        check("slow clients are cut while others are served", self.slow_clients)

    def protocols(self, tls: str, version: str) -> str:
        token = f"{self.client[0]}:{self.client[1]}"
        status, spoken, body = self.edge.curl("/oauth/token", "-u", token, "-d", "grant_type=client_credentials", f"--tlsv{tls}", "--tls-max", tls,
                                              f"--http{version}")
        expect(status == 200 and spoken == version and "access_token" in body, f"{status}, HTTP/{spoken}, {body}")
        return f"{status}, HTTP/{spoken}"

    def old_tls(self) -> str:
        for tls in ("1.0", "1.1"):
            status, _, body = self.edge.curl("/health", "--tlsv1.0", "--tls-max", tls, "--ciphers", "DEFAULT@SECLEVEL=0")
            expect(status == 0 and ("alert" in body or "protocol" in body), f"TLS {tls}: {status} {body}")
        return body.splitlines()[0][:70]

    def endpoints(self) -> str:
        token, auth = self.issue(), basic(*self.client)
        seen = self.edge.request("POST", "/oauth/introspect", f"token={token}", auth)
        expect(json.loads(seen.body).get("active") is True, seen)
        many = json.dumps({"tokens": [token] * 1000})
        seen = self.edge.request("POST", "/oauth/introspect/batch", many, auth | {"Content-Type": "application/json"})
        expect(seen.status == 200 and len(json.loads(seen.body)) == 1000, (seen.status, seen.body[:200]))
        expect(self.edge.request("POST", "/oauth/revoke", f"token={token}", auth).status == 200, "revocation failed")
        end = time.monotonic() + 2
        while json.loads(self.edge.request("POST", "/oauth/introspect", f"token={token}", auth).body)["active"]:
            expect(time.monotonic() < end, "a revoked token is active after 2 s")
        for path in ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/.well-known/jwks.json",
                     "/.well-known/paseto-keys.json", "/health"):
            seen = self.edge.request("GET", path)
            expect(seen.status == 200 and json.loads(seen.body), (path, seen))
        return f"batch of 1000 tokens in {len(many) // 1024} KiB"

    def headers(self) -> str:
        auth = basic(*self.client)
        responses = {
            "a token": self.edge.request("POST", "/oauth/token", "grant_type=client_credentials", auth),
            "metadata": self.edge.request("GET", "/.well-known/oauth-authorization-server"),
            "401": self.edge.request("POST", "/oauth/token", "grant_type=client_credentials", basic("nobody", "x" * 40), "127.0.0.2"),
            "404": self.edge.request("GET", "/nothing"),
            "405": self.edge.request("GET", "/oauth/token"),
            "413": self.edge.request("POST", "/oauth/token", "x" * 200_000, auth),
        }
        for name, response in responses.items():
            for header, value in HEADERS.items():
                expect(response.all(header) == [value], f"{name} ({response.status}) has {header}: {response.all(header)}")
            expect(not any(character.isdigit() for character in response.first("server")), f"{name} names a version: {response.first('server')}")
            expect(not response.all("x-powered-by") and not response.all("x-xss-protection"), response.headers)
        expect("max-age" in responses["metadata"].first("cache-control"), "the metadata cannot be cached")
        expect(responses["a token"].all("cache-control") == ["no-store"], "a token may be cached")
        return f"{len(HEADERS)} headers on {len(responses)} kinds of responses"

    def refused_paths(self) -> str:
        before = self.server_requests("unmatched")
        for path in REFUSED:
            first = self.edge.raw(f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode()).split(b"\r\n", 1)[0]
            expect(first.split()[1:2] in ([b"404"], [b"400"], [b"403"]), f"{path} got {first!r}")
            if "%00" not in path and "\\" not in path:
                status, version, body = self.edge.curl(path, "--path-as-is", "--http2")
                expect(status in (400, 403, 404) and version == "2", f"{path} got {status} over HTTP/{version}: {body[:100]}")
        absolute = self.edge.raw(f"GET http://{NAME}/metrics HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode()).split(b"\r\n", 1)[0]
        expect(absolute.split()[1:2] in ([b"404"], [b"400"], [b"403"]), f"http://{NAME}/metrics got {absolute!r}")
        expect(self.server_requests("unmatched") == before, "some reached a server")
        return f"{len(REFUSED) + 1} paths, none reached a server"

    def server_requests(self, route: str) -> int:
        """Requests that the servers counted for a route of the public listener; `unmatched`: for no route of theirs."""
        total = 0
        for node in self.cluster.nodes:
            with urllib.request.urlopen(f"http://127.0.0.1:{node.management}/metrics", timeout=5) as response:
                for line in response.read().decode().splitlines():
                    if line.startswith("oauth2_server_http_requests_total{") and f'route="{route}"' in line:
                        total += int(float(line.rsplit(" ", 1)[1]))
        return total

    def port_80(self) -> str:
        seen = self.edge.request("GET", "/.well-known/jwks.json", headers={"Host": "evil.example"}, tls=False)
        if seen.status not in (301, 308):
            # The name of another site may be refused instead.
            expect(seen.status in (403, 404, 421), seen)
        seen = self.edge.request("GET", "/.well-known/jwks.json", tls=False)
        expect(seen.status in (301, 308) and seen.first("location") == f"https://{NAME}/.well-known/jwks.json", (seen.status, seen.first("location")))
        post = self.edge.request("POST", "/oauth/token", "grant_type=client_credentials", basic(*self.client), tls=False)
        expect(post.status == 403, post)
        return f"GET {seen.status} to {seen.first('location')}, POST {post.status}"

    def query(self) -> str:
        secret = "canary-in-the-query-0123456789abcdef"
        self.secrets_sent.append(secret)
        seen = self.edge.request("POST", f"/oauth/token?client_id=ci&client_secret={secret}", "grant_type=client_credentials")
        expect(seen.status == 400 and json.loads(seen.body)["error"] == "invalid_request", seen)
        return f"{seen.status} {json.loads(seen.body)['error']}"

    def rate_limit(self) -> str:
        head = f"POST /oauth/token HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: {basic(*self.client)['Authorization']}\r\n"
        request = f"{head}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 29\r\n\r\ngrant_type=client_credentials".encode()
        def flood(_: int) -> bytes | Mismatch:
            with self.edge.connect(self.limited, 5) as connection:
                try:
                    return self._until(connection, request, b" 429 ", self.burst)
                except Mismatch as mismatch:
                    return mismatch

        # One connection alone may be slower than the limit, on a busy machine.
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(flood, range(4)))
        answer = next((found for found in answers if isinstance(found, bytes)), b"")
        expect(answer, answers[0])
        head_text, _, body = answer.decode().partition("\r\n\r\n")
        lines = head_text.lower().split("\r\n")
        retry = [line.split(": ")[1] for line in lines if line.startswith("retry-after: ")]
        expect(len(retry) == 1 and retry[0].isdigit() and json.loads(body)["error"] == "too_many_requests", answer)
        for header, value in HEADERS.items():
            values = [line.split(": ", 1)[1] for line in lines if line.startswith(f"{header}: ")]
            expect(values == [value.lower()], f"429 has {header}: {values}")
        other = self.edge.request("POST", "/oauth/token", "grant_type=client_credentials", basic(*self.client), "127.0.0.41")
        expect(other.status == 200, f"another address got {other.status}")
        return f"429 {json.loads(body)['error']}, Retry-After: {retry[0]}"

    def _until(self, connection: socket.socket, request: bytes, status: bytes, limit: int) -> bytes:
        for _ in range(limit):
            connection.sendall(request)
            received = b""
            while b"\r\n\r\n" not in received:
                received += (connection.recv(65536) or b"HTTP/1.1 closed\r\n\r\n")
            head, _, body = received.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            while length and len(body) < int(length[1]):
                body += connection.recv(65536)
            if status in head.split(b"\r\n")[0] + b" ":
                return head + b"\r\n\r\n" + body
            expect(b" 200 " in head.split(b"\r\n")[0] + b" ", head.split(b"\r\n")[0])
        raise Mismatch(f"none of {limit} requests got{status.decode()}")

    def denied(self) -> str:
        try:
            seen = self.edge.request("GET", "/health", source="127.0.0.66")
        except OSError as error:
            return f"closed ({type(error).__name__})"
        expect(seen.status == 403, seen)
        return f"{seen.status} {json.loads(seen.body)['error']}"

    def failed_from(self, source: str, headers: dict[str, str], may_refuse: bool = False) -> list[str]:
        """Fails to authenticate from an address that nothing else uses, and returns the addresses of new rows of the audit log, of which earlier
        failures may be some; none if the proxy may refuse the request and did."""
        before = len(self.cluster.failed_addresses())
        seen = self.edge.request("POST", "/oauth/token", "grant_type=client_credentials", basic(self.client[0], "wrong" * 10) | headers, source)
        if may_refuse and seen.status == 400:
            return []
        expect(seen.status == 401, seen)
        end = time.monotonic() + 5
        while True:
            rows = self.cluster.failed_addresses()
            new = rows[:len(rows) - before]
            if source in new or FORGED in new or time.monotonic() > end:
                return new
            time.sleep(0.1)

    def addresses(self) -> str:
        cases = {
            "127.0.0.11": {"X-Forwarded-For": FORGED},
            "127.0.0.12": {"X-Forwarded-For": f"{FORGED}, 127.0.0.1"},
            "127.0.0.13": {"Forwarded": f"for={FORGED}"},
            "127.0.0.14": {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1", "X-Real-IP": FORGED},
            "127.0.0.15": {"X-Forwarded-For": "unknown, garbage"},
        }
        for source, headers in cases.items():
            rows = self.failed_from(source, headers)
            expect(source in rows and FORGED not in rows, f"{headers} from {source}: the audit log has {rows}")
        return ", ".join(cases)

    def hop_by_hop(self) -> str:
        refused = 0
        forms = ("close, X-Forwarded-For", "keep-alive, X-Forwarded-For, Forwarded, Host, X-Request-Id, Authorization", "X-Forwarded-For")
        for number, value in enumerate(forms):
            source = f"127.0.0.{21 + number}"
            rows = self.failed_from(source, {"Connection": value, "X-Forwarded-For": FORGED}, may_refuse=True)
            refused += not rows
            expect(rows == [] or source in rows and FORGED not in rows, f"Connection: {value}: the audit log has {rows}")
        return f"{refused} of 3 forms refused; else the audit log has the client's address"

    def upgrade(self) -> str:
        cases = ({"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"},
                 {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"})
        seen = []
        for case in cases:
            response = self.edge.request("POST", "/oauth/token", "grant_type=client_credentials", basic(*self.client) | case)
            # RFC 9110 section 7.8: an upgrade may be ignored. A proxy may refuse it as well; it must not open a tunnel.
            expect(response.status in (200, 400, 403), (case["Upgrade"], response))
            seen.append(f"{case['Upgrade']} {response.status}")
        expect(self.edge.request("GET", "/health").status == 200, "the proxy does not respond after it")
        return ", ".join(seen)

    def smuggling(self) -> str:
        """None of these may make a server see a request that the proxy did not see: `/smuggled` would be counted as `unmatched`."""
        inner = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
        head = f"POST /oauth/introspect HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        chunked = f"0\r\n\r\n{inner}"
        cases = {
            "CL.TE": f"{head}Content-Length: {len(chunked)}\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}",
            "TE.CL": f"{head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{len(inner):x}\r\n{inner}\r\n0\r\n\r\n",
            "two lengths": f"{head}Content-Length: {len(inner)}\r\nContent-Length: 0\r\n\r\n{inner}",
            "list of lengths": f"{head}Content-Length: 0, {len(inner)}\r\n\r\n{inner}",
            "unknown coding": f"{head}Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n{inner}",
            "two codings": f"{head}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n{chunked}",
            "space before the colon": f"{head}Transfer-Encoding : chunked\r\nContent-Length: {len(chunked)}\r\n\r\n{chunked}",
            "signed length": f"{head}Content-Length: +0\r\n\r\n{inner}",
            "folded": f"{head}X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n{inner}",
            "bad chunk size": f"{head}Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n{inner}",
        }
        before = self.server_requests("unmatched")
        with ThreadPoolExecutor(len(cases)) as pool:
            received = dict(zip(cases, pool.map(lambda request: self.edge.raw(request.encode(), 2), cases.values()), strict=True))
        refused = 0
        for name, answer in received.items():
            statuses = [part.split(b" ", 1)[0] for part in answer.split(b"HTTP/1.1 ")[1:]]
            expect(b"200" not in statuses[1:], f"{name}: responses {statuses}")
            refused += statuses[:1] in ([b"400"], [b"501"]) or not statuses
        expect(self.server_requests("unmatched") == before, f"a server got /smuggled; responses {received}")
        expect(self.edge.request("GET", "/health").status == 200, "the proxy does not respond after them")
        return f"{len(cases)} cases, {refused} refused at the edge, none reached a server as a second request"

    def too_large(self) -> str:
        seen = self.edge.request("POST", "/oauth/token", "grant_type=client_credentials&x=" + "x" * 200_000, basic(*self.client))
        expect(seen.status == 413 and json.loads(seen.body)["error"] == "invalid_request", (seen.status, seen.body[:200]))
        batch = self.edge.request("POST", "/oauth/introspect/batch", "x" * (2 << 20), basic(*self.client) | {"Content-Type": "application/json"})
        expect(batch.status == 413, (batch.status, batch.body[:200]))
        return "200 kB to the token endpoint, 2 MiB to batch introspection"

    def slow_clients(self) -> str:
        head = f"POST /oauth/token HTTP/1.1\r\nHost: {NAME}\r\n"
        cases = {"head": head, "body": f"{head}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 29\r\n\r\ngrant"}
        took: dict[str, float] = {}

        def wait(name: str, data: str) -> None:
            connections = [self.edge.connect("127.0.0.50") for _ in range(20)]
            for connection in connections:
                connection.sendall(data.encode())
            took[name] = max(seconds_until_closed(connection, 12)[0] for connection in connections)
            for connection in connections:
                connection.close()

        threads = [threading.Thread(target=wait, args=case) for case in cases.items()]
        for thread in threads:
            thread.start()
        time.sleep(1)
        self.issue()
        for thread in threads:
            thread.join()
        for name in cases:
            expect(took[name] < 11, f"a connection with an unfinished {name} was open for {took[name]:.1f} s")
        return ", ".join(f"unfinished {name} closed after {seconds:.1f} s" for name, seconds in took.items())

    def no_secrets(self) -> str:
        """Run last."""
        size = 0
        for path in self.logs:
            text = path.read_text(errors="replace")
            size += len(text)
            for secret in self.secrets_sent:
                found = [line for line in text.splitlines() if secret in line]
                expect(not found, f"{path.name} has a secret: {found[:1]}")
            expect("authorization" not in text.lower().replace("oauth-authorization-server", ""), f"{path.name} has an Authorization header")
        expect(size > 1000, f"the logs have {size} bytes only")
        return f"{size // 1024} KiB of logs searched"
