"""What is measured, in which order, against which goal."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .load import NOISY, Loads, Sample, Target
from .processes import BenchError, Processes, resident_mib
from .servers import GRANT, Ceiling, Server, post
from .stores import Postgres, fill_sqlite

#: Tokens that are asked about again and again.
KNOWN_TOKENS = 1000
LEDGER_TOKENS = 1_000_000
LEDGER_REVOCATIONS = 100_000


@dataclass
class RateRow:
    key: str
    what: str
    against: str
    goal: float | None
    store: str
    client: str
    tokens: str = ""


RATE_ROWS = [
    RateRow("durable-postgres", "durable PASETO, Postgres", "mint", 0.50, "postgres", "bench-p"),
    RateRow("durable-sqlite", "durable PASETO, SQLite", "mint", 0.50, "sqlite", "bench-p"),
    RateRow("stateless", "stateless PASETO", "mint", 0.85, "postgres", "bench-s"),
    RateRow("durable-jwt", "durable JWT (EdDSA), Postgres", "mint", None, "postgres", "bench-j"),
    RateRow("durable-opaque", "durable opaque, Postgres", "bare", 0.28, "postgres", "bench-o"),
    RateRow("introspect-new", "introspection, tokens never seen before", "verify", 0.85, "postgres", "bench-u", "once"),
    RateRow("introspect-again", "introspection, 1 000 tokens again and again", "bare", 0.45, "postgres", "bench-u",
            "again"),
]
OTHER_ROWS = ["p99", "single", "memory", "start"]
ALL_ROWS = [row.key for row in RATE_ROWS] + OTHER_ROWS


@dataclass
class Line:
    """A line of a table: what was measured, beside what, and what was asked."""

    key: str
    what: str
    value: str
    beside: str
    ratio: str
    goal: str
    held: bool | None
    noisy: bool = False


@dataclass
class Figures:
    rates: list[Line] = field(default_factory=list)
    others: list[Line] = field(default_factory=list)
    large: list[Line] = field(default_factory=list)
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def spaced(number: float) -> str:
    return f"{number:,.0f}".replace(",", " ")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, processes: Processes, binaries: Path, directory: Path, workers: int, rounds: int,
                 seconds: int, only: list[str]) -> None:
        self.processes, self.binaries, self.directory = processes, binaries, directory
        self.workers, self.rounds, self.seconds, self.only = workers, rounds, seconds, only
        self.loads = Loads(processes, binaries / "openloop", directory)
        self.figures = Figures()
        self.samples: dict[str, list[Sample]] = {}
        self.postgres = Postgres(processes, directory)
        self.ceiling = Ceiling(processes, binaries / "ceiling", workers, directory)
        self.servers: dict[str, Server] = {}

    def wants(self, key: str) -> bool:
        return not self.only or key in self.only

    def server(self, name: str) -> Server:
        """A server on a fresh store of its own, not started. Its kind is the first word of its name."""
        kind = name.split("-")[0]
        url = self.postgres.create(f"bench-{name}") if kind == "postgres" else f"sqlite://{self.directory}/server-{name}/data/oauth2.db"
        server = Server(self.processes, self.binaries / "oauth2_server", name, url, self.workers, self.directory)
        server.prepare()
        return server

    def start_servers(self) -> None:
        for kind in ("postgres", "sqlite"):
            self.servers[kind] = self.server(kind)
            self.servers[kind].start()
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

    def note(self, key: str, sample: Sample, pid: int) -> Sample:
        self.samples.setdefault(key, []).append(sample)
        record = asdict(sample)
        record["server_cpu_us"] = sample.cpu_us.get(pid)
        record["postgres_cpu_us"] = sample.cpu_us.get(self.postgres.process.pid)
        del record["cpu_us"]
        self.figures.samples.setdefault(key, []).append(record)
        cpu = record["server_cpu_us"]
        say(f"  {key:24} {sample.rate:9.0f}/s  p50 {sample.p50:7.3f} ms  p99 {sample.p99:7.3f} ms"
            + (f"  server {cpu:5.1f} us" if cpu else "")
            + (f"  Postgres {record['postgres_cpu_us']:4.1f} us" if record["postgres_cpu_us"] else "")
            + (f"  BAD {sample.bad}" if sample.bad else "")
            + (f"  noisy {sample.foreign:.0%}" if sample.foreign > NOISY else ""))
        return sample

    # Rates

    def ceiling_target(self, name: str) -> Target:
        tokens = self.directory / "verify.tokens" if name == "verify" else None
        return Target(self.ceiling.port, f"/{name}", self.ceiling.authorization, GRANT, tokens)

    def token_target(self, server: Server, client: str) -> Target:
        return Target(server.port, "/oauth/token", server.authorization[client], GRANT)

    def rate_target(self, row: RateRow, turn: int) -> Target:
        server = self.servers[row.store]
        if not row.tokens:
            return self.token_target(server, row.client)
        file = self.directory / ("known.tokens" if row.tokens == "again" else f"new-{turn}.tokens")
        return Target(server.port, "/oauth/introspect", server.authorization[row.client], "", file,
                      row.tokens == "once")

    def rates(self) -> None:
        rows = [row for row in RATE_ROWS if self.wants(row.key)]
        if not rows:
            return
        beside = sorted({row.against for row in rows} | {"bare"}, key=["bare", "mint", "verify"].index)
        if "verify" in beside:
            self.loads.collect(self.ceiling_target("mint"), KNOWN_TOKENS, self.directory / "verify.tokens")
        for row in rows:
            if row.tokens == "again":
                self.loads.collect(self.token_target(self.servers[row.store], row.client), KNOWN_TOKENS,
                                   self.directory / "known.tokens")
        say("warming up")
        for name in beside:
            self.loads.wrk(self.ceiling_target(name), 1, retry=False)
        for row in (row for row in rows if row.tokens != "once"):
            self.loads.wrk(self.rate_target(row, 0), 1, retry=False)
        for turn in range(self.rounds):
            say(f"round {turn + 1} of {self.rounds}")
            for name in beside:
                self.note(name, self.loads.wrk(self.ceiling_target(name), self.seconds), self.ceiling.pid)
            for row in rows:
                self.rate(row, turn)
        for name in beside:
            self.figures.rates.append(self.rate_line(RateRow(name, f"ceiling: {name}", "bare", None, "", "")))
        self.figures.rates += [self.rate_line(row) for row in rows]

    def rate(self, row: RateRow, turn: int) -> None:
        server, target = self.servers[row.store], self.rate_target(row, turn)
        if row.tokens == "once":
            assert target.tokens is not None
            # A third more than the ceiling could get through.
            count = int(self.samples["verify"][-1].rate * self.seconds * 1.33) + 10_000
            self.loads.collect(self.token_target(server, row.client), count, target.tokens)
        inactive = 'oauth2_server_oauth_introspections_total{active="false"}'
        before = server.counter(inactive) if row.tokens else 0
        sample = self.loads.wrk(target, self.seconds)
        if row.tokens:
            # An inactive answer is a 200 too, and a cheaper one.
            sample.bad += int(server.counter(inactive) - before)
        self.note(row.key, sample, server.pid)
        if row.tokens == "once" and target.tokens:
            target.tokens.unlink()

    def median(self, key: str, of: Callable[[Sample], float]) -> float:
        return statistics.median(of(sample) for sample in self.samples[key])

    def bad(self, key: str) -> int:
        return sum(sample.bad for sample in self.samples[key])

    def noisy(self, *keys: str) -> bool:
        return any(self.median(key, lambda sample: sample.foreign) > NOISY for key in keys)

    def ratio(self, key: str, against: str) -> float:
        """Median over the rounds of the ratio within a round: what disturbs a whole round cancels out."""
        pairs = zip(self.samples[key], self.samples[against])
        return statistics.median(one.rate / other.rate for one, other in pairs)

    def rate_line(self, row: RateRow) -> Line:
        ratio, bad = self.ratio(row.key, row.against), self.bad(row.key)
        value = f"{spaced(self.median(row.key, lambda s: s.rate))}/s"
        beside = f"p99 {self.median(row.key, lambda s: s.p99):.2f} ms"
        return Line(
            row.key, row.what, value if not bad else f"invalid: {bad} answers were not as wanted", beside,
            f"{ratio:.2f} of `{row.against}`", f">= {row.goal:.2f}" if row.goal else "",
            (ratio >= row.goal and not bad) if row.goal else None, self.noisy(row.key, row.against))

    # Latency

    def p99(self) -> None:
        if not self.wants("p99"):
            return
        for store in ("postgres", "sqlite"):
            server, key = self.servers[store], f"durable-{store}"
            if key not in self.samples:
                for _ in range(self.rounds):
                    self.note(key, self.loads.wrk(self.token_target(server, "bench-p"), self.seconds), server.pid)
            rate = self.median(key, lambda s: s.rate) / 2
            ours, bare = f"p99-{store}", f"p99-bare-{store}"
            say(f"open loop at {rate:.0f}/s")
            for _ in range(self.rounds):
                self.note(bare, self.loads.at_rate(self.ceiling_target("bare"), self.seconds, rate), 0)
                self.note(ours, self.loads.at_rate(self.token_target(server, "bench-p"), self.seconds, rate), 0)
            own, other = self.median(ours, lambda s: s.p99), self.median(bare, lambda s: s.p99)
            self.figures.others.append(Line(
                ours, f"p99 at half of the peak ({rate:.0f}/s, open loop), durable PASETO, {store}", f"{own:.2f} ms",
                f"bare {other:.2f} ms", f"{own / other:.1f} x", "<= 5 x",
                own <= 5 * other and not self.bad(ours), self.noisy(ours, bare)))

    def single(self) -> None:
        if not self.wants("single"):
            return
        say("one client on one connection")
        server = self.servers["postgres"]
        for _ in range(self.rounds):
            self.note("pgbench", self.loads.pgbench(self.postgres, f"bench-{server.name}", self.seconds), 0)
            self.note("single", self.loads.alone(self.token_target(server, "bench-p"), self.seconds), 0)
        own, other = self.median("single", lambda s: s.p50), self.median("pgbench", lambda s: s.p50)
        self.figures.others.append(Line(
            "single", "p50 of one client on one connection, durable PASETO, Postgres", f"{own:.3f} ms",
            f"pgbench {other:.3f} ms", f"{own - other:+.3f} ms", "<= +0.3 ms",
            own <= other + 0.3 and not self.bad("single"), self.noisy("single", "pgbench")))

    # Size

    def memory_line(self, key: str, what: str, mib: float, goal: float | None) -> None:
        self.figures.others.append(Line(
            key, what, f"{mib:.1f} MiB", "", "", f"<= {goal:.0f} MiB" if goal else "", mib <= goal if goal else None))
        say(f"  {key:24} {mib:.1f} MiB")

    def idle_memory(self) -> None:
        """To be asked before any load."""
        if self.wants("memory"):
            for kind, server in self.servers.items():
                self.memory_line(f"memory-{kind}", f"resident, idle, {kind}", resident_mib(server.pid), 40)

    def loaded_memory(self) -> None:
        if self.wants("memory") and self.samples:
            for kind, server in self.servers.items():
                self.memory_line(f"memory-after-{kind}", f"resident after the load above, {kind}",
                                 resident_mib(server.pid), None)

    def fill(self, server: Server, tokens: int, revocations: int) -> None:
        """The server must have run, so that there are partitions, and must not be running."""
        say(f"filling {server.name} with {tokens} tokens")
        if server.name.startswith("postgres"):
            self.postgres.fill(f"bench-{server.name}", "bench-p", tokens, revocations)
        else:
            fill_sqlite(server.home / "data" / "oauth2.db", "bench-p", tokens, revocations)

    def ledger(self) -> None:
        """Start and memory with a full ledger."""
        if not (self.wants("memory") or self.wants("start")):
            return
        for kind in ("postgres", "sqlite"):
            server = self.server(f"{kind}-ledger")
            server.start()
            server.token("bench-p")
            server.stop()
            self.fill(server, LEDGER_TOKENS, LEDGER_REVOCATIONS)
            starts = []
            for turn in range(self.rounds):
                starts.append(server.start())
                for _ in range(100):
                    server.token("bench-p")
                if turn == self.rounds - 1 and self.wants("memory"):
                    self.memory_line(f"memory-1m-{kind}", f"resident, 1 M live tokens, {kind}",
                                     resident_mib(server.pid), 80)
                server.stop()
            took = statistics.median(starts)
            say(f"  start-{kind}: {took:.3f} s")
            if self.wants("start"):
                self.figures.others.append(Line(
                    f"start-{kind}", f"start to ready with 1 M tokens and 100 k revocations, {kind}",
                    f"{took:.2f} s", "", "", "<= 1 s", took <= 1))

    # Growth

    def large(self, rows: int) -> None:
        """The durable rates with `rows` tokens in the ledger, beside the same with few, in turns."""
        for kind in ("postgres", "sqlite"):
            if not self.wants(f"durable-{kind}"):
                continue
            few, many = self.server(f"{kind}-few"), self.server(f"{kind}-many")
            few.start()
            many.start()
            many.token("bench-p")
            many.stop()
            self.fill(many, rows, 0)
            many.start()
            for server in (few, many):
                self.loads.wrk(self.token_target(server, "bench-p"), 2, retry=False)
            for _ in range(self.rounds):
                for server in (few, many):
                    sample = self.loads.wrk(self.token_target(server, "bench-p"), self.seconds)
                    self.note(f"durable-{server.name}", sample, server.pid)
            for server in (few, many):
                server.stop()
            key, beside = f"durable-{many.name}", f"durable-{few.name}"
            ratio, bad = self.ratio(key, beside), self.bad(key) + self.bad(beside)
            self.figures.large.append(Line(
                key, f"durable PASETO, {kind}, {spaced(rows)} rows more in the ledger",
                f"{spaced(self.median(key, lambda s: s.rate))}/s",
                f"p99 {self.median(key, lambda s: s.p99):.2f} ms", f"{ratio:.2f} of the same without them", ">= 0.85",
                ratio >= 0.85 and not bad, self.noisy(key, beside)))
