"""The cost of a request: CPU time, system calls, allocations; and the statements that Postgres spends its time on."""

from __future__ import annotations

import json

from .bench import Bench
from .processes import BenchError, SyscallCounter
from .rates import measure_row, sample_key
from .report import log
from .rows import RATE_ROWS

#: Requests of the longer of the two runs whose difference is the cost.
REQUESTS = 20_000
#: The rows whose cost is measured, with the store for the allocations.
ROW_STORES = {"durable-postgres": "postgres", "durable-sqlite": "sqlite", "stateless": "sqlite", "durable-opaque": "sqlite",
              "introspect-new": "sqlite"}


def cost(bench: Bench) -> None:
    """CPU time from the samples of the rates; allocations from a build of the server that counts them."""
    if not bench.wants("cost"):
        return
    table = bench.table("cost", ["request", "server us", "Postgres us", "system calls", "allocations", "bytes allocated"])
    for row in (row for row in RATE_ROWS if row.key in ROW_STORES):
        key, server = sample_key(row.key, 64), bench.servers[row.store]
        if key not in bench.samples:
            continue
        # In a separate run, because counting slows the server down.
        counter = SyscallCounter(server.pid)
        requests = measure_row(bench, row, 64, 2, counter).requests
        database = bench.cpu(key, bench.postgres.pid)
        allocated = allocations(bench, ROW_STORES[row.key], row.client, bool(row.tokens))
        table.lines.append([
            row.what, f"{bench.cpu(key, server.pid):.1f}", f"{database:.1f}" if database > 0.5 else "",
            f"{counter.calls / requests:.1f}" if counter.calls else "", f"{allocated[0]:.0f}", f"{allocated[1]:.0f}"])


def allocations(bench: Bench, store: str, client: str, introspect: bool) -> tuple[float, float]:
    """Allocations and allocated bytes per request, from the difference of two runs with different numbers of requests."""
    totals = []
    for count in (REQUESTS // 10, REQUESTS):
        server = bench.server(f"{store}-alloc-{client}-{count}", binary="alloc-counter")
        server.start(capture_stdout=True)
        tokens = bench.directory / "alloc.tokens"
        target = bench.token_target(server, client)
        if introspect:
            # Both runs issue the same number of tokens, so that issuing does not affect the difference.
            bench.loads.collect_tokens(target, 1000, tokens)
            target.path, target.body = "/oauth/introspect", "token=" + tokens.read_text(encoding="ascii").split("\n", 1)[0]
        responses = bench.loads.send(target, count)
        server.stop()
        # The last line; the server prints others when it is ready.
        counts = json.loads(server.stdout.splitlines()[-1])
        totals.append((responses, counts["allocations"] + counts["reallocations"], counts["bytes"]))
    (few, *before), (many, *after) = totals
    if many <= few:
        raise BenchError("too few responses to compute the allocations per request")
    each = [(b - a) / (many - few) for a, b in zip(before, after)]
    log(f"  {store} {client}: {each[0]:.0f} allocations, {each[1]:.0f} bytes per request")
    return each[0], each[1]


def queries(bench: Bench) -> None:
    """The statements that take most of Postgres' time under durable load, by pg_stat_statements. Restarts Postgres to load the
    extension, so that it does not affect the other measurements."""
    if not bench.wants("queries"):
        return
    log("top statements")
    bench.postgres.restart("shared_preload_libraries = 'pg_stat_statements'\n")
    server = bench.server("postgres-queries")
    server.start()
    database = f"bench-{server.name}"
    bench.postgres.sql("CREATE EXTENSION pg_stat_statements", database)
    bench.loads.wrk(bench.token_target(server), 1, retry=False)
    bench.postgres.sql("SELECT pg_stat_statements_reset()", database)
    sample = bench.loads.wrk(bench.token_target(server), bench.seconds)
    rows = bench.postgres.sql(
        """SELECT json_agg(t) FROM (SELECT left(regexp_replace(query, '\\s+', ' ', 'g'), 70) AS query, calls, rows,
        mean_exec_time, total_exec_time / sum(total_exec_time) OVER () AS share
        FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 5) AS t""", database)
    server.stop()
    table = bench.table("queries", ["statement", "calls/s", "rows per call", "mean ms", "share of the time"])
    for row in json.loads(rows):
        table.lines.append([
            f"`{row['query'].replace('|', '/')}`", f"{row['calls'] / bench.seconds:.0f}",
            f"{row['rows'] / max(1, row['calls']):.1f}", f"{row['mean_exec_time']:.3f}", f"{row['share']:.1%}"])
    log(f"  at {sample.rate:.0f} tokens/s")
