"""The resources that a token uses on Postgres, the model's predictions for rates it was not fitted to, and the resources for
higher rates."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass

from .bench import Bench
from .load import Sample
from .model import Costs, Outcome, batch_size, per_commit_and_row, plan, simulate
from .processes import CORES, TICKS, UsageMeter, children_ticks
from .report import Table, grouped, log
from .servers import GRANT, Server
from .size import revocation_bytes

DOCUMENT = "scaling.md"
#: The share of the server's CPU time per token that is spent after the commit, on the response. Assumed, not measured.
RESPONSE_SHARE = 0.3
#: The connection counts that the model is fitted to.
FIT = (8, 64)
#: The connection counts and workers that it predicts.
PREDICTED = ((16, 1), (256, 1), (64, 2), (256, 2))
#: Open-loop runs: the rate as a share of the rate at 64 connections, and workers.
OPEN_LOOP = ((1 / 8, 1), (1 / 4, 1), (1 / 2, 1), (1 / 2, 2))
#: Tokens per second.
TARGETS = (10_000, 100_000, 1_000_000)
#: The planned load of a core.
TARGET_LOAD = 0.6
#: Seconds: the default lifetime of a token, the expiry range of a partition, and how long a partition remains after its last
#: token has expired.
LIFETIME, PARTITION, KEPT = 1800, 21_600, 3600
#: The number of transactions after which Postgres freezes a table in any case (`autovacuum_freeze_max_age`).
FREEZE = 200_000_000
REVOCATIONS = 100_000


@dataclass
class Measured:
    """The results of one run."""

    sample: Sample
    #: CPU seconds per request.
    generator: float
    server: float
    postgres: float
    #: Tokens per commit, and seconds per commit.
    batch: float
    commit: float
    #: Bytes of the write-ahead log per token.
    wal: float


@dataclass
class TokenUsage:
    """What a token uses: `images` and `syncs` are counts, the others bytes."""

    wal: float
    images: float
    syncs: float
    stored: float
    to_postgres: float
    from_postgres: float
    request: int
    response: int


class CommitMeter:
    """Measures the commits of a server and Postgres' write-ahead log from its creation on."""

    def __init__(self, bench: Bench, server: Server) -> None:
        self.bench, self.server = bench, server
        self.before = self.now()

    def now(self) -> list[float]:
        series, labels = "oauth2_server_token_commit", '{store="postgres"}'
        wal = self.bench.postgres.sql("SELECT pg_current_wal_lsn() - '0/0'", "postgres")
        return [self.server.counter(f"{series}_{name}{labels}")
                for name in ("batch_size_sum", "batch_size_count", "duration_seconds_sum")] + [float(wal)]

    def read(self) -> tuple[float, float, float, float]:
        """Tokens; tokens per commit; seconds per commit; bytes of the write-ahead log per token."""
        tokens, commits, seconds, wal = (now - before for now, before in zip(self.now(), self.before))
        return tokens, tokens / max(1, commits), seconds / max(1, commits), wal / max(1, tokens)


def run_closed_loop(bench: Bench, server: Server, client: str, connections: int) -> Measured:
    commits, ticks = CommitMeter(bench, server), children_ticks()
    sample = bench.loads.wrk(bench.token_target(server, client), bench.seconds, retry=False, connections=connections)
    generator = (children_ticks() - ticks) / TICKS / max(1, sample.requests)
    bench.record(f"{client}@{connections}x{server.workers}", sample, server.pid)
    _, batch, seconds, wal = commits.read()
    return Measured(sample, generator, sample.cpu_us[server.pid] / 1e6, sample.cpu_us[bench.postgres.pid] / 1e6, batch, seconds,
                    wal)


def run_open_loop(bench: Bench, server: Server, rate: float) -> Measured:
    commits, meter = CommitMeter(bench, server), UsageMeter(bench.processes)
    sample = bench.loads.at_rate(bench.token_target(server), bench.seconds, rate)
    used = meter.read().by_process
    tokens, batch, seconds, wal = commits.read()
    bench.record(f"open-loop@{rate:.0f}x{server.workers}", sample)
    return Measured(sample, 0, used[server.pid] / max(1, tokens), used[bench.postgres.pid] / max(1, tokens), batch, seconds, wal)


def median_run(bench: Bench, server: Server, client: str, connections: int) -> Measured:
    """The run with the median rate."""
    runs = [run_closed_loop(bench, server, client, connections) for _ in range(bench.rounds)]
    return sorted(runs, key=lambda one: one.sample.rate)[len(runs) // 2]


def fit(few: Measured, many: Measured) -> Costs:
    commit, row = per_commit_and_row((few.batch, few.postgres), (many.batch, many.postgres))
    group, server = per_commit_and_row((few.batch, few.server), (many.batch, many.server))
    # With few connections, a commit spends the least time waiting for a core.
    sync = max(0.0, few.commit - commit - row * few.batch)
    return Costs(many.generator, server * (1 - RESPONSE_SHARE), server * RESPONSE_SHARE, max(0.0, group), commit, row, sync)


def scaling(bench: Bench) -> None:
    if not bench.wants("scaling"):
        return
    log("scaling: resources per token")
    one = bench.server("postgres-scaling")
    one.start()
    bench.loads.wrk(bench.token_target(one), 1, retry=False)
    few, many = (median_run(bench, one, "bench-p", connections) for connections in FIT)
    costs = fit(few, many)
    tokens = {what: token_usage(bench, one, client) for what, client in (("PASETO", "bench-p"), ("opaque", "bench-o"))}
    log("scaling: predictions of the model")
    two = bench.server("postgres-scaling-two", one)
    two.workers = 2
    predicted, open_loop = [], []
    for workers, server in ((1, one), (2, two)):
        if workers == 2:
            one.stop()
            two.start()
            bench.loads.wrk(bench.token_target(two), 1, retry=False)
        for connections in (connections for connections, on in PREDICTED if on == workers):
            outcome = simulate(costs, connections, workers, CORES)
            predicted.append((connections, workers, outcome, median_run(bench, server, "bench-p", connections)))
        for rate in (many.sample.rate * share for share, on in OPEN_LOOP if on == workers):
            open_loop.append((rate, workers, run_open_loop(bench, server, rate)))
    two.stop()
    server = bench.server("postgres-scaling-revocations")
    revocation = revocation_bytes(bench, server, REVOCATIONS)
    server.stop()
    fill_cost_tables(bench, costs, tokens, revocation)
    fill_predicted_table(bench, [(FIT[1], 1, simulate(costs, FIT[1], 1, CORES), many), *predicted])
    fill_open_loop_table(bench, costs, open_loop)
    fill_resources_table(bench, costs, per_commit_and_row((few.batch, few.wal), (many.batch, many.wal)), tokens["PASETO"])


def token_usage(bench: Bench, server: Server, client: str) -> TokenUsage:
    database = f"bench-{server.name}"

    def state() -> list[float]:
        # Backends report their statistics once per second.
        time.sleep(1.5)
        row = bench.postgres.sql(
            """SELECT pg_current_wal_lsn() - '0/0', wal_fpi, wal_sync, (SELECT sum(pg_total_relation_size(inhrelid))
            FROM pg_inherits WHERE inhparent = 'tokens'::regclass) FROM pg_stat_wal""", database)
        return [float(value) for value in row.split("|")] + list(traffic(bench, bench.postgres.port))

    before = state()
    sample = bench.loads.wrk(bench.token_target(server, client), bench.seconds, retry=False)
    wal, images, syncs, stored, sent, received = (
        (after - earlier) / max(1, sample.requests) for earlier, after in zip(before, state()))
    return TokenUsage(wal, images, syncs, stored, sent, received, *http_bytes(server, client))


def traffic(bench: Bench, port: int) -> tuple[float, float]:
    """Bytes sent to and received from a port, on the connections that are open now."""
    output = bench.processes.run(["ss", "-tinH", f"dport = :{port}"], timeout=10)
    return tuple(sum(float(n) for n in re.findall(rf"{what}:(\d+)", output)) for what in ("bytes_sent", "bytes_received"))  # type: ignore[return-value]


def http_bytes(server: Server, client: str) -> tuple[int, int]:
    """Bytes of a request as the load generator sends it, and of its response."""
    request = (f"POST /oauth/token HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAuthorization: {server.authorization[client]}\r\n"
               f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(GRANT)}\r\n\r\n{GRANT}").encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(request)
        return len(request), len(connection.recv(65536))


def scaling_table(bench: Bench, name: str, columns: list[str]) -> Table:
    table = bench.table(f"scaling: {name}", columns)
    table.document = DOCUMENT
    return table


def fill_cost_tables(bench: Bench, costs: Costs, tokens: dict[str, TokenUsage], revocation: float) -> None:
    table = scaling_table(bench, "a token", ["per token, on Postgres", *tokens])
    rows: list[tuple[str, str]] = [
        ("write-ahead log, bytes", "wal"), ("full-page images in it, count", "images"),
        ("syncs of the log, count", "syncs"), ("table and index, bytes", "stored"),
        ("sent to Postgres, bytes", "to_postgres"), ("received from Postgres, bytes", "from_postgres"),
        ("HTTP request, bytes", "request"), ("HTTP response, bytes", "response")]
    for what, name in rows:
        table.lines.append([what, *(short_number(getattr(one, name)) for one in tokens.values())])
    table = scaling_table(bench, "the model", ["fitted", "microseconds"])
    for what, seconds in (("load generator, per request", costs.generator),
                          ("server, per request until the record", costs.request),
                          ("server, from the commit to the response", costs.response), ("server, per commit", costs.group),
                          ("Postgres, per commit", costs.commit),
                          ("Postgres, per row", costs.row), ("sync and round trip per commit, no core busy", costs.sync)):
        table.lines.append([what, f"{seconds * 1e6:.1f}"])
    table.lines.append(["memory of the server per active revocation", f"{revocation:.0f} bytes"])


def short_number(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.3f}"


def fill_predicted_table(bench: Bench, rows: list[tuple[int, int, Outcome, Measured]]) -> None:
    table = scaling_table(bench, "foreseen", ["connections", "workers", "predicted", "measured", "error",
                                               "tokens per commit, predicted", "measured", "p50 ms, predicted", "measured"])
    for connections, workers, outcome, measured in rows:
        table.lines.append([
            str(connections), str(workers), f"{grouped(outcome.rate)}/s", f"{grouped(measured.sample.rate)}/s",
            f"{outcome.rate / measured.sample.rate - 1:+.0%}", f"{outcome.batch:.0f}", f"{measured.batch:.0f}",
            f"{outcome.p50 * 1e3:.2f}", f"{measured.sample.p50:.2f}"])


def fill_open_loop_table(bench: Bench, costs: Costs, rows: list[tuple[float, int, Measured]]) -> None:
    table = scaling_table(bench, "evenly", ["target rate", "workers", "achieved rate", "tokens per commit, predicted", "measured",
                                               "server us, predicted", "measured", "Postgres us, predicted", "measured"])
    for rate, workers, measured in rows:
        batch = batch_size(costs, rate / workers)
        table.lines.append([
            f"{grouped(rate)}/s", str(workers), f"{grouped(measured.sample.rate)}/s", f"{batch:.1f}", f"{measured.batch:.1f}",
            f"{(costs.request + costs.response + costs.group / batch) * 1e6:.0f}", f"{measured.server * 1e6:.0f}",
            f"{(costs.row + costs.commit / batch) * 1e6:.0f}", f"{measured.postgres * 1e6:.0f}"])


def fill_resources_table(bench: Bench, costs: Costs, wal: tuple[float, float], one: TokenUsage) -> None:
    """By the model, where the size of commits matters; proportional to the rate otherwise."""
    table = scaling_table(bench, "needs", ["for durable PASETO", *(f"{grouped(rate)}/s" for rate in TARGETS)])
    plans = [(rate, plan(costs, rate, TARGET_LOAD)) for rate in TARGETS]

    def add(what: str, cells: list[str]) -> None:
        table.lines.append([what, *cells])

    stay = LIFETIME + PARTITION + KEPT
    add(f"workers, a core each, at most {TARGET_LOAD:.0%} busy", [str(need.token_stores) for _, need in plans])
    add("tokens per commit", [f"{need.batch:.1f}" for _, need in plans])
    add("commits per second, and syncs at most", [grouped(need.commits) for _, need in plans])
    add(f"Postgres cores for the INSERT, {TARGET_LOAD:.0%} busy", [f"{need.postgres / TARGET_LOAD:.1f}" for _, need in plans])
    add("write-ahead log, MB/s (and for each replica)",
        [f"{(rate * wal[1] + need.commits * wal[0]) / 1e6:.1f}" for rate, need in plans])
    add("transactions during the life of a partition, million", [grouped(need.commits * stay / 1e6) for _, need in plans])
    add(f"hours until {FREEZE / 1e6:.0f} million transactions", [f"{FREEZE / need.commits / 3600:.1f}" for _, need in plans])
    add("live rows, million", [grouped(rate * LIFETIME / 1e6) for rate in TARGETS])
    add("rows of a partition, million", [grouped(rate * PARTITION / 1e6) for rate in TARGETS])
    add("a partition, GB", [grouped(rate * PARTITION * one.stored / 1e9) for rate in TARGETS])
    add("stored rows at most, million", [grouped(rate * stay / 1e6) for rate in TARGETS])
    add("disk for them, GB", [grouped(rate * stay * one.stored / 1e9) for rate in TARGETS])
    add("clients to server, Gbit/s", [f"{rate * one.request * 8 / 1e9:.2f}" for rate in TARGETS])
    add("server to clients, Gbit/s", [f"{rate * one.response * 8 / 1e9:.2f}" for rate in TARGETS])
    add("server to Postgres, Gbit/s", [f"{rate * one.to_postgres * 8 / 1e9:.2f}" for rate in TARGETS])
