"""What a token takes on Postgres, whether the model foresees rates it was not fitted to, and what large rates need."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass

from .bench import Bench, say
from .load import Sample
from .model import Costs, Outcome, arriving, per_commit_and_row, plan, simulate
from .processes import CORES, TICKS, UsageMeter, children_ticks, resident_mib
from .report import spaced
from .servers import GRANT, Server

DOCUMENT = "scaling.md"
#: Of the server's time for a token, what comes after the commit: writing the answer. Assumed, since it was not measured.
ANSWER_SHARE = 0.3
#: Connections that the model is fitted to.
FIT = (8, 64)
#: Connections and workers that it has to foresee.
FORESEE = ((16, 1), (256, 1), (64, 2), (256, 2))
#: Shares of the rate at 64 connections at which tokens are asked for evenly, and workers.
EVENLY = ((1 / 8, 1), (1 / 4, 1), (1 / 2, 1), (1 / 2, 2))
#: Tokens a second.
TARGETS = (10_000, 100_000, 1_000_000)
#: Of a core or a disk, how much is planned for.
PLANNED = 0.6
#: Seconds: a token's life by default, what a partition covers, and how long it stays after its last token expired.
LIFETIME, PARTITION, KEPT = 1800, 21_600, 3600
#: Transactions after which Postgres freezes a table whether it is busy or not (`autovacuum_freeze_max_age`).
FREEZE = 200_000_000
REVOCATIONS = 100_000


@dataclass
class Measured:
    """Of one run under load."""

    sample: Sample
    #: Seconds of a core for a request.
    generator: float
    server: float
    postgres: float
    #: Tokens in a commit, and its seconds.
    batch: float
    commit: float
    #: Bytes of the log for a token.
    wal: float


@dataclass
class Token:
    """What one token takes, in bytes but for the counts."""

    wal: float
    images: float
    syncs: float
    stored: float
    to_postgres: float
    from_postgres: float
    request: int
    answer: int


class Commits:
    """What the server says of its commits, and Postgres of its log, since this was made."""

    def __init__(self, bench: Bench, server: Server) -> None:
        self.bench, self.server = bench, server
        self.before = self.now()

    def now(self) -> list[float]:
        series, labels = "oauth2_server_token_commit", '{store="postgres"}'
        wal = self.bench.postgres.sql("SELECT pg_current_wal_lsn() - '0/0'", "postgres")
        return [self.server.counter(f"{series}_{name}{labels}")
                for name in ("batch_size_sum", "batch_size_count", "duration_seconds_sum")] + [float(wal)]

    def read(self) -> tuple[float, float, float, float]:
        """Tokens; tokens in a commit; its seconds; bytes of the log for a token."""
        tokens, commits, seconds, wal = (now - before for now, before in zip(self.now(), self.before))
        return tokens, tokens / max(1, commits), seconds / max(1, commits), wal / max(1, tokens)


def run(bench: Bench, server: Server, client: str, connections: int) -> Measured:
    commits, ticks = Commits(bench, server), children_ticks()
    sample = bench.loads.wrk(bench.token_target(server, client), bench.seconds, retry=False, connections=connections)
    generator = (children_ticks() - ticks) / TICKS / max(1, sample.requests)
    bench.note(f"{client}@{connections}x{server.workers}", sample, server.pid)
    _, batch, seconds, wal = commits.read()
    return Measured(sample, generator, sample.cpu_us[server.pid] / 1e6, sample.cpu_us[bench.postgres.pid] / 1e6, batch, seconds,
                    wal)


def run_evenly(bench: Bench, server: Server, rate: float) -> Measured:
    """In an open loop."""
    commits, meter = Commits(bench, server), UsageMeter(bench.processes)
    sample = bench.loads.at_rate(bench.token_target(server), bench.seconds, rate)
    used = meter.read().by_process
    tokens, batch, seconds, wal = commits.read()
    bench.note(f"evenly@{rate:.0f}x{server.workers}", sample)
    return Measured(sample, 0, used[server.pid] / max(1, tokens), used[bench.postgres.pid] / max(1, tokens), batch, seconds, wal)


def median(bench: Bench, server: Server, client: str, connections: int) -> Measured:
    """The run of the median rate."""
    runs = [run(bench, server, client, connections) for _ in range(bench.rounds)]
    return sorted(runs, key=lambda one: one.sample.rate)[len(runs) // 2]


def fit(few: Measured, many: Measured) -> Costs:
    commit, row = per_commit_and_row((few.batch, few.postgres), (many.batch, many.postgres))
    group, server = per_commit_and_row((few.batch, few.server), (many.batch, many.server))
    # Where little waits, the least of a commit is spent waiting for a core.
    sync = max(0.0, few.commit - commit - row * few.batch)
    return Costs(many.generator, server * (1 - ANSWER_SHARE), server * ANSWER_SHARE, max(0.0, group), commit, row, sync)


def scaling(bench: Bench) -> None:
    if not bench.wants("scaling"):
        return
    say("scaling: what a token takes")
    one = bench.server("postgres-scaling")
    one.start()
    bench.loads.wrk(bench.token_target(one), 1, retry=False)
    few, many = (median(bench, one, "bench-p", connections) for connections in FIT)
    costs = fit(few, many)
    tokens = {what: token(bench, one, client) for what, client in (("PASETO", "bench-p"), ("opaque", "bench-o"))}
    say("scaling: what the model foresees")
    two = bench.server("postgres-scaling-two", one)
    two.workers = 2
    foreseen, evenly = [], []
    for workers, server in ((1, one), (2, two)):
        if workers == 2:
            one.stop()
            two.start()
            bench.loads.wrk(bench.token_target(two), 1, retry=False)
        for connections in (connections for connections, on in FORESEE if on == workers):
            outcome = simulate(costs, connections, workers, CORES)
            foreseen.append((connections, workers, outcome, median(bench, server, "bench-p", connections)))
        for rate in (many.sample.rate * share for share, on in EVENLY if on == workers):
            evenly.append((rate, workers, run_evenly(bench, server, rate)))
    two.stop()
    revocation = revocation_bytes(bench)
    tell_costs(bench, costs, tokens, revocation)
    tell_foreseen(bench, [(FIT[1], 1, simulate(costs, FIT[1], 1, CORES), many), *foreseen])
    tell_evenly(bench, costs, evenly)
    tell_needs(bench, costs, per_commit_and_row((few.batch, few.wal), (many.batch, many.wal)), tokens["PASETO"])


def token(bench: Bench, server: Server, client: str) -> Token:
    database = f"bench-{server.name}"

    def state() -> list[float]:
        # The backends hand in their counts a second after they last did.
        time.sleep(1.5)
        told = bench.postgres.sql(
            """SELECT pg_current_wal_lsn() - '0/0', wal_fpi, wal_sync, (SELECT sum(pg_total_relation_size(inhrelid))
            FROM pg_inherits WHERE inhparent = 'tokens'::regclass) FROM pg_stat_wal""", database)
        return [float(value) for value in told.split("|")] + list(traffic(bench, bench.postgres.port))

    before = state()
    sample = bench.loads.wrk(bench.token_target(server, client), bench.seconds, retry=False)
    wal, images, syncs, stored, sent, received = (
        (after - earlier) / max(1, sample.requests) for earlier, after in zip(before, state()))
    return Token(wal, images, syncs, stored, sent, received, *exchange(server, client))


def traffic(bench: Bench, port: int) -> tuple[float, float]:
    """Bytes that clients sent to a port and received from it, by the connections that are open now."""
    told = bench.processes.run(["ss", "-tinH", f"dport = :{port}"], timeout=10)
    return tuple(sum(float(n) for n in re.findall(rf"{what}:(\d+)", told)) for what in ("bytes_sent", "bytes_received"))  # type: ignore[return-value]


def exchange(server: Server, client: str) -> tuple[int, int]:
    """Bytes of a request as the load generator sends it, and of its answer."""
    head = (f"POST /oauth/token HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAuthorization: {server.authorization[client]}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(GRANT)}\r\n\r\n{GRANT}").encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(head)
        return len(head), len(connection.recv(65536))


def revocation_bytes(bench: Bench) -> float:
    """Memory of the server for a revocation in force."""
    server = bench.server("postgres-scaling-revocations")
    server.start()
    server.token("bench-p")
    without = resident_mib(server.pid)
    server.stop()
    bench.postgres.fill(f"bench-{server.name}", "bench-p", REVOCATIONS, REVOCATIONS)
    server.start()
    server.token("bench-p")
    with_them = resident_mib(server.pid)
    server.stop()
    return (with_them - without) * 1024 * 1024 / REVOCATIONS


def tell_costs(bench: Bench, costs: Costs, tokens: dict[str, Token], revocation: float) -> None:
    table = bench.table("scaling: a token", ["of one token, on Postgres", *tokens])
    table.document = DOCUMENT
    rows: list[tuple[str, str]] = [
        ("write-ahead log, bytes", "wal"), ("of it whole pages, count", "images"),
        ("syncs of the log, count", "syncs"), ("table and index, bytes", "stored"),
        ("sent to Postgres, bytes", "to_postgres"), ("received from Postgres, bytes", "from_postgres"),
        ("HTTP request, bytes", "request"), ("HTTP answer, bytes", "answer")]
    for what, name in rows:
        table.lines.append([what, *(figure(getattr(one, name)) for one in tokens.values())])
    table = bench.table("scaling: the model", ["fitted", "microseconds"])
    table.document = DOCUMENT
    for what, seconds in (("load generator, a request", costs.generator), ("server, a request until its record", costs.request),
                          ("server, from the commit to the answer", costs.answer), ("server, a commit", costs.group),
                          ("Postgres, a commit", costs.commit),
                          ("Postgres, a row", costs.row), ("sync and way of a commit, no core busy", costs.sync)):
        table.lines.append([what, f"{seconds * 1e6:.1f}"])
    table.lines.append(["memory of the server for a revocation in force", f"{revocation:.0f} bytes"])


def figure(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.3f}"


def tell_foreseen(bench: Bench, rows: list[tuple[int, int, Outcome, Measured]]) -> None:
    table = bench.table("scaling: foreseen", ["connections", "workers", "foreseen", "measured", "off by",
                                              "tokens a commit, foreseen", "measured", "p50 ms, foreseen", "measured"])
    table.document = DOCUMENT
    for connections, workers, outcome, measured in rows:
        table.lines.append([
            str(connections), str(workers), f"{spaced(outcome.rate)}/s", f"{spaced(measured.sample.rate)}/s",
            f"{outcome.rate / measured.sample.rate - 1:+.0%}", f"{outcome.batch:.0f}", f"{measured.batch:.0f}",
            f"{outcome.p50 * 1e3:.2f}", f"{measured.sample.p50:.2f}"])


def tell_evenly(bench: Bench, costs: Costs, rows: list[tuple[float, int, Measured]]) -> None:
    table = bench.table("scaling: evenly", ["asked for", "workers", "answered", "tokens a commit, foreseen", "measured",
                                            "server us, foreseen", "measured", "Postgres us, foreseen", "measured"])
    table.document = DOCUMENT
    for rate, workers, measured in rows:
        batch = arriving(costs, rate / workers)
        table.lines.append([
            f"{spaced(rate)}/s", str(workers), f"{spaced(measured.sample.rate)}/s", f"{batch:.1f}", f"{measured.batch:.1f}",
            f"{(costs.request + costs.answer + costs.group / batch) * 1e6:.0f}", f"{measured.server * 1e6:.0f}",
            f"{(costs.row + costs.commit / batch) * 1e6:.0f}", f"{measured.postgres * 1e6:.0f}"])


def tell_needs(bench: Bench, costs: Costs, wal: tuple[float, float], one: Token) -> None:
    """By the model for whatever depends on the size of commits, by proportion for the rest."""
    table = bench.table("scaling: needs", ["for durable PASETO", *(f"{spaced(rate)}/s" for rate in TARGETS)])
    table.document = DOCUMENT
    plans = [(rate, plan(costs, rate, PLANNED)) for rate in TARGETS]

    def add(what: str, of: list[str]) -> None:
        table.lines.append([what, *of])

    stay = LIFETIME + PARTITION + KEPT
    add(f"workers, a core each, {PLANNED:.0%} busy at the most", [str(need.recorders) for _, need in plans])
    add("tokens a commit", [f"{need.batch:.1f}" for _, need in plans])
    add("commits a second, and syncs at the most", [spaced(need.commits) for _, need in plans])
    add(f"Postgres cores for the INSERT, {PLANNED:.0%} busy", [f"{need.postgres / PLANNED:.1f}" for _, need in plans])
    add("write-ahead log, MB/s (and for each replica)",
        [f"{(rate * wal[1] + need.commits * wal[0]) / 1e6:.1f}" for rate, need in plans])
    add("transactions until a partition goes, million", [spaced(need.commits * stay / 1e6) for _, need in plans])
    add(f"hours until {FREEZE / 1e6:.0f} million transactions", [f"{FREEZE / need.commits / 3600:.1f}" for _, need in plans])
    add("live rows, million", [spaced(rate * LIFETIME / 1e6) for rate in TARGETS])
    add("rows of a partition, million", [spaced(rate * PARTITION / 1e6) for rate in TARGETS])
    add("a partition, GB", [spaced(rate * PARTITION * one.stored / 1e9) for rate in TARGETS])
    add("rows stored at the most, million", [spaced(rate * stay / 1e6) for rate in TARGETS])
    add("disk for them, GB", [spaced(rate * stay * one.stored / 1e9) for rate in TARGETS])
    add("clients to server, Gbit/s", [f"{rate * one.request * 8 / 1e9:.2f}" for rate in TARGETS])
    add("server to clients, Gbit/s", [f"{rate * one.answer * 8 / 1e9:.2f}" for rate in TARGETS])
    add("server to Postgres, Gbit/s", [f"{rate * one.to_postgres * 8 / 1e9:.2f}" for rate in TARGETS])
