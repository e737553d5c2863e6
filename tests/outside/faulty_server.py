"""A faulty authorization server: it answers correctly before the load begins, and then reports every token active and accepts
every secret. With the argument `lock` it rejects wrong secrets instead, and after too many of them also the correct one.
Prints its port and runs until its standard input closes."""

from __future__ import annotations

import json
import sys
import threading
from urllib.parse import parse_qs

from http_fixture import QuietHandler, serve

CLIENT = "client"
#: Correct introspection responses: as many as a load test requests before the load begins.
CORRECT_INTROSPECTIONS = 3
#: Wrong secrets after which every request is rejected.
FAILURES_ALLOWED = 20


class FaultyServer(QuietHandler):
    lock = threading.Lock()
    issued: set[str] = set()
    revoked: set[str] = set()
    introspections = 0
    locks_out = False
    correct_authorization: str | None = None
    failures = 0

    def respond(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def rejection(self) -> int | None:
        """The status of a rejected request, or None. The first Authorization header received is the correct one."""
        authorization = self.headers["Authorization"]
        FaultyServer.correct_authorization = FaultyServer.correct_authorization or authorization
        FaultyServer.failures += authorization != FaultyServer.correct_authorization
        if FaultyServer.failures > FAILURES_ALLOWED:
            return 429
        return None if authorization == FaultyServer.correct_authorization else 401

    def do_GET(self) -> None:
        self.respond(200, {"issuer": "http://faulty", "token_endpoint": "http://faulty/oauth/token"})

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        token = form.get("token", [""])[0]
        with self.lock:
            status = self.rejection() if FaultyServer.locks_out else None
            if status is not None:
                errors = {401: "invalid_client", 429: "too_many_requests"}
                self.respond(status, {"error": errors[status], "error_description": "authentication failed"})
            elif self.path == "/oauth/token":
                issued = f"token-of-the-faulty-server-{len(FaultyServer.issued):06}"
                FaultyServer.issued.add(issued)
                self.respond(200, {"access_token": issued, "token_type": "Bearer", "expires_in": 600})
            elif self.path == "/oauth/revoke":
                FaultyServer.revoked.add(token)
                self.respond(200, {})
            else:
                FaultyServer.introspections += 1
                is_valid = token in FaultyServer.issued and token not in FaultyServer.revoked
                active = is_valid or FaultyServer.introspections > CORRECT_INTROSPECTIONS
                self.respond(200, {"active": active, "client_id": CLIENT} if active else {"active": False})


def main() -> None:
    FaultyServer.locks_out = sys.argv[1:] == ["lock"]
    serve(FaultyServer)


if __name__ == "__main__":
    main()
