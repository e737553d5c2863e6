"""What a server weighs, how long it takes to start, and what much in the store does to its rate."""

from __future__ import annotations

import statistics

from .bench import Bench, say
from .load import Target
from .processes import resident_mib
from .report import spaced
from .servers import GRANT, Server
from .stores import client_ids, fill_sqlite, register_sqlite

LEDGER_TOKENS = 1_000_000
LEDGER_REVOCATIONS = 100_000
CLIENTS = 100_000
#: So many of them ask in turn.
ASKING = 10_000
COLUMNS = ["what", "value", "goal", "held"]


def line(bench: Bench, what: str, value: str, goal: str = "", held: bool | None = None) -> None:
    bench.table("size", COLUMNS).lines.append([what, value, goal, held])
    say(f"  {what}: {value}")


def memory(bench: Bench, what: str, server: Server, goal: float | None = None) -> None:
    mib = resident_mib(server.pid)
    line(bench, what, f"{mib:.1f} MiB", f"<= {goal:.0f} MiB" if goal else "", mib <= goal if goal else None)


def idle(bench: Bench) -> None:
    """To be asked before any load."""
    if bench.wants("memory"):
        for kind in ("postgres", "sqlite"):
            memory(bench, f"resident, idle, {kind}", bench.servers[kind], 40)


def loaded(bench: Bench) -> None:
    if bench.wants("memory") and bench.samples:
        for kind in ("postgres", "sqlite"):
            memory(bench, f"resident after the load above, {kind}", bench.servers[kind])


def fill(bench: Bench, server: Server, tokens: int, revocations: int = 0) -> None:
    """The server must have run, so that there are partitions, and must not be running."""
    say(f"filling {server.name} with {tokens} tokens")
    if server.name.startswith("postgres"):
        bench.postgres.fill(f"bench-{server.name}", "bench-p", tokens, revocations)
    else:
        fill_sqlite(server.home / "data" / "oauth2.db", "bench-p", tokens, revocations)


def ledger(bench: Bench) -> None:
    """Start and memory with a full ledger."""
    if not bench.wants("memory", "start"):
        return
    for kind in ("postgres", "sqlite"):
        server = bench.server(f"{kind}-ledger")
        server.start()
        server.token("bench-p")
        server.stop()
        fill(bench, server, LEDGER_TOKENS, LEDGER_REVOCATIONS)
        starts = []
        for turn in range(bench.rounds):
            starts.append(server.start())
            for _ in range(100):
                server.token("bench-p")
            if turn == bench.rounds - 1 and bench.wants("memory"):
                memory(bench, f"resident, 1 M live tokens and 100 k revocations, {kind}", server, 80)
            server.stop()
        took = statistics.median(starts)
        if bench.wants("start"):
            line(bench, f"start to ready, 1 M live tokens and 100 k revocations, {kind}", f"{took:.2f} s", "<= 1 s", took <= 1)


def clients(bench: Bench) -> None:
    """One client, and 100 000 of which 10 000 ask in turn: start, memory, rate."""
    if not bench.wants("clients"):
        return
    for kind in ("postgres", "sqlite"):
        few, many = bench.server(f"{kind}-one"), bench.server(f"{kind}-clients")
        say(f"registering {CLIENTS} clients in {many.name}")
        if kind == "postgres":
            bench.postgres.register(f"bench-{many.name}", CLIENTS)
        else:
            register_sqlite(many.home / "data" / "oauth2.db", CLIENTS)
        asking = bench.directory / "asking.clients"
        asking.write_text("\n".join(client_ids(CLIENTS, ASKING)) + "\n", encoding="ascii")
        starts = {server.name: server.start() for server in (few, many)}
        for server in (few, many):
            line(bench, f"start to ready, {count_of(server)}, {kind}", f"{starts[server.name]:.2f} s")
            memory(bench, f"resident, idle, {count_of(server)}, {kind}", server)
        loads = {few.name: bench.token_target(few), many.name: Target(many.port, "/oauth/token", "", GRANT, clients=asking)}
        for server in (few, many):
            bench.loads.wrk(loads[server.name], 1, retry=False)
        for _ in range(bench.rounds):
            for server in (few, many):
                bench.note(f"durable-{server.name}", bench.loads.wrk(loads[server.name], bench.seconds), server.pid)
        for server in (few, many):
            server.stop()
        key, beside = f"durable-{many.name}", f"durable-{few.name}"
        bad = bench.bad(key, beside)
        line(bench, f"durable PASETO, {kind}, 10 000 of 100 000 clients in turn{bench.noisy(key, beside)}",
             f"{spaced(bench.median(key, lambda s: s.rate))}/s, {bench.ratio(key, beside):.2f} of the same from one client"
             + (f", invalid: {bad} errors" if bad else ""))


def count_of(server: Server) -> str:
    return "100 000 clients" if server.name.endswith("clients") else "5 clients"


def large(bench: Bench, sizes: list[int]) -> None:
    """The durable rates with so many tokens in the ledger, beside the same with few, in turns."""
    table = bench.table("large ledger", ["what", "rate", "p99 ms", "errors", "ratio", "goal", "held"])
    for kind in ("postgres", "sqlite"):
        if not bench.wants(f"durable-{kind}"):
            continue
        few = bench.server(f"{kind}-few")
        few.start()
        many = {size: bench.server(f"{kind}-with-{size}") for size in sizes}
        for size, server in many.items():
            server.start()
            server.token("bench-p")
            server.stop()
            fill(bench, server, size)
            server.start()
        every = [few, *many.values()]
        for server in every:
            bench.loads.wrk(bench.token_target(server), 2, retry=False)
        for _ in range(bench.rounds):
            for server in every:
                sample = bench.loads.wrk(bench.token_target(server), bench.seconds)
                bench.note(f"durable-{server.name}", sample, server.pid)
        for server in every:
            server.stop()
        beside = f"durable-{few.name}"
        for size, server in many.items():
            key = f"durable-{server.name}"
            ratio, bad = bench.ratio(key, beside), bench.bad(key, beside)
            table.lines.append([
                f"durable PASETO, {kind}, {spaced(size)} tokens more in the ledger",
                f"{spaced(bench.median(key, lambda s: s.rate))}/s{bench.noisy(key, beside)}",
                f"{bench.median(key, lambda s: s.p99):.2f}", str(bad), f"{ratio:.2f} of the same without them", ">= 0.85",
                ratio >= 0.85 and not bad])
