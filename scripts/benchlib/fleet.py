"""The cost of many clients: limits and quotas for every client, imports, a million clients, floods of wrong secrets."""

from __future__ import annotations

import shutil
import statistics
import time

from .bench import Bench
from .http_client import basic_authorization
from .load import SCRIPTS
from .processes import resident_mib
from .report import grouped
from .servers import GRANT, Server

CLIENTS = 1_000_000
#: Limits above any rate that is measured: every request is counted and none is rejected.
UNREACHED = {"OAUTH2_LIMITS_TOKEN": "1000000000/s", "OAUTH2_QUOTAS_HOUR": "9007199254740991",
             "OAUTH2_QUOTAS_DAY": "9007199254740991", "OAUTH2_QUOTAS_MONTH": "9007199254740991"}
#: Connections of the flood of wrong secrets, each in a closed loop.
FLOOD = 64


def fleet(bench: Bench) -> None:
    if bench.wants("limits"):
        limits(bench)
    if bench.wants("auth-failures"):
        flood(bench)
    if bench.wants("import"):
        for store in ("sqlite", "postgres"):
            million(bench, store)


def limits(bench: Bench) -> None:
    """The server with and without limits and quotas for every client, alternating."""
    for store in ("postgres", "sqlite"):
        plain, limited = bench.server(f"{store}-unlimited"), bench.server(f"{store}-limited")
        limited.env |= UNREACHED
        for server in (plain, limited):
            server.start()
            bench.loads.wrk(bench.token_target(server), 1, retry=False)
        for client, what in (("bench-p", "durable"), ("bench-s", "stateless")):
            bench.interleave({f"{what}-{server.name}": (bench.token_target(server, client), server.pid)
                              for server in (plain, limited)})
            key, baseline = f"{what}-{limited.name}", f"{what}-{plain.name}"
            bench.add_ratio("fleet", f"{what} PASETO, {store}, a rate limit and three quotas for every client", (key, baseline),
                            "the rate without", 0.95)
        for server in (plain, limited):
            server.stop()


def flood(bench: Bench) -> None:
    """Legitimate clients at a tenth of the peak rate, with and without connections that send wrong secrets in a closed loop.
    After a hundred failures per minute the server delays the responses to further failures."""
    server = bench.server("postgres-flooded")
    server.start()
    legitimate, wrk = bench.token_target(server), shutil.which("wrk")
    assert wrk is not None
    peak = bench.loads.wrk(legitimate, bench.seconds).rate
    rate = peak / 10
    command = [wrk, "-t1", f"-c{FLOOD}", f"-d{bench.seconds + 2}s", "-s", str(SCRIPTS / "form.lua"), legitimate.url, "--",
               basic_authorization("bench-p", "x" * 55), GRANT]
    failed = 0.0
    for _ in range(bench.rounds):
        bench.record("good-alone", bench.loads.at_rate(legitimate, bench.seconds, rate))
        before, began = failures(server), time.monotonic()
        flooding = bench.processes.start(command, bench.directory / "flood.log")
        time.sleep(1)
        bench.record("good-flooded", bench.loads.at_rate(legitimate, bench.seconds, rate))
        flooding.wait(timeout=30)
        failed = (failures(server) - before) / (time.monotonic() - began)
    server.stop()
    alone, flooded = (bench.median(key, lambda s: s.p99) for key in ("good-alone", "good-flooded"))
    errors = bench.errors("good-alone", "good-flooded")
    bench.add_value(
        "fleet",
        f"p99 of legitimate clients at {grouped(rate)}/s during {grouped(failed)} failed authentications per second, Postgres",
        f"{flooded:.2f} ms, without {alone:.2f} ms" + (f", {errors} errors" if errors else ""), "<= 2 times",
        flooded <= 2 * alone and not errors)


def failures(server: Server) -> float:
    return sum(server.counter(f'oauth2_server_auth_failures_total{{decision="{decision}"}}') for decision in ("within", "over"))


def million(bench: Bench, store: str) -> None:
    """Imports a million clients, then starts the server with them."""
    server, baseline = bench.server(f"{store}-million"), bench.server(f"{store}-few")
    baseline.start()
    time.sleep(1)
    idle = resident_mib(baseline.pid)
    baseline.stop()
    file = bench.directory / "million.csv"
    with file.open("w", encoding="ascii") as out:
        out.write("client_id,client_secret,scope,audience\n")
        for n in range(CLIENTS):
            out.write(f"client-{n:07},a-secret-of-an-imported-client-{n:07},read write,https://api.example\n")
    began = time.monotonic()
    bench.processes.run([str(server.binary.with_name("oauth2_server")), "client", "import", str(file)], timeout=600, env=server.env,
                        cwd=server.home)
    took = time.monotonic() - began
    file.unlink()
    bench.add_value("fleet", f"import of 1 000 000 clients, CSV, {store}", f"{grouped(CLIENTS / took)} clients/s", ">= 20 000/s",
                    CLIENTS / took >= 20_000)
    starts = [start_and_stop(server) for _ in range(3)]
    ready = statistics.median(start for start, _ in starts)
    bench.add_value("fleet", f"start to ready, 1 000 000 clients, {store}", f"{ready:.2f} s", "<= 5 s", ready <= 5)
    each = (statistics.median(mib for _, mib in starts) - idle) * 1024 * 1024 / CLIENTS
    bench.add_value("fleet", f"memory above idle, 1 000 000 clients, {store}", f"{each:.0f} bytes per client", "<= 400 bytes",
                    each <= 400)


def start_and_stop(server: Server) -> tuple[float, float]:
    """Seconds from start to ready, and resident memory in MiB."""
    took = server.start()
    mib = resident_mib(server.pid)
    server.stop()
    return took, mib
