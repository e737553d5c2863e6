"""What one request costs: processor time, system calls, allocations; and what Postgres spends its time on."""

from __future__ import annotations

import json

from .bench import Bench, say
from .processes import BenchError, CallCounter
from .rates import name, take
from .rows import RATE_ROWS

#: Requests of the longer of the two runs whose difference is counted.
COUNTED = 20_000
#: Rows whose requests are counted, and the kind of store for the allocations.
KINDS = {"durable-postgres": "postgres", "durable-sqlite": "sqlite", "stateless": "sqlite", "durable-opaque": "sqlite",
         "introspect-new": "sqlite"}


def cost(bench: Bench) -> None:
    """From the samples of the rates, and a build of the server that counts its allocations."""
    if not bench.wants("cost"):
        return
    table = bench.table("cost", ["a request of", "server us", "Postgres us", "system calls", "allocations",
                                 "bytes allocated"])
    for row in (row for row in RATE_ROWS if row.key in KINDS):
        key, server = name(row.key, 64), bench.servers[row.store]
        if key not in bench.samples:
            continue
        # In a run of its own: counting them costs the server a little.
        counter = CallCounter(server.pid)
        requests = take(bench, row, 64, 2, counter).requests
        database = bench.cpu(key, bench.postgres.pid)
        counted = allocations(bench, KINDS[row.key], row.client, bool(row.tokens))
        table.lines.append([
            row.what, f"{bench.cpu(key, server.pid):.1f}", f"{database:.1f}" if database > 0.5 else "",
            f"{counter.calls / requests:.1f}" if counter.calls else "", f"{counted[0]:.0f}", f"{counted[1]:.0f}"])


def allocations(bench: Bench, kind: str, client: str, introspect: bool) -> tuple[float, float]:
    """Allocations and bytes a request: two runs of different length, and their difference."""
    totals = []
    for count in (COUNTED // 10, COUNTED):
        server = bench.server(f"{kind}-counted-{client}-{count}", binary="counted")
        server.start(answers=True)
        tokens = bench.directory / "counted.tokens"
        load = bench.token_target(server, client)
        if introspect:
            # As many are issued in both runs, so that this is not in the difference.
            bench.loads.collect(load, 1000, tokens)
            load.path, load.body = "/oauth/introspect", "token=" + tokens.read_text(encoding="ascii").split("\n", 1)[0]
        answered = bench.loads.count(load, count)
        server.stop()
        # The last line: before it stands what the server says when it is ready.
        told = json.loads(server.answer.splitlines()[-1])
        totals.append((answered, told["allocations"] + told["reallocations"], told["bytes"]))
    (few, *before), (many, *after) = totals
    if many <= few:
        raise BenchError("too few requests were answered to count what they allocate")
    each = [(b - a) / (many - few) for a, b in zip(before, after)]
    say(f"  {kind} {client}: {each[0]:.0f} allocations, {each[1]:.0f} bytes a request")
    return each[0], each[1]


def queries(bench: Bench) -> None:
    """The statements that Postgres spends most time in under durable load, by its own account. Restarts it, which keeps
    that account out of all other figures."""
    if not bench.wants("queries"):
        return
    say("top statements")
    bench.postgres.restart("shared_preload_libraries = 'pg_stat_statements'\n")
    server = bench.server("postgres-queries")
    server.start()
    database = f"bench-{server.name}"
    bench.postgres.sql("CREATE EXTENSION pg_stat_statements", database)
    bench.loads.wrk(bench.token_target(server), 1, retry=False)
    bench.postgres.sql("SELECT pg_stat_statements_reset()", database)
    sample = bench.loads.wrk(bench.token_target(server), bench.seconds)
    told = bench.postgres.sql(
        """SELECT json_agg(t) FROM (SELECT left(regexp_replace(query, '\\s+', ' ', 'g'), 70) AS query, calls, rows,
        mean_exec_time, total_exec_time / sum(total_exec_time) OVER () AS share
        FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 5) AS t""", database)
    server.stop()
    table = bench.table("queries", ["statement", "calls/s", "rows a call", "mean ms", "share of the time"])
    for row in json.loads(told):
        table.lines.append([
            f"`{row['query'].replace('|', '/')}`", f"{row['calls'] / bench.seconds:.0f}",
            f"{row['rows'] / max(1, row['calls']):.1f}", f"{row['mean_exec_time']:.3f}", f"{row['share']:.1%}"])
    say(f"  at {sample.rate:.0f} tokens/s")
