"""Throughput: every row and its baseline, in interleaved rounds."""

from __future__ import annotations

from .bench import Bench
from .load import BATCH, Sample, Target
from .processes import Perf
from .report import grouped, log, two_decimals
from .rows import BATCH_GOAL, CONNECTIONS, RATE_ROWS, RateRow
from .servers import Server

#: Tokens that are introspected repeatedly.
KNOWN_TOKENS = 1000
BATCH_TOKENS = 20 * BATCH
COLUMNS = ["what", "connections", "rate", "p50 ms", "p95 ms", "p99 ms", "max ms", "errors", "server us", "Postgres us",
           "ratio", "goal", "held"]
INACTIVE = 'oauth2_server_oauth_introspections_total{active="false"}'


def sample_key(row: str, connections: int) -> str:
    return f"{row}@{connections}"


def rates(bench: Bench) -> None:
    rows = [row for row in RATE_ROWS if bench.wants(row.key)]
    prepare(bench, rows)
    for turn in range(bench.rounds):
        log(f"round {turn + 1} of {bench.rounds}")
        for connections in CONNECTIONS:
            selected = [row for row in rows if connections in row.goals]
            for route in baselines(selected):
                sample = bench.loads.wrk(bench.ceiling_target(route), bench.seconds, connections=connections)
                bench.record(sample_key(route, connections), sample, bench.ceiling.pid)
            for row in selected:
                sample = measure_row(bench, row, connections, bench.seconds)
                bench.record(sample_key(row.key, connections), sample, server_of(bench, row).pid)
        if bench.wants("introspect-batch"):
            measure_batch(bench)
    fill_table(bench, rows)


def baselines(rows: list[RateRow]) -> list[str]:
    """The routes of the ceiling that these rows are compared with, and `bare`."""
    return sorted({row.baseline for row in rows} | ({"bare"} if rows else set()), key=["bare", "mint", "verify"].index)


def prepare(bench: Bench, rows: list[RateRow]) -> None:
    """Issues the tokens to introspect, and warms up."""
    if "verify" in baselines(rows):
        bench.loads.collect_tokens(bench.ceiling_target("mint"), KNOWN_TOKENS, bench.directory / "verify.tokens")
    issuer = bench.token_target(bench.servers["postgres"], "bench-u")
    bench.loads.collect_tokens(issuer, KNOWN_TOKENS, bench.directory / "known.tokens")
    if bench.wants("introspect-batch"):
        bench.loads.collect_tokens(issuer, BATCH_TOKENS, bench.directory / "batch.tokens")
    log("warming up")
    for route in baselines(rows):
        bench.loads.wrk(bench.ceiling_target(route), 1, retry=False)
    for row in (row for row in rows if row.tokens not in ("once", "other-node")):
        bench.loads.wrk(row_target(bench, row), 1, retry=False)


def row_target(bench: Bench, row: RateRow) -> Target:
    server = server_of(bench, row)
    if not row.tokens:
        return bench.token_target(server, row.client)
    once = row.tokens != "again"
    file = bench.directory / ("new.tokens" if once else "known.tokens")
    return Target(server.port, "/oauth/introspect", server.authorization[row.client], "", file, once)


def server_of(bench: Bench, row: RateRow) -> Server:
    return bench.servers["other-node" if row.tokens == "other-node" else row.store]


def measure_row(bench: Bench, row: RateRow, connections: int, seconds: int, perf: Perf | None = None) -> Sample:
    target, server = row_target(bench, row), server_of(bench, row)
    if target.once:
        assert target.tokens is not None
        # More tokens than the ceiling's rate could use. Requests after the last token get a 4xx and count as errors.
        ceiling = bench.samples.get(sample_key("bare", connections), [])
        most = ceiling[-1].rate if row.tokens == "once" and ceiling else 120_000
        count = int(most * seconds * 1.1) + 10_000
        bench.loads.collect_tokens(bench.token_target(bench.servers[row.store], row.client), count, target.tokens)
    before = server.counter(INACTIVE)
    sample = bench.loads.wrk(target, seconds, connections=connections, perf=perf)
    # An inactive token is a 200 as well, and cheaper for the server.
    sample.errors += int(server.counter(INACTIVE) - before)
    if target.once and target.tokens:
        target.tokens.unlink()
    return sample


def measure_batch(bench: Bench) -> None:
    server = bench.servers["postgres"]
    target = Target(server.port, "/oauth/introspect/batch", server.authorization["bench-u"], "",
                    bench.directory / "batch.tokens", batches=True)
    before = server.counter(INACTIVE)
    sample = bench.loads.wrk(target, bench.seconds, connections=4)
    sample.errors += int(server.counter(INACTIVE) - before)
    bench.record("introspect-batch", sample, server.pid)


def fill_table(bench: Bench, rows: list[RateRow]) -> None:
    table = bench.table("rates", COLUMNS)

    def cells(key: str, pid: int, per: int = 1) -> list[str | bool | None]:
        errors = bench.errors(key)
        database = bench.cpu(key, bench.postgres.pid) / per
        return [
            f"{grouped(bench.median(key, lambda s: s.rate) * per)}/s{bench.noisy(key)}",
            *(two_decimals(bench.median(key, of)) for of in (lambda s: s.p50, lambda s: s.p95, lambda s: s.p99,
                                                            lambda s: s.longest)),
            f"**{errors}**" if errors else "0", f"{bench.cpu(key, pid) / per:.1f}",
            f"{database:.1f}" if database > 0.5 else ""]

    for connections in CONNECTIONS:
        selected = [row for row in rows if connections in row.goals]
        for route in baselines(selected):
            key = sample_key(route, connections)
            table.lines.append([f"ceiling: {route}", str(connections), *cells(key, bench.ceiling.pid),
                                f"{bench.ratio(key, sample_key('bare', connections)):.2f} of `bare`", "", None])
        for row in selected:
            key, baseline, goal = sample_key(row.key, connections), sample_key(row.baseline, connections), row.goals[connections]
            ratio = bench.ratio(key, baseline)
            pid = server_of(bench, row).pid
            table.lines.append([
                row.what, str(connections), *cells(key, pid), f"{ratio:.2f} of `{row.baseline}`",
                f">= {goal:.2f}" if goal else "", ratio >= goal and not bench.errors(key) if goal else None])
    if bench.wants("introspect-batch"):
        pid = bench.servers["postgres"].pid
        per_core = 1e6 * BATCH / bench.cpu("introspect-batch", pid)
        table.lines.append([
            "introspection in batches of 1 000, tokens", "4", *cells("introspect-batch", pid, BATCH),
            f"{grouped(per_core)} tokens per second and core", f">= {grouped(BATCH_GOAL)}",
            per_core >= BATCH_GOAL and not bench.errors("introspect-batch")])
