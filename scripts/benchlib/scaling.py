"""What a token takes on Postgres, whether the model foresees rates it was not fitted to, and what large rates need."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass

from .bench import Bench, say
from .load import Sample
from .model import Costs, Outcome, per_commit_and_row, simulate
from .processes import CORES, children_ticks, resident_mib, TICKS
from .report import spaced
from .servers import GRANT, Server

DOCUMENT = "scaling.md"
#: Of the server's time for a token, what comes after the commit: writing the answer.
ANSWER_SHARE = 0.3
#: Connections that the model is fitted to.
FIT = (8, 64)
#: Connections and workers that it has to foresee.
FORESEE = ((16, 1), (256, 1), (64, 2), (256, 2))
#: Tokens a second.
TARGETS = (10_000, 100_000, 1_000_000)
#: Of a core or a disk, how much is planned for.
PLANNED = 0.6
#: Seconds: a token's life by default, what a partition covers, and how long it stays after its last token expired.
LIFETIME, PARTITION, KEPT = 1800, 21_600, 3600
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


def run(bench: Bench, server: Server, client: str, connections: int) -> Measured:
    def histogram(name: str) -> tuple[float, float]:
        labels = '{store="postgres"}'
        series = f"oauth2_server_token_commit_{name}"
        return server.counter(f"{series}_sum{labels}"), server.counter(f"{series}_count{labels}")

    tokens, commits = histogram("batch_size")
    seconds, _ = histogram("duration_seconds")
    ticks = children_ticks()
    sample = bench.loads.wrk(bench.token_target(server, client), bench.seconds, retry=False, connections=connections)
    generator = (children_ticks() - ticks) / TICKS / max(1, sample.requests)
    bench.note(f"{client}@{connections}x{server.workers}", sample, server.pid)
    more_tokens, more_commits = histogram("batch_size")
    more_seconds, _ = histogram("duration_seconds")
    count = max(1, more_commits - commits)
    return Measured(sample, generator, sample.cpu_us[server.pid] / 1e6, sample.cpu_us[bench.postgres.pid] / 1e6,
                    (more_tokens - tokens) / count, (more_seconds - seconds) / count)


def median(bench: Bench, server: Server, client: str, connections: int) -> Measured:
    """The run of the median rate."""
    runs = [run(bench, server, client, connections) for _ in range(bench.rounds)]
    return sorted(runs, key=lambda one: one.sample.rate)[len(runs) // 2]


def fit(few: Measured, many: Measured) -> Costs:
    commit, row = per_commit_and_row((few.batch, few.postgres), (many.batch, many.postgres))
    # Where little waits, the least of a commit is spent waiting for a core.
    sync = max(0.0, few.commit - commit - row * few.batch)
    return Costs(many.generator, many.server * (1 - ANSWER_SHARE), many.server * ANSWER_SHARE, commit, row, sync)


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
    foreseen = []
    for connections, workers in FORESEE:
        if workers == 2 and one.process:
            one.stop()
            two.start()
            bench.loads.wrk(bench.token_target(two), 1, retry=False)
        outcome = simulate(costs, connections, workers, CORES)
        foreseen.append((connections, workers, outcome, median(bench, two if workers == 2 else one, "bench-p", connections)))
    two.stop()
    revocation = revocation_bytes(bench)
    tell_costs(bench, costs, tokens, revocation)
    tell_foreseen(bench, [(FIT[1], 1, simulate(costs, FIT[1], 1, CORES), many), *foreseen])
    tell_needs(bench, many, foreseen[1][3], tokens["PASETO"])


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
    rows: list[tuple[str, str, float]] = [
        ("write-ahead log, bytes", "wal", 1), ("of it whole pages, count", "images", 1),
        ("syncs of the log, count", "syncs", 1), ("table and index, bytes", "stored", 1),
        ("sent to Postgres, bytes", "to_postgres", 1), ("received from Postgres, bytes", "from_postgres", 1),
        ("HTTP request, bytes", "request", 1), ("HTTP answer, bytes", "answer", 1)]
    for what, name, _ in rows:
        table.lines.append([what, *(figure(getattr(one, name)) for one in tokens.values())])
    table = bench.table("scaling: the model", ["fitted", "microseconds"])
    table.document = DOCUMENT
    for what, seconds in (("load generator, a request", costs.generator), ("server, a request until its record", costs.request),
                          ("server, from the commit to the answer", costs.answer), ("Postgres, a commit", costs.commit),
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


def tell_needs(bench: Bench, many: Measured, crowded: Measured, one: Token) -> None:
    """By proportion, with the server's cost at 64 connections and Postgres' at 256, where commits are large."""
    table = bench.table("scaling: needs", ["for durable PASETO", *(f"{spaced(rate)}/s" for rate in TARGETS)])
    table.document = DOCUMENT

    def add(what: str, of: list[str]) -> None:
        table.lines.append([what, *of])

    stay = LIFETIME + PARTITION + KEPT
    add(f"server cores, {PLANNED:.0%} busy", [f"{rate * many.server / PLANNED:.1f}" for rate in TARGETS])
    add(f"Postgres cores for the INSERT, {PLANNED:.0%} busy", [f"{rate * crowded.postgres / PLANNED:.1f}" for rate in TARGETS])
    add("write-ahead log, MB/s (and for each replica)", [f"{rate * one.wal / 1e6:.1f}" for rate in TARGETS])
    add("commits a second, as large as measured", [spaced(rate / crowded.batch) for rate in TARGETS])
    add("live rows, million", [f"{rate * LIFETIME / 1e6:.0f}" for rate in TARGETS])
    add("rows of a partition, million", [f"{rate * PARTITION / 1e6:.0f}" for rate in TARGETS])
    add("rows stored at the most, million", [f"{rate * stay / 1e6:.0f}" for rate in TARGETS])
    add("disk for them, GB", [f"{rate * stay * one.stored / 1e9:.0f}" for rate in TARGETS])
    add("clients to server, Gbit/s", [f"{rate * one.request * 8 / 1e9:.2f}" for rate in TARGETS])
    add("server to clients, Gbit/s", [f"{rate * one.answer * 8 / 1e9:.2f}" for rate in TARGETS])
    add("server to Postgres, Gbit/s", [f"{rate * one.to_postgres * 8 / 1e9:.2f}" for rate in TARGETS])
    add("transactions until a partition goes, million", [f"{rate / crowded.batch * stay / 1e6:.0f}" for rate in TARGETS])
