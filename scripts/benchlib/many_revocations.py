"""What many revocations cost: how soon another node knows them, how much memory they take, and whether they slow introspection."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urlencode

from .bench import Bench
from .http_client import post
from .load import Target
from .nodes import half_load, start_redis, time_until_seen
from .processes import BenchError
from .report import grouped, log
from .servers import Server
from .size import revocation_bytes

#: Revocations per second, and for how many seconds.
RATE, SECONDS = 2000, 15
#: Revocations whose way to another node is timed meanwhile.
TIMED = 200
#: Tokens that are revoked at once, and revocations that are held.
MANY = 1_000_000
#: Tokens that are introspected again and again.
KNOWN = 1000


def many_revocations(bench: Bench) -> None:
    if not bench.wants("revocations"):
        return
    redis = start_redis(bench)
    at_a_rate(bench, "notifications of Postgres", {}, 150)
    first, second = at_a_rate(bench, "Redis", {"OAUTH2_REDIS_URL": redis}, 100, is_kept=True)
    all_at_once(bench, first, second)
    for server in (first, second):
        server.stop()
    held(bench)


def at_a_rate(bench: Bench, way: str, env: dict[str, str], goal: int, is_kept: bool = False) -> tuple[Server, Server]:
    """Beside half of the peak of tokens, `RATE` revocations a second on one node. Returns both nodes, which run on if `is_kept`."""
    first = bench.server(f"postgres-many-revocations-{way.split()[0].lower()}")
    second = bench.server(f"{first.name}-other", first)
    for server in (first, second):
        server.env |= env
        server.start()
    peak = bench.loads.wrk(bench.token_target(first), bench.seconds, retry=False).rate
    tokens = bench.directory / "revoked.txt"
    bench.loads.collect_tokens(bench.token_target(first), RATE * (SECONDS + 2), tokens)
    load = bench.processes.start(half_load(bench, first, peak / 2), bench.directory / "half.log")
    revoking = bench.processes.start(revocation_load(bench, first, tokens), bench.directory / "revoking.log")
    time.sleep(2)
    times = sorted(time_until_seen(first, second) for _ in range(TIMED))
    bench.processes.stop(revoking)
    bench.processes.stop(load)
    p99 = times[len(times) * 99 // 100]
    bench.add_value("nodes", f"revocation seen by another node, by {way}, at {grouped(peak / 2)} tokens/s and {grouped(RATE)} revocations/s",
                    f"p50 {times[len(times) // 2]:.1f} ms, p99 {p99:.1f} ms, at most {times[-1]:.1f} ms of {TIMED}", f"p99 <= {goal} ms", p99 <= goal)
    if not is_kept:
        for server in (first, second):
            server.stop()
    return first, second


def revocation_load(bench: Bench, server: Server, tokens: Path) -> list[str]:
    return [str(bench.binaries / "openloop"), "--port", str(server.port), "--path", "/oauth/revoke",
            "--authorization", server.authorization["bench-p"], "--tokens", str(tokens), "--rate", str(RATE), "--seconds", str(SECONDS),
            "--connections", "16"]


def all_at_once(bench: Bench, first: Server, second: Server) -> None:
    """A million tokens of a client in the ledger, revoked by a subcommand: the time until another node knows it."""
    log(f"filling {first.name} with {MANY} tokens")
    bench.postgres.fill(f"bench-{first.name}", "bench-p", MANY, 0)
    token, authorization = first.token("bench-p"), first.authorization["bench-p"]
    form = urlencode({"token": token})
    began = time.monotonic()
    first.command("token", "revoke", "--client", "bench-p")
    answered = time.monotonic()
    while True:
        status, body = post(second.port, "/oauth/introspect", authorization, form)
        if status == 200 and b'"active":false' in body:
            break
        if time.monotonic() > answered + 5:
            raise BenchError("the revocation of all tokens is not seen by the other node within 5 s")
    seen = (time.monotonic() - began) * 1000
    bench.add_value("nodes", f"{grouped(MANY)} tokens of a client revoked, seen by another node, from the start of the subcommand",
                    f"{seen:.1f} ms, of which {(answered - began) * 1000:.1f} ms until its end", "<= 1000 ms", seen <= 1000)


def introspection(bench: Bench, server: Server) -> Target:
    """A thousand tokens again and again."""
    file = bench.directory / f"known-{server.name}.tokens"
    bench.loads.collect_tokens(bench.token_target(server, "bench-u"), KNOWN, file)
    return Target(server.port, "/oauth/introspect", server.authorization["bench-u"], "", file)


def held(bench: Bench) -> None:
    """Memory per revocation, and the rate of introspection with a million of them against none."""
    plain, full = bench.server("postgres-none-revoked"), bench.server("postgres-many-held")
    size = revocation_bytes(bench, full, MANY)
    bench.add_value("nodes", f"memory per revocation, {grouped(MANY)} held, Postgres", f"{size:.0f} bytes", "<= 80 bytes", size <= 80)
    plain.start()
    bench.interleave({server.name: (introspection(bench, server), server.pid) for server in (plain, full)})
    ratio, errors = bench.ratio(full.name, plain.name), bench.errors(full.name, plain.name)
    bench.add_value("nodes", f"introspection with {grouped(MANY)} revocations held, against none{bench.noisy(full.name, plain.name)}",
                    f"{grouped(bench.median(full.name, lambda sample: sample.rate))}/s, {ratio:.3f} of the rate without"
                    + (f"; {errors} errors" if errors else ""), ">= 0.95", ratio >= 0.95 and not errors)
    for server in (plain, full):
        server.stop()
