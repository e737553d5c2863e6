"""The state shared by all measurements: the programs under test, their samples, and the resulting tables."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .http_client import post
from .load import NOISE_LIMIT, LoadGenerators, Sample, Target
from .processes import BenchError, Processes
from .report import Table, grouped, log
from .servers import GRANT, Ceiling, Server
from .stores import Postgres


class Bench:
    def __init__(self, processes: Processes, binaries: Path, directory: Path, workers: int, rounds: int,
                 seconds: int, only: list[str]) -> None:
        self.processes, self.binaries, self.directory = processes, binaries, directory
        self.workers, self.rounds, self.seconds, self.only = workers, rounds, seconds, only
        self.loads = LoadGenerators(processes, binaries / "openloop", directory)
        self.samples: dict[str, list[Sample]] = {}
        self.tables: dict[str, Table] = {}
        self.postgres = Postgres(processes, directory)
        self.ceiling = Ceiling(processes, binaries / "ceiling", workers, directory)
        self.servers: dict[str, Server] = {}

    def wants(self, *keys: str) -> bool:
        """Whether any of these rows was selected with `--only`, or all rows are measured."""
        return not self.only or any(key in self.only for key in keys)

    # Programs

    def server(self, name: str, node_of: Server | None = None, binary: str = "oauth2_server") -> Server:
        """A server that is not started yet, on a new store, or as another node on the store of `node_of`. The first word of its
        name is its store: `postgres` or `sqlite`."""
        store = name.split("-")[0]
        if node_of is not None:
            url = node_of.env["OAUTH2_DATABASE_URL"]
        elif store == "postgres":
            url = self.postgres.create(f"bench-{name}")
        else:
            url = f"sqlite://{self.directory}/server-{name}/data/oauth2.db"
        server = Server(self.processes, self.binaries / binary, name, url, self.workers, self.directory)
        if node_of is None:
            server.prepare()
        else:
            server.join(node_of)
        return server

    def start_servers(self) -> None:
        for store in ("postgres", "sqlite"):
            self.servers[store] = self.server(store)
            self.servers[store].start()
        self.servers["other-node"] = self.server("postgres-other-node", self.servers["postgres"])
        self.servers["other-node"].start()
        self.check_response_sizes()

    def check_response_sizes(self) -> None:
        """The ceiling is comparable only if its responses are as long as the server's."""
        server = self.servers["postgres"]
        _, expected = post(server.port, "/oauth/token", server.authorization["bench-p"], GRANT)
        for path in ("/bare", "/mint"):
            status, body = post(self.ceiling.port, path, self.ceiling.authorization, GRANT)
            # The port in the issuer may differ by one digit.
            if status != 200 or abs(len(body) - len(expected)) > 4:
                raise BenchError(f"{path} returns {len(body)} bytes, the token endpoint {len(expected)}")

    def ceiling_target(self, name: str) -> Target:
        tokens = self.directory / "verify.tokens" if name == "verify" else None
        return Target(self.ceiling.port, f"/{name}", self.ceiling.authorization, GRANT, tokens)

    def token_target(self, server: Server, client: str = "bench-p") -> Target:
        return Target(server.port, "/oauth/token", server.authorization[client], GRANT)

    # Samples

    def record(self, key: str, sample: Sample, pid: int = 0) -> Sample:
        """Adds a sample to `key` and logs it, with the CPU time of process `pid`."""
        self.samples.setdefault(key, []).append(sample)
        cpu, database = sample.cpu_us.get(pid), sample.cpu_us.get(self.postgres.pid)
        log(f"  {key:30} {sample.rate:9.0f}/s  p50 {sample.p50:7.3f} ms  p99 {sample.p99:7.3f} ms"
            + (f"  server {cpu:5.1f} us" if cpu else "")
            + (f"  Postgres {database:4.1f} us" if database and database > 0.5 else "")
            + (f"  ERRORS {sample.errors}" if sample.errors else "")
            + (f"  noisy {sample.background_load:.0%}" if sample.background_load > NOISE_LIMIT else ""))
        return sample

    def interleave(self, loads: Mapping[str, tuple[Target, int]]) -> None:
        """Measures each load once per round. `loads`: target and server process by sample key."""
        for _ in range(self.rounds):
            for key, (target, pid) in loads.items():
                self.record(key, self.loads.wrk(target, self.seconds), pid)

    def median(self, key: str, of: Callable[[Sample], float | None]) -> float:
        values = [value for sample in self.samples[key] if (value := of(sample)) is not None]
        return statistics.median(values) if values else 0.0

    def cpu(self, key: str, pid: int) -> float:
        """CPU microseconds per request."""
        return self.median(key, lambda sample: sample.cpu_us.get(pid))

    def errors(self, *keys: str) -> int:
        return sum(sample.errors for key in keys for sample in self.samples[key])

    def noisy(self, *keys: str) -> str:
        noisy = any(self.median(key, lambda sample: sample.background_load) > NOISE_LIMIT for key in keys)
        return " (noisy)" if noisy else ""

    def ratio(self, key: str, baseline: str) -> float:
        """The median over the rounds of the ratio within a round: disturbances that last a whole round cancel out."""
        pairs = zip(self.samples[key], self.samples[baseline])
        return statistics.median(one.rate / other.rate for one, other in pairs)

    # Tables

    def table(self, name: str, columns: list[str]) -> Table:
        return self.tables.setdefault(name, Table(columns))

    def add_value(self, table: str, what: str, value: str, goal: str = "", held: bool | None = None) -> None:
        """Adds a row to a table of single values, and logs it."""
        self.table(table, ["what", "value", "goal", "held"]).lines.append([what, value, goal, held])
        log(f"  {what}: {value}")

    def add_ratio(self, table: str, what: str, pair: tuple[str, str], baseline: str, goal: float) -> None:
        """Adds the rate of a row, and its ratio to another one, whose name follows "of"."""
        ratio, errors = self.ratio(*pair), self.errors(*pair)
        rate = grouped(self.median(pair[0], lambda sample: sample.rate))
        invalid = f", invalid: {errors} errors" if errors else ""
        self.add_value(table, f"{what}{self.noisy(*pair)}", f"{rate}/s, {ratio:.3f} of {baseline}{invalid}", f">= {goal:.2f}",
                       ratio >= goal and not errors)

    def samples_as_data(self) -> dict[str, Any]:
        return {key: [asdict(sample) for sample in samples] for key, samples in self.samples.items()}
