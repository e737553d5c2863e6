"""The clients of the answers part: threads that issue, introspect and revoke tokens on a node, and record every outcome."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from benchlib.servers import GRANT, Server

from .history import Answer, History, Request, Token

#: Clients of `benchlib.servers`, by the kind of their tokens.
KINDS = {"PASETO": "bench-p", "JWT": "bench-j", "opaque": "bench-o", "stateless PASETO": "bench-s"}
#: Longer than a pause: the answers of a paused node that arrive after it are the ones to check.
TIMEOUT = 20.0
#: Operations per second of each thread.
RATES = {"token": 20.0, "introspect": 40.0, "revoke": 6.0}
#: Threads of each operation and node.
THREADS = {"token": 1, "introspect": 2, "revoke": 1}


class Caller:
    """One connection to one node, opened again after a failure."""

    def __init__(self, server: Server, node: str, history: History) -> None:
        self.server, self.node, self.history = server, node, history
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)

    def post(self, operation: str, path: str, client: str, form: str) -> tuple[Request, bytes]:
        """Posts a form, records the outcome, and returns it with the body."""
        headers = {"Authorization": self.server.authorization[client], "Content-Type": "application/x-www-form-urlencoded"}
        body, outcome, detail, began = b"", "connection", "", time.monotonic()
        try:
            self.connection.request("POST", path, form, headers)
            response = self.connection.getresponse()
            body = response.read()
            outcome = {200: "ok", 503: "unavailable"}.get(response.status, "other")
            detail = str(response.status) if outcome == "other" else ""
        except (OSError, http.client.HTTPException) as error:
            detail = type(error).__name__
            self.connection.close()
        request = Request(operation, self.node, began, time.monotonic(), outcome, detail)
        self.history.requests.append(request)
        return request, body


@dataclass
class Known:
    """A token with its value, which is not part of the history."""

    token: Token
    value: str
    client: str


class Ledger:
    """The tokens that the clients know, shared by their threads."""

    def __init__(self, history: History) -> None:
        self.history, self.lock = history, threading.Lock()
        self.live: list[Known] = []
        self.revoked: list[Known] = []
        #: Revocations that were sent but not acknowledged yet.
        self.unacknowledged: list[Known] = []
        self.random = random.Random()

    def issue(self, caller: Caller, kind: str) -> None:
        client = KINDS[kind]
        request, body = caller.post("token", "/oauth/token", client, GRANT)
        if request.outcome != "ok":
            return
        answer = json.loads(body)
        with self.lock:
            # From the start of the request: the token may have been issued then.
            token = Token(len(self.history.tokens), kind, caller.node, request.ended, request.began + int(answer["expires_in"]) - 1)
            self.history.tokens.append(token)
            self.live.append(Known(token, answer["access_token"], client))

    def introspect(self, caller: Caller, known: Known, final: bool = False) -> bool:
        """Whether the node answered 200."""
        request, body = caller.post("introspect", "/oauth/introspect", known.client, urlencode({"token": known.value}))
        if request.outcome != "ok":
            return False
        active = json.loads(body)["active"] is True
        self.history.answers.append(Answer(known.token.number, caller.node, request.began, request.ended, active, final))
        return True

    def revoke(self, caller: Caller) -> None:
        with self.lock:
            if self.unacknowledged:
                known = self.unacknowledged.pop(0)
            elif self.live:
                known = self.live.pop(self.random.randrange(len(self.live)))
                known.token.revoke_began = time.monotonic()
            else:
                return
        request, _ = caller.post("revoke", "/oauth/revoke", known.client, urlencode({"token": known.value}))
        with self.lock:
            if request.outcome == "ok":
                known.token.revoked_at, known.token.revoked_on = request.ended, caller.node
                self.revoked.append(known)
            else:
                self.unacknowledged.append(known)

    def choose(self) -> Known | None:
        """A token to introspect: live, newly issued, revoked or newly revoked."""
        with self.lock:
            pool, newest = (self.live, 20) if self.random.random() < 0.5 else (self.revoked, 10)
            if not pool:
                return None
            return self.random.choice(pool[-newest:] if self.random.random() < 0.5 else pool)

    def revoked_between(self, start: float, stop: float) -> list[Known]:
        with self.lock:
            return [known for known in self.revoked if known.token.revoked_at is not None and start <= known.token.revoked_at <= stop]

    def everything(self) -> list[Known]:
        return [*self.live, *self.revoked, *self.unacknowledged]


class Crowd:
    """The threads of all clients of a set of nodes."""

    def __init__(self, servers: dict[str, Server], history: History) -> None:
        self.servers, self.history, self.ledger = servers, history, Ledger(history)
        self.stopped = threading.Event()
        self.threads: list[threading.Thread] = []
        self.failures: list[str] = []

    def start(self) -> None:
        for node in self.servers:
            for operation, count in THREADS.items():
                for _ in range(count):
                    self.spawn(self.loop, node, operation)

    def spawn(self, work: Callable[..., object], *arguments: object) -> threading.Thread:
        def guarded() -> None:
            try:
                work(*arguments)
            except Exception as error:  # A thread that dies silently would stop checking.
                self.failures.append(f"a client failed: {type(error).__name__}: {error}")

        thread = threading.Thread(target=guarded, daemon=True)
        self.threads.append(thread)
        thread.start()
        return thread

    def loop(self, node: str, operation: str) -> None:
        caller, pause, kinds, turn = Caller(self.servers[node], node, self.history), 1 / RATES[operation], list(KINDS), 0
        due = time.monotonic() + pause * random.random()
        while not self.stopped.wait(max(0.0, due - time.monotonic())):
            # After a long request, the missed ones are not made up for.
            due, turn = max(due + pause, time.monotonic()), turn + 1
            if operation == "token":
                self.ledger.issue(caller, kinds[turn % len(kinds)])
            elif operation == "revoke":
                self.ledger.revoke(caller)
            elif (known := self.ledger.choose()) is not None:
                self.ledger.introspect(caller, known)

    def burst(self, node: str, targets: list[Known]) -> None:
        """Introspects each token once, in a connection and thread of its own."""
        for known in targets:
            self.spawn(self.ledger.introspect, Caller(self.servers[node], node, self.history), known)

    def stop(self) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join(TIMEOUT + 5)
        if any(thread.is_alive() for thread in self.threads):
            self.failures.append("a client did not end")

    def verify(self) -> None:
        """Introspects every token on every node, each until it is answered, for 20 s at most."""
        for node in self.servers:
            waiting, lock = self.ledger.everything(), threading.Lock()
            deadline = time.monotonic() + 20 + len(waiting) / 50

            def work(node: str = node, waiting: list[Known] = waiting, lock: threading.Lock = lock, deadline: float = deadline) -> None:
                caller = Caller(self.servers[node], node, self.history)
                while True:
                    with lock:
                        if not waiting:
                            return
                        known = waiting.pop()
                    while not self.ledger.introspect(caller, known, final=True):
                        if time.monotonic() > deadline:
                            with lock:
                                self.history.unverified += 1
                            break
                        time.sleep(0.2)

            for thread in [self.spawn(work) for _ in range(4)]:
                thread.join()
