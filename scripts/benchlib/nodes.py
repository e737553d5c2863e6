"""The cost of being one of several nodes, and how soon a node knows a change of another node."""

from __future__ import annotations

import http.client
import shutil
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

from .bench import Bench
from .fleet import UNREACHED
from .http_client import post
from .load import Target
from .processes import BenchError, free_port
from .report import grouped
from .servers import Server

#: Revocations whose way to another node is timed.
REVOCATIONS = 400
NODES = 3
#: A rate that is not reached, and low enough that leases are asked for several times a second.
RATE = "50000/s"


def nodes(bench: Bench) -> None:
    if bench.wants("observability"):
        observability(bench)
    if not bench.wants("nodes"):
        return
    redis = start_redis(bench)
    shared_limits(bench, redis)
    revocations(bench, redis)
    many(bench, redis)


def start_redis(bench: Bench) -> str:
    """Starts a private Redis that keeps nothing; returns its URL."""
    binary, port = shutil.which("redis-server"), free_port()
    if binary is None:
        raise BenchError("redis-server is missing; run make setup")
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(bench.directory)]
    bench.processes.start(command, bench.directory / "redis.log")
    return f"redis://127.0.0.1:{port}"


def observability(bench: Bench) -> None:
    """Metrics, limits, tracing of one request in a hundred (to a collector that does not respond) and the audit of rejections, against
    the same server without them."""
    off, on = bench.server("postgres-blind"), bench.server("postgres-observed")
    off.env |= {"OAUTH2_METRICS_ENABLED": "false"}
    on.env |= UNREACHED | {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER_ARG": "0.01",
                           "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    for server in (off, on):
        server.start()
        bench.loads.wrk(bench.token_target(server), 1, retry=False)
    compare(bench, on, off, "metrics, a rate limit, three quotas, traces of 1 %, audit", 0.90)
    scrape(bench, on)
    for server in (off, on):
        server.stop()


def compare(bench: Bench, server: Server, baseline: Server, what: str, goal: float) -> None:
    for client, kind in (("bench-p", "durable"), ("bench-s", "stateless")):
        key, base = f"{kind}-{server.name}", f"{kind}-{baseline.name}"
        bench.interleave({name: (bench.token_target(one, client), one.pid)
                          for name, one in ((base, baseline), (key, server))})
        ratio, errors = bench.ratio(key, base), bench.errors(key, base)
        p99, without = (bench.median(name, lambda s: s.p99) for name in (key, base))
        bench.add_value(
            "nodes", f"{kind} PASETO, Postgres, {what}{bench.noisy(key, base)}",
            f"{grouped(bench.median(key, lambda s: s.rate))}/s, {ratio:.3f} of the rate without; p99 {p99:.2f} ms, without {without:.2f} ms"
            + (f"; {errors} errors" if errors else ""), f">= {goal:.2f}", ratio >= goal and not errors)


def scrape(bench: Bench, server: Server) -> None:
    """The time that /metrics takes while tokens are issued at the peak."""
    times: list[float] = []
    done = threading.Event()

    def scrapes() -> None:
        while not done.wait(0.1):
            began = time.monotonic()
            connection = http.client.HTTPConnection("127.0.0.1", server.management, timeout=5)
            connection.request("GET", "/metrics")
            connection.getresponse().read()
            connection.close()
            times.append((time.monotonic() - began) * 1000)

    thread = threading.Thread(target=scrapes)
    thread.start()
    bench.loads.wrk(bench.token_target(server), max(bench.seconds, 4), retry=False)
    done.set()
    thread.join()
    median, longest = statistics.median(times), max(times)
    bench.add_value("nodes", "/metrics while tokens are issued at the peak", f"{median:.1f} ms, at most {longest:.1f} ms of {len(times)}",
                    "<= 20 ms", median <= 20)


def shared_limits(bench: Bench, redis: str) -> None:
    """Rates shared by Redis and quotas leased from Postgres, against a server without limits."""
    plain, limited = bench.server("postgres-alone"), bench.server("postgres-shared")
    limited.env |= UNREACHED | {"OAUTH2_LIMITS_TOKEN": RATE, "OAUTH2_REDIS_URL": redis, "OAUTH2_REDIS_REQUIRED": "true"}
    for server in (plain, limited):
        server.start()
        bench.loads.wrk(bench.token_target(server), 1, retry=False)
    compare(bench, limited, plain, "a rate shared by Redis and three leased quotas for every client", 0.90)
    for server in (plain, limited):
        server.stop()


def revocations(bench: Bench, redis: str) -> None:
    """The time from the response of a revocation until another node says inactive, at half of the peak of tokens."""
    ways: list[tuple[str, dict[str, str], int]] = [
        ("Redis", {"OAUTH2_REDIS_URL": redis}, 100),
        ("notifications of Postgres", {}, 150),
        # As behind a pooler, through which notifications do not come.
        ("polls alone", {"OAUTH2_DATABASE_POOLER": "transaction"}, 500),
    ]
    for way, env, goal in ways:
        first = bench.server(f"postgres-revokes-{way.split()[0].lower()}")
        first.env |= env
        second = bench.server(f"{first.name}-other", first)
        second.env |= env
        for server in (first, second):
            server.start()
        peak = bench.loads.wrk(bench.token_target(first), bench.seconds, retry=False).rate
        time.sleep(2)
        load = bench.processes.start(half_load(bench, first, peak / 2), bench.directory / "half.log")
        times = sorted(time_until_seen(first, second) for _ in range(REVOCATIONS))
        bench.processes.stop(load)
        p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
        bench.add_value("nodes", f"revocation seen by another node, by {way}, at {grouped(peak / 2)} tokens/s",
                        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, at most {times[-1]:.1f} ms of {REVOCATIONS}", f"p99 <= {goal} ms", p99 <= goal)
        for server in (first, second):
            server.stop()


def half_load(bench: Bench, server: Server, rate: float) -> list[str]:
    """A load of tokens at a constant rate, for longer than the revocations take."""
    target = bench.token_target(server)
    return [str(bench.binaries / "openloop"), "--port", str(target.port), "--path", target.path, "--authorization", target.authorization,
            "--body", target.body, "--seconds", "300", "--rate", f"{rate:.0f}", "--connections", "32"]


def time_until_seen(first: Server, second: Server) -> float:
    """Milliseconds from the response of a revocation on one node until the other one says inactive."""
    token = first.token("bench-p")
    form = urlencode({"token": token})
    authorization = first.authorization["bench-p"]
    status, body = post(second.port, "/oauth/introspect", authorization, form)
    if status != 200 or b'"active":true' not in body:
        raise BenchError(f"the other node answers {status} {body[:100]!r} to an active token")
    status, _ = post(first.port, "/oauth/revoke", authorization, form)
    revoked = time.monotonic()
    if status != 200:
        raise BenchError(f"a revocation is answered {status}")
    while True:
        status, body = post(second.port, "/oauth/introspect", authorization, form)
        if status == 200 and b'"active":false' in body:
            return (time.monotonic() - revoked) * 1000
        if time.monotonic() > revoked + 5:
            raise BenchError("a revocation is not seen by the other node within 5 s")


def many(bench: Bench, redis: str) -> None:
    """Three nodes on this machine together, against one."""
    first = bench.server("postgres-node-1")
    group = [first, *(bench.server(f"postgres-node-{number}", first) for number in range(2, NODES + 1))]
    for server in group:
        server.env |= {"OAUTH2_REDIS_URL": redis}
        server.start()
        bench.loads.wrk(bench.token_target(server), 1, retry=False)
    ratios = []
    for _ in range(bench.rounds):
        alone = bench.loads.wrk(bench.token_target(first), bench.seconds, retry=False)
        with ThreadPoolExecutor(NODES) as pool:
            def load(server: Server) -> float:
                target: Target = bench.token_target(server)
                return bench.loads.wrk(target, bench.seconds, retry=False, connections=64 // NODES).rate
            together = sum(pool.map(load, group))
        ratios.append(together / alone.rate)
    ratio = statistics.median(ratios)
    bench.add_value("nodes", f"durable PASETO, {NODES} nodes and their load generators on {bench.workers * 2} cores, against one node",
                    f"{ratio:.3f} of its rate", ">= 0.90", ratio >= 0.90)
    for server in group:
        server.stop()
