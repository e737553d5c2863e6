"""Steady requests from several processes, each counted with its outcome."""

from __future__ import annotations

import json
import multiprocessing
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Event

from .wire import NAME, Edge, basic

#: Each worker has an address of its own, so that limits per address meet none of them.
SOURCES = "127.0.1"


@dataclass(frozen=True)
class Kind:
    """One sort of request."""

    name: str
    head: str
    body: str = ""
    #: What a right response contains.
    must: bytes = b""

    def encode(self) -> bytes:
        length = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(self.body)}\r\n" if self.body else ""
        return f"{self.head}\r\nHost: {NAME}\r\n{length}\r\n{self.body}".encode()


def kinds(client: str, secret: str, token: str) -> dict[str, Kind]:
    authorization = "Authorization: " + basic(client, secret)["Authorization"]
    return {
        "token": Kind("token", f"POST /oauth/token HTTP/1.1\r\n{authorization}", "grant_type=client_credentials", b'"access_token":"'),
        "introspection": Kind("introspection", f"POST /oauth/introspect HTTP/1.1\r\n{authorization}", f"token={token}", b'"active":true'),
        "revocation": Kind("revocation", f"POST /oauth/revoke HTTP/1.1\r\n{authorization}", "token=unknown"),
        "keys": Kind("keys", "GET /.well-known/jwks.json HTTP/1.1", must=b'"kid":"'),
    }


class Connection:
    """A connection that is kept until the proxy closes it."""

    def __init__(self, edge: Edge, source: str) -> None:
        self.edge, self.source = edge, source
        self.socket: socket.socket | None = None
        self.buffered = b""

    def close(self) -> None:
        if self.socket:
            self.socket.close()
        self.socket, self.buffered = None, b""

    def exchange(self, request: bytes, must: bytes) -> str:
        """Sends a request, once; returns "ok" or what went wrong. The failure of a kept connection is one, too."""
        try:
            if self.socket is None:
                self.socket = self.edge.connect(self.source)
            self.socket.sendall(request)
            while b"\r\n\r\n" not in self.buffered:
                self._receive()
            head, _, rest = self.buffered.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").lower().split("\r\n")
            fields = dict(line.split(": ", 1) for line in lines[1:])
            self.buffered = rest
            while len(self.buffered) < int(fields["content-length"]):
                self._receive()
            body, self.buffered = self.buffered[:int(fields["content-length"])], self.buffered[int(fields["content-length"]):]
            if "close" in fields.get("connection", ""):
                self.close()
            status = lines[0].split(" ", 2)[1]
            if status == "200":
                return "ok" if must in body else "wrong"
            return status
        except (OSError, EOFError, KeyError, ValueError) as error:
            self.close()
            return type(error).__name__

    def _receive(self) -> None:
        assert self.socket
        chunk = self.socket.recv(65536)
        if not chunk:
            raise EOFError
        self.buffered += chunk


class Load:
    """Requests in turn of the given kinds until `stop` or, per worker, `each` of them. `pause` is between two of a worker's requests."""

    def __init__(self, edge: Edge, sequence: Sequence[Kind], workers: int, each: int = 10**9, pause: float = 0.0, processes: int = 1) -> None:
        self.edge, self.sequence, self.each, self.pause = edge, sequence, each, pause
        # Forked before any thread of this program: the children start from a known state.
        method = multiprocessing.get_context("fork")
        self.stopping: Event = method.Event()
        self.done = method.Value("Q", 0)
        #: Requests that have failed until now.
        self.failed = method.Value("Q", 0)
        self.results: multiprocessing.Queue[str] = method.Queue()
        self.children = [method.Process(target=self._process, args=(workers,), daemon=True) for _ in range(processes)]
        for child in self.children:
            child.start()

    def _process(self, workers: int) -> None:
        import signal
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        counts: Counter[str] = Counter()
        lock = threading.Lock()
        threads = [threading.Thread(target=self._work, args=(start, counts, lock)) for start in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.results.put(json.dumps(counts))

    def _work(self, start: int, counts: Counter[str], lock: threading.Lock) -> None:
        connection = Connection(self.edge, f"{SOURCES}.{start + 1}")
        requests = [(kind.name, kind.encode(), kind.must) for kind in self.sequence]
        own: Counter[str] = Counter()
        for at in range(start, start + self.each):
            if self.stopping.is_set():
                break
            name, request, must = requests[at % len(requests)]
            outcome = connection.exchange(request, must)
            own[f"{name} {outcome}"] += 1
            if outcome != "ok":
                with self.failed.get_lock():
                    self.failed.value += 1
            if at % 50 == 0:
                with self.done.get_lock():
                    self.done.value += 50
            if self.pause:
                time.sleep(self.pause)
        connection.close()
        with lock:
            counts.update(own)

    def finish(self, stop: bool = True, seconds: float = 120) -> Counter[str]:
        if stop:
            self.stopping.set()
        total: Counter[str] = Counter()
        for _ in self.children:
            total.update(json.loads(self.results.get(timeout=seconds)))
        for child in self.children:
            child.join(timeout=10)
        return total


def failures(counts: Counter[str], *names: str) -> dict[str, int]:
    """The outcomes other than "ok", of requests of these kinds or of all."""
    return {key: count for key, count in counts.items() if not key.endswith(" ok") and (not names or key.split()[0] in names)}
