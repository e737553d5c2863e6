"""What the operator of many clients pays: limits and quotas for everyone, imports, a million clients, a flood of wrong secrets."""

from __future__ import annotations

import shutil
import statistics
import time

from .bench import Bench, say
from .load import SCRIPTS
from .processes import resident_mib
from .report import spaced
from .servers import GRANT, Server, basic

CLIENTS = 1_000_000
COLUMNS = ["what", "value", "goal", "held"]
#: More than anybody asks for, so that every request is counted and none refused.
UNREACHED = {"OAUTH2_LIMITS_TOKEN": "1000000000/s", "OAUTH2_QUOTAS_HOUR": "9007199254740991",
             "OAUTH2_QUOTAS_DAY": "9007199254740991", "OAUTH2_QUOTAS_MONTH": "9007199254740991"}
#: A flood is of so many connections, which ask as fast as they are answered.
FLOOD = 64


def line(bench: Bench, what: str, value: str, goal: str = "", held: bool | None = None) -> None:
    bench.table("fleet", COLUMNS).lines.append([what, value, goal, held])
    say(f"  {what}: {value}")


def fleet(bench: Bench) -> None:
    if bench.wants("limits"):
        limits(bench)
    if bench.wants("auth-failures"):
        flood(bench)
    if bench.wants("import"):
        for kind in ("sqlite", "postgres"):
            million(bench, kind)


def limits(bench: Bench) -> None:
    """The same server with and without limits and quotas for every client, in turns."""
    for kind in ("postgres", "sqlite"):
        plain, held = bench.server(f"{kind}-unlimited"), bench.server(f"{kind}-limited")
        held.env |= UNREACHED
        for server in (plain, held):
            server.start()
            bench.loads.wrk(bench.token_target(server), 1, retry=False)
        for client, what in (("bench-p", "durable"), ("bench-s", "stateless")):
            for _ in range(bench.rounds):
                for server in (plain, held):
                    sample = bench.loads.wrk(bench.token_target(server, client), bench.seconds)
                    bench.note(f"{what}-{server.name}", sample, server.pid)
            key, beside = f"{what}-{held.name}", f"{what}-{plain.name}"
            ratio, bad = bench.ratio(key, beside), bench.bad(key, beside)
            line(bench, f"{what} PASETO, {kind}, a rate and three quotas for every client{bench.noisy(key, beside)}",
                 f"{spaced(bench.median(key, lambda s: s.rate))}/s, {ratio:.3f} of the same without"
                 + (f", invalid: {bad} errors" if bad else ""), ">= 0.95", ratio >= 0.95 and not bad)
        for server in (plain, held):
            server.stop()


def flood(bench: Bench) -> None:
    """Good clients at a tenth of the peak, alone and beside connections that fail as fast as they are answered: past the first
    hundred of a minute the server holds each answer back."""
    server = bench.server("postgres-flooded")
    server.start()
    good, wrk = bench.token_target(server), shutil.which("wrk")
    assert wrk is not None
    peak = bench.loads.wrk(good, bench.seconds).rate
    rate = peak / 10
    command = [wrk, "-t1", f"-c{FLOOD}", f"-d{bench.seconds + 2}s", "-s", str(SCRIPTS / "form.lua"), good.url, "--",
               basic("bench-p", "x" * 55), GRANT]
    failed = 0.0
    for _ in range(bench.rounds):
        bench.note("good-alone", bench.loads.at_rate(good, bench.seconds, rate))
        before, began = failures(server), time.monotonic()
        flooding = bench.processes.start(command, bench.directory / "flood.log")
        time.sleep(1)
        bench.note("good-flooded", bench.loads.at_rate(good, bench.seconds, rate))
        flooding.wait(timeout=30)
        failed = (failures(server) - before) / (time.monotonic() - began)
    server.stop()
    alone, flooded = (bench.median(key, lambda s: s.p99) for key in ("good-alone", "good-flooded"))
    bad = bench.bad("good-alone", "good-flooded")
    line(bench, f"p99 of good clients at {spaced(rate)}/s beside {spaced(failed)} failed authentications a second, Postgres",
         f"{flooded:.2f} ms, alone {alone:.2f} ms" + (f", {bad} errors" if bad else ""), "<= 2 times",
         flooded <= 2 * alone and not bad)


def failures(server: Server) -> float:
    return sum(server.counter(f'oauth2_server_auth_failures_total{{decision="{decision}"}}') for decision in ("within", "over"))


def million(bench: Bench, kind: str) -> None:
    """An import of a million clients, then starts with them."""
    server, one = bench.server(f"{kind}-million"), bench.server(f"{kind}-few")
    one.start()
    time.sleep(1)
    idle = resident_mib(one.pid)
    one.stop()
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
    line(bench, f"import of 1 000 000 clients, CSV, {kind}", f"{spaced(CLIENTS / took)} clients/s", ">= 20 000/s",
         CLIENTS / took >= 20_000)
    starts = [start_and_stop(server) for _ in range(3)]
    ready = statistics.median(start for start, _ in starts)
    line(bench, f"start to ready, 1 000 000 clients, {kind}", f"{ready:.2f} s", "<= 5 s", ready <= 5)
    each = (statistics.median(mib for _, mib in starts) - idle) * 1024 * 1024 / CLIENTS
    line(bench, f"memory beyond idle, 1 000 000 clients, {kind}", f"{each:.0f} bytes a client", "<= 400 bytes", each <= 400)


def start_and_stop(server: Server) -> tuple[float, float]:
    took = server.start()
    mib = resident_mib(server.pid)
    server.stop()
    return took, mib
