"""Latency at half of the peak rate in an open loop, and of a single client."""

from __future__ import annotations

from .bench import Bench
from .rates import sample_key
from .report import grouped, log, two_decimals

#: Milliseconds.
P99_GOAL = 5.0
COLUMNS = ["what", "rate", "p50 ms", "p95 ms", "p99 ms", "max ms", "errors", "baseline", "goal", "held"]


def latency(bench: Bench) -> None:
    if bench.wants("p99"):
        half_of_the_peak(bench)
    if bench.wants("single"):
        single(bench)


def percentiles(bench: Bench, key: str) -> list[str | bool | None]:
    of = (lambda s: s.p50, lambda s: s.p95, lambda s: s.p99, lambda s: s.longest)
    return [*(two_decimals(bench.median(key, value)) for value in of), str(bench.errors(key))]


def half_of_the_peak(bench: Bench) -> None:
    for store in ("postgres", "sqlite"):
        server, peak = bench.servers[store], sample_key(f"durable-{store}", 64)
        if peak not in bench.samples:
            bench.interleave({peak: (bench.token_target(server), server.pid)})
        rate = bench.median(peak, lambda s: s.rate) / 2
        ours, bare = f"p99-{store}", f"p99-bare-{store}"
        log(f"open loop at {rate:.0f}/s")
        for _ in range(bench.rounds):
            bench.record(bare, bench.loads.at_rate(bench.ceiling_target("bare"), bench.seconds, rate))
            bench.record(ours, bench.loads.at_rate(bench.token_target(server), bench.seconds, rate))
        own = bench.median(ours, lambda s: s.p99)
        bench.table("latency", COLUMNS).lines.append([
            f"half of the peak, durable PASETO, {store}", f"{grouped(rate)}/s{bench.noisy(ours)}",
            *percentiles(bench, ours), f"`bare` p99 {bench.median(bare, lambda s: s.p99):.2f} ms",
            f"p99 <= {P99_GOAL:.0f} ms", own <= P99_GOAL and not bench.errors(ours)])


def single(bench: Bench) -> None:
    log("one client on one connection")
    server = bench.servers["postgres"]
    for _ in range(bench.rounds):
        bench.record("pgbench", bench.loads.pgbench(bench.postgres, f"bench-{server.name}", bench.seconds))
        bench.record("single", bench.loads.single_connection(bench.token_target(server), bench.seconds))
    own, other = bench.median("single", lambda s: s.p50), bench.median("pgbench", lambda s: s.p50)
    bench.table("latency", COLUMNS).lines.append([
        "one client on one connection, durable PASETO, Postgres",
        f"{grouped(bench.median('single', lambda s: s.rate))}/s{bench.noisy('single', 'pgbench')}",
        *percentiles(bench, "single"), f"`pgbench` p50 {other:.2f} ms", "p50 <= `pgbench` + 0.3 ms",
        own <= other + 0.3 and not bench.errors("single")])
