"""An authorization server that is honest while it is being looked over, and then calls every token active and every secret
right. Told to `lock`, it refuses wrong secrets instead, and after too many of them the right one too. Serves until its
standard input closes; prints its port."""

from __future__ import annotations

import json
import sys
import threading
from urllib.parse import parse_qs

from serving import Silent, serve

CLIENT = "somebody"
#: Answers to introspection that are true: what a load test asks before there is load.
HONEST = 3
#: Wrong secrets after which nobody gets in.
PATIENCE = 20


class Liar(Silent):
    lock = threading.Lock()
    issued: set[str] = set()
    revoked: set[str] = set()
    introspections = 0
    locks = False
    right: str | None = None
    failures = 0

    def answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def locked(self) -> int | None:
        """The status that refuses this request, if it is to be refused. The first secret is the right one."""
        given = self.headers["Authorization"]
        Liar.right = Liar.right or given
        Liar.failures += given != Liar.right
        if Liar.failures > PATIENCE:
            return 429
        return None if given == Liar.right else 401

    def do_GET(self) -> None:
        self.answer(200, {"issuer": "http://liar", "token_endpoint": "http://liar/oauth/token"})

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        token = form.get("token", [""])[0]
        with self.lock:
            refused = self.locked() if Liar.locks else None
            if refused is not None:
                codes = {401: "invalid_client", 429: "too_many_requests"}
                self.answer(refused, {"error": codes[refused], "error_description": "authentication failed"})
            elif self.path == "/oauth/token":
                made = f"a-token-of-the-liar-{len(Liar.issued):06}"
                Liar.issued.add(made)
                self.answer(200, {"access_token": made, "token_type": "Bearer", "expires_in": 600})
            elif self.path == "/oauth/revoke":
                Liar.revoked.add(token)
                self.answer(200, {})
            else:
                Liar.introspections += 1
                true = token in Liar.issued and token not in Liar.revoked
                active = true or Liar.introspections > HONEST
                self.answer(200, {"active": active, "client_id": CLIENT} if active else {"active": False})


def main() -> None:
    Liar.locks = sys.argv[1:] == ["lock"]
    serve(Liar)


if __name__ == "__main__":
    main()
