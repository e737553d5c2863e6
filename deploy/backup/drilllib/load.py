"""Load of tokens and revocations, and the ledger of what the server acknowledged."""

import json
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from .scratch import Failed
from .server import Server


@dataclass
class Issued:
    """A token that was acknowledged, and when; `revoked_at` once its revocation was acknowledged."""

    client: tuple[str, str]
    token: str
    jti: str
    at: float
    revoked_at: float | None = None


@dataclass
class Ledger:
    """What clients know. Only acknowledged requests are in it: a request without a response may or may not have taken effect."""

    path: Path
    issued: list[Issued] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, entry: Issued) -> None:
        with self.lock:
            self.issued.append(entry)
            self.write({"issued": entry.jti, "client": entry.client[0], "at": entry.at})

    def revoke(self, entry: Issued) -> None:
        with self.lock:
            entry.revoked_at = time.time()
            self.write({"revoked": entry.jti, "at": entry.revoked_at})

    def write(self, line: dict) -> None:
        with open(self.path, "a") as file:
            file.write(json.dumps(line) + "\n")

    def before(self, moment: float) -> list[Issued]:
        return [entry for entry in self.issued if entry.at < moment]

    def revoked(self) -> list[Issued]:
        return [entry for entry in self.issued if entry.revoked_at is not None]


class Load:
    """Threads that get tokens, and revoke one in four."""

    def __init__(self, server: Server, clients: list[tuple[str, str]], ledger: Ledger, threads: int = 3) -> None:
        self.server, self.clients, self.ledger = server, clients, ledger
        self.is_stopping = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(seed,), daemon=True) for seed in range(threads)]
        for thread in self.threads:
            thread.start()

    def work(self, seed: int) -> None:
        chance, mine = random.Random(seed), []
        while not self.is_stopping.is_set():
            try:
                client = chance.choice(self.clients)
                token = self.server.token(client)
                at = time.time()
                # Its id, by which the restored database is asked for the record.
                _, body = self.server.request("POST", "/oauth/introspect", {"token": token}, client)
                entry = Issued(client, token, json.loads(body)["jti"], at)
                self.ledger.add(entry)
                mine.append(entry)
                if chance.random() < 0.25:
                    revoked = mine.pop(chance.randrange(len(mine)))
                    self.server.revoke(revoked.client, revoked.token)
                    self.ledger.revoke(revoked)
            except (Failed, OSError, KeyError, ValueError):
                # Not acknowledged: the server or its database went away.
                self.is_stopping.wait(0.05)

    def stop(self) -> None:
        self.is_stopping.set()
        for thread in self.threads:
            thread.join(20)
