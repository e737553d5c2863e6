"""Throughput: every row beside the ceiling, in interleaved rounds."""

from __future__ import annotations

from .bench import Bench, say
from .load import BATCH, Sample, Target
from .processes import Watcher
from .report import ms, spaced
from .rows import BATCH_GOAL, CONNECTIONS, RATE_ROWS, RateRow
from .servers import Server

#: Tokens that are asked about again and again.
KNOWN_TOKENS = 1000
BATCH_TOKENS = 20 * BATCH
COLUMNS = ["what", "connections", "rate", "p50 ms", "p95 ms", "p99 ms", "max ms", "errors", "server us", "Postgres us",
           "ratio", "goal", "held"]
INACTIVE = 'oauth2_server_oauth_introspections_total{active="false"}'


def name(key: str, connections: int) -> str:
    return f"{key}@{connections}"


def rates(bench: Bench) -> None:
    rows = [row for row in RATE_ROWS if bench.wants(row.key)]
    prepare(bench, rows)
    for turn in range(bench.rounds):
        say(f"round {turn + 1} of {bench.rounds}")
        for connections in CONNECTIONS:
            here = [row for row in rows if connections in row.goals]
            for ceiling in beside(here):
                sample = bench.loads.wrk(bench.ceiling_target(ceiling), bench.seconds, connections=connections)
                bench.note(name(ceiling, connections), sample, bench.ceiling.pid)
            for row in here:
                measure(bench, row, connections)
        if bench.wants("introspect-batch"):
            batch(bench)
    tell(bench, rows)


def beside(rows: list[RateRow]) -> list[str]:
    return sorted({row.against for row in rows} | ({"bare"} if rows else set()), key=["bare", "mint", "verify"].index)


def prepare(bench: Bench, rows: list[RateRow]) -> None:
    if "verify" in beside(rows):
        bench.loads.collect(bench.ceiling_target("mint"), KNOWN_TOKENS, bench.directory / "verify.tokens")
    issuer = bench.token_target(bench.servers["postgres"], "bench-u")
    bench.loads.collect(issuer, KNOWN_TOKENS, bench.directory / "known.tokens")
    if bench.wants("introspect-batch"):
        bench.loads.collect(issuer, BATCH_TOKENS, bench.directory / "batch.tokens")
    say("warming up")
    for ceiling in beside(rows):
        bench.loads.wrk(bench.ceiling_target(ceiling), 1, retry=False)
    for row in (row for row in rows if row.tokens not in ("once", "elsewhere")):
        bench.loads.wrk(target(bench, row), 1, retry=False)


def target(bench: Bench, row: RateRow) -> Target:
    server = serving(bench, row)
    if not row.tokens:
        return bench.token_target(server, row.client)
    once = row.tokens != "again"
    file = bench.directory / ("new.tokens" if once else "known.tokens")
    return Target(server.port, "/oauth/introspect", server.authorization[row.client], "", file, once)


def measure(bench: Bench, row: RateRow, connections: int) -> None:
    bench.note(name(row.key, connections), take(bench, row, connections, bench.seconds), serving(bench, row).pid)


def serving(bench: Bench, row: RateRow) -> Server:
    return bench.servers["elsewhere" if row.tokens == "elsewhere" else row.store]


def take(bench: Bench, row: RateRow, connections: int, seconds: int, watch: Watcher | None = None) -> Sample:
    load, server = target(bench, row), serving(bench, row)
    if load.once:
        assert load.tokens is not None
        # More than could be asked about at the ceiling's rate. One that is used up is answered with a 4xx and seen.
        beside = bench.samples.get(name("bare", connections), [])
        most = beside[-1].rate if row.tokens == "once" and beside else 120_000
        count = int(most * seconds * 1.1) + 10_000
        bench.loads.collect(bench.token_target(bench.servers[row.store], row.client), count, load.tokens)
    before = server.counter(INACTIVE)
    sample = bench.loads.wrk(load, seconds, connections=connections, watch=watch)
    # An inactive answer is a 200 too, and a cheaper one.
    sample.bad += int(server.counter(INACTIVE) - before)
    if load.once and load.tokens:
        load.tokens.unlink()
    return sample


def batch(bench: Bench) -> None:
    server = bench.servers["postgres"]
    load = Target(server.port, "/oauth/introspect/batch", server.authorization["bench-u"], "",
                  bench.directory / "batch.tokens", batches=True)
    before = server.counter(INACTIVE)
    sample = bench.loads.wrk(load, bench.seconds, connections=4)
    sample.bad += int(server.counter(INACTIVE) - before)
    bench.note("introspect-batch", sample, server.pid)


def tell(bench: Bench, rows: list[RateRow]) -> None:
    table = bench.table("rates", COLUMNS)

    def figures(key: str, pid: int, per: int = 1) -> list[str | bool | None]:
        bad = bench.bad(key)
        database = bench.cpu(key, bench.postgres.pid) / per
        return [
            f"{spaced(bench.median(key, lambda s: s.rate) * per)}/s{bench.noisy(key)}",
            *(ms(bench.median(key, of)) for of in (lambda s: s.p50, lambda s: s.p95, lambda s: s.p99,
                                                  lambda s: s.longest)),
            f"**{bad}**" if bad else "0", f"{bench.cpu(key, pid) / per:.1f}",
            f"{database:.1f}" if database > 0.5 else ""]

    for connections in CONNECTIONS:
        here = [row for row in rows if connections in row.goals]
        for ceiling in beside(here):
            key = name(ceiling, connections)
            table.lines.append([f"ceiling: {ceiling}", str(connections), *figures(key, bench.ceiling.pid),
                                f"{bench.ratio(key, name('bare', connections)):.2f} of `bare`", "", None])
        for row in here:
            key, against, goal = name(row.key, connections), name(row.against, connections), row.goals[connections]
            ratio = bench.ratio(key, against)
            pid = serving(bench, row).pid
            table.lines.append([
                row.what, str(connections), *figures(key, pid), f"{ratio:.2f} of `{row.against}`",
                f">= {goal:.2f}" if goal else "", ratio >= goal and not bench.bad(key) if goal else None])
    if bench.wants("introspect-batch"):
        pid = bench.servers["postgres"].pid
        each = 1e6 * BATCH / bench.cpu("introspect-batch", pid)
        table.lines.append([
            "introspection in batches of 1 000, tokens", "4", *figures("introspect-batch", pid, BATCH),
            f"{spaced(each)} tokens a second and core", f">= {spaced(BATCH_GOAL)}",
            each >= BATCH_GOAL and not bench.bad("introspect-batch")])
