"""Memory and start-up time of the server, and the effect of a large store on its rates."""

from __future__ import annotations

import statistics

from .bench import Bench
from .load import Target
from .processes import resident_mib
from .report import grouped, log
from .servers import GRANT, Server
from .stores import bulk_authorizations, fill_sqlite, register_sqlite

LEDGER_TOKENS = 1_000_000
LEDGER_REVOCATIONS = 100_000
CLIENTS = 100_000
#: How many of the clients send requests, in rotation.
ACTIVE_CLIENTS = 10_000


def memory(bench: Bench, what: str, server: Server, goal: float | None = None) -> None:
    mib = resident_mib(server.pid)
    bench.add_value("size", what, f"{mib:.1f} MiB", f"<= {goal:.0f} MiB" if goal else "", mib <= goal if goal else None)


def idle(bench: Bench) -> None:
    """Must run before any load."""
    if bench.wants("memory"):
        for store in ("postgres", "sqlite"):
            memory(bench, f"resident, idle, {store}", bench.servers[store], 40)


def loaded(bench: Bench) -> None:
    if bench.wants("memory") and bench.samples:
        for store in ("postgres", "sqlite"):
            memory(bench, f"resident after the load above, {store}", bench.servers[store])


def fill(bench: Bench, server: Server, tokens: int, revocations: int = 0) -> None:
    """Inserts tokens and revocations. The server must have run once, so that partitions exist, and must be stopped."""
    log(f"filling {server.name} with {tokens} tokens")
    if server.name.startswith("postgres"):
        bench.postgres.fill(f"bench-{server.name}", "bench-p", tokens, revocations)
    else:
        fill_sqlite(server.home / "data" / "oauth2.db", "bench-p", tokens, revocations)


def revocation_bytes(bench: Bench, server: Server, count: int) -> float:
    """The server's memory per active revocation. Leaves it running, with this many."""
    server.start()
    server.token("bench-p")
    without = resident_mib(server.pid)
    server.stop()
    fill(bench, server, count, count)
    server.start()
    server.token("bench-p")
    return (resident_mib(server.pid) - without) * 1024 * 1024 / count


def ledger(bench: Bench) -> None:
    """Start-up time and memory with a full ledger."""
    if not bench.wants("memory", "start"):
        return
    for store in ("postgres", "sqlite"):
        server = bench.server(f"{store}-ledger")
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
                memory(bench, f"resident, 1 M live tokens and 100 k revocations, {store}", server, 80)
            server.stop()
        took = statistics.median(starts)
        if bench.wants("start"):
            bench.add_value("size", f"start to ready, 1 M live tokens and 100 k revocations, {store}", f"{took:.2f} s", "<= 1 s",
                            took <= 1)


def clients(bench: Bench) -> None:
    """Start-up time, memory and rate with 100 000 clients, of which 10 000 send requests in rotation, and with five."""
    if not bench.wants("clients"):
        return
    for store in ("postgres", "sqlite"):
        few, many = bench.server(f"{store}-one"), bench.server(f"{store}-clients")
        log(f"registering {CLIENTS} clients in {many.name}")
        if store == "postgres":
            bench.postgres.register(f"bench-{many.name}", CLIENTS)
        else:
            register_sqlite(many.home / "data" / "oauth2.db", CLIENTS)
        active = bench.directory / "active.clients"
        active.write_text("\n".join(bulk_authorizations(CLIENTS, ACTIVE_CLIENTS)) + "\n", encoding="ascii")
        starts = {server.name: server.start() for server in (few, many)}
        for server in (few, many):
            count = "100 000 clients" if server is many else "5 clients"
            bench.add_value("size", f"start to ready, {count}, {store}", f"{starts[server.name]:.2f} s")
            memory(bench, f"resident, idle, {count}, {store}", server)
        targets = {few.name: bench.token_target(few), many.name: Target(many.port, "/oauth/token", "", GRANT, clients=active)}
        for server in (few, many):
            bench.loads.wrk(targets[server.name], 1, retry=False)
        bench.interleave({f"durable-{server.name}": (targets[server.name], server.pid) for server in (few, many)})
        for server in (few, many):
            server.stop()
        key, baseline = f"durable-{many.name}", f"durable-{few.name}"
        errors = bench.errors(key, baseline)
        bench.add_value(
            "size", f"durable PASETO, {store}, 10 000 of 100 000 clients in rotation{bench.noisy(key, baseline)}",
            f"{grouped(bench.median(key, lambda s: s.rate))}/s, {bench.ratio(key, baseline):.2f} of the rate with one client"
            + (f", invalid: {errors} errors" if errors else ""))


def large(bench: Bench, sizes: list[int]) -> None:
    """The durable rates with `sizes` tokens in the ledger and with an almost empty ledger, alternating."""
    table = bench.table("large ledger", ["what", "rate", "p99 ms", "errors", "ratio", "goal", "held"])
    for store in ("postgres", "sqlite"):
        if not bench.wants(f"durable-{store}"):
            continue
        few = bench.server(f"{store}-few")
        few.start()
        many = {size: bench.server(f"{store}-with-{size}") for size in sizes}
        for size, server in many.items():
            server.start()
            server.token("bench-p")
            server.stop()
            fill(bench, server, size)
            server.start()
        servers = [few, *many.values()]
        for server in servers:
            bench.loads.wrk(bench.token_target(server), 2, retry=False)
        bench.interleave({f"durable-{server.name}": (bench.token_target(server), server.pid) for server in servers})
        for server in servers:
            server.stop()
        baseline = f"durable-{few.name}"
        for size, server in many.items():
            key = f"durable-{server.name}"
            ratio, errors = bench.ratio(key, baseline), bench.errors(key, baseline)
            table.lines.append([
                f"durable PASETO, {store}, {grouped(size)} more tokens in the ledger",
                f"{grouped(bench.median(key, lambda s: s.rate))}/s{bench.noisy(key, baseline)}",
                f"{bench.median(key, lambda s: s.p99):.2f}", str(errors), f"{ratio:.2f} of the rate without them", ">= 0.85",
                ratio >= 0.85 and not errors])
