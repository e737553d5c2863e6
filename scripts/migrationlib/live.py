"""Clients that request tokens without a pause, and a verifier that checks each of them, while the issuers behind their URL change."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
import urllib.parse
from collections import Counter
from dataclasses import dataclass, field


def claims_of(token: str) -> tuple[dict[str, object], dict[str, object]]:
    def part(text: str) -> dict[str, object]:
        decoded: dict[str, object] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return decoded

    header, payload, _ = token.split(".")
    return part(header), part(payload)


@dataclass
class LiveClients:
    """One thread per client. `failures` has every answer but a token."""

    port: int
    path: str
    clients: dict[str, str]
    parameters: dict[str, str]
    #: Seconds between two requests of a client.
    pause: float
    failures: list[str] = field(default_factory=list)
    kids: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    last: str = ""

    def __post_init__(self) -> None:
        self.ended = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=client, daemon=True) for client in self.clients.items()]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join(timeout=30)

    def run(self, name: str, secret: str) -> None:
        body = urllib.parse.urlencode({"grant_type": "client_credentials"} | self.parameters)
        basic = base64.b64encode(f"{name}:{secret}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
        while not self.ended.is_set():
            # A connection per request, as most clients have: a reload of the proxy must not fail one.
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                connection.request("POST", self.path, body, headers)
                response = connection.getresponse()
                text = response.read()
                token = json.loads(text).get("access_token") if response.status == 200 else None
                self.count(name, response.status, text, token)
            except (OSError, ValueError, http.client.HTTPException) as error:
                with self.lock:
                    self.failures.append(f"{name}: {error!r}")
            finally:
                connection.close()
            time.sleep(self.pause)

    def count(self, name: str, status: int, text: bytes, token: str | None) -> None:
        with self.lock:
            if token is None:
                self.failures.append(f"{name}: {status} {text[:200]!r}")
                return
            header, _ = claims_of(token)
            self.tokens += 1
            self.kids[str(header.get("kid"))] += 1
            self.last = token
