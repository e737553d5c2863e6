"""What all measurements share: the programs under test, their samples, and the tables that come of them."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .load import NOISY, Loads, Sample, Target
from .processes import BenchError, Processes
from .report import Table
from .servers import GRANT, Ceiling, Server, post
from .stores import Postgres


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, processes: Processes, binaries: Path, directory: Path, workers: int, rounds: int,
                 seconds: int, only: list[str]) -> None:
        self.processes, self.binaries, self.directory = processes, binaries, directory
        self.workers, self.rounds, self.seconds, self.only = workers, rounds, seconds, only
        self.loads = Loads(processes, binaries / "openloop", directory)
        self.samples: dict[str, list[Sample]] = {}
        self.tables: dict[str, Table] = {}
        self.postgres = Postgres(processes, directory)
        self.ceiling = Ceiling(processes, binaries / "ceiling", workers, directory)
        self.servers: dict[str, Server] = {}

    def wants(self, *keys: str) -> bool:
        return not self.only or any(key in self.only for key in keys)

    # Programs

    def server(self, name: str, like: Server | None = None, binary: str = "oauth2_server") -> Server:
        """A server on a fresh store of its own, or on that of another; not started. Its kind is the first word of its name."""
        kind = name.split("-")[0]
        if like is not None:
            url = like.env["OAUTH2_DATABASE_URL"]
        elif kind == "postgres":
            url = self.postgres.create(f"bench-{name}")
        else:
            url = f"sqlite://{self.directory}/server-{name}/data/oauth2.db"
        server = Server(self.processes, self.binaries / binary, name, url, self.workers, self.directory)
        if like is None:
            server.prepare()
        else:
            server.join(like)
        return server

    def start_servers(self) -> None:
        for kind in ("postgres", "sqlite"):
            self.servers[kind] = self.server(kind)
            self.servers[kind].start()
        self.servers["elsewhere"] = self.server("postgres-elsewhere", self.servers["postgres"])
        self.servers["elsewhere"].start()
        self.sizes_match()

    def sizes_match(self) -> None:
        """The ceiling's answers are worth comparing with only while they are as long as the server's."""
        server = self.servers["postgres"]
        _, theirs = post(server.port, "/oauth/token", server.authorization["bench-p"], GRANT)
        for path in ("/bare", "/mint"):
            status, ours = post(self.ceiling.port, path, self.ceiling.authorization, GRANT)
            # Ports differ by a digit at the most, and the issuer with them.
            if status != 200 or abs(len(ours) - len(theirs)) > 4:
                raise BenchError(f"{path} answers {len(ours)} bytes, the token endpoint {len(theirs)}")

    def ceiling_target(self, name: str) -> Target:
        tokens = self.directory / "verify.tokens" if name == "verify" else None
        return Target(self.ceiling.port, f"/{name}", self.ceiling.authorization, GRANT, tokens)

    def token_target(self, server: Server, client: str = "bench-p") -> Target:
        return Target(server.port, "/oauth/token", server.authorization[client], GRANT)

    # Samples

    def note(self, key: str, sample: Sample, pid: int = 0) -> Sample:
        self.samples.setdefault(key, []).append(sample)
        cpu, database = sample.cpu_us.get(pid), sample.cpu_us.get(self.postgres.pid)
        say(f"  {key:30} {sample.rate:9.0f}/s  p50 {sample.p50:7.3f} ms  p99 {sample.p99:7.3f} ms"
            + (f"  server {cpu:5.1f} us" if cpu else "")
            + (f"  Postgres {database:4.1f} us" if database and database > 0.5 else "")
            + (f"  BAD {sample.bad}" if sample.bad else "")
            + (f"  noisy {sample.foreign:.0%}" if sample.foreign > NOISY else ""))
        return sample

    def median(self, key: str, of: Callable[[Sample], float | None]) -> float:
        values = [value for sample in self.samples[key] if (value := of(sample)) is not None]
        return statistics.median(values) if values else 0.0

    def cpu(self, key: str, pid: int) -> float:
        """Processor microseconds a request."""
        return self.median(key, lambda sample: sample.cpu_us.get(pid))

    def bad(self, *keys: str) -> int:
        return sum(sample.bad for key in keys for sample in self.samples[key])

    def noisy(self, *keys: str) -> str:
        noisy = any(self.median(key, lambda sample: sample.foreign) > NOISY for key in keys)
        return " (noisy)" if noisy else ""

    def ratio(self, key: str, against: str) -> float:
        """Median over the rounds of the ratio within a round: what disturbs a whole round cancels out."""
        pairs = zip(self.samples[key], self.samples[against])
        return statistics.median(one.rate / other.rate for one, other in pairs)

    # Tables

    def table(self, name: str, columns: list[str]) -> Table:
        return self.tables.setdefault(name, Table(columns))

    def record(self) -> dict[str, Any]:
        """Every sample, for a file."""
        return {key: [asdict(sample) for sample in samples] for key, samples in self.samples.items()}
