"""Clients that were imported with hashes of another product: the import, their rates once each has come, a storm of first requests."""

from __future__ import annotations

import base64
import hashlib
import random
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .bench import Bench
from .http_client import basic_authorization
from .load import SCRIPTS, Target
from .processes import BenchError
from .report import grouped, log
from .servers import GRANT, Server

CLIENTS = 100_000
#: Iterations of PBKDF2: few, because each client must come once. The rates afterwards do not depend on it.
ITERATIONS = 1000
#: The longest time until every client has come, seconds.
LONGEST = 900
#: Connections that come for the first time: fewer than places in the queue, so none is rejected.
COMING = 8
#: bcrypt with a cost of 12. No secret of the storm matches: a wrong one costs as much as a right one, and each is verified once.
BCRYPT = "$2a$12$KAgh7nYFo6i/wDWwQu9tIOeP3fSioLuaAaxadxWGj.pRv4HKkqAMK"
STORM_CLIENTS = 1000
#: Connections of a storm that is no more than the pool can verify: one request is verified, and one waits.
PATIENT = 2
#: Connections of a flood: most requests are rejected, and are repeated at once, as no client should.
IMPATIENT = 16
GROUPS = Path("/proc/sys/kernel/sched_autogroup_enabled")
REPLACED = "oauth2_server_secrets_replaced_total"
QUEUE = "oauth2_server_foreign_hash_queue"


def foreign(bench: Bench) -> None:
    if not bench.wants("foreign-hashes"):
        return
    for store in ("postgres", "sqlite"):
        moved(bench, store)
    storm(bench)


def secret(number: int) -> str:
    return f"a-secret-that-was-imported-{number:07}"


def hydra(number: int) -> str:
    """The hash of a secret, as Ory Hydra stores it."""
    salt = f"salt-of-{number:08}".encode()
    key = hashlib.pbkdf2_hmac("sha256", secret(number).encode(), salt, ITERATIONS)
    texts = [base64.b64encode(part).decode().rstrip("=") for part in (salt, key)]
    return f"$pbkdf2-sha256$i={ITERATIONS},l=32${texts[0]}${texts[1]}"


def run_import(bench: Bench, server: Server, file: Path) -> float:
    """Imports a file; returns the seconds it took."""
    began = time.monotonic()
    command = [str(server.binary.with_name("oauth2_server")), "client", "import", str(file)]
    bench.processes.run(command, timeout=600, env=server.env, cwd=server.home)
    return time.monotonic() - began


def moved(bench: Bench, store: str) -> None:
    """As many clients with imported hashes, each of which has come once, and native ones."""
    native, imported = bench.server(f"{store}-native"), bench.server(f"{store}-imported")
    hashes, secrets, clients = (bench.directory / f"{store}.{name}" for name in ("hashes.csv", "secrets.csv", "clients"))
    log(f"hashing {CLIENTS} secrets")
    with hashes.open("w", encoding="ascii") as with_hash, secrets.open("w", encoding="ascii") as with_secret, \
            clients.open("w", encoding="ascii") as authorizations:
        with_hash.write("client_id,client_secret_hash,scope\n")
        with_secret.write("client_id,client_secret,scope\n")
        for n in range(CLIENTS):
            with_hash.write(f'moved-{n:07},"{hydra(n)}",read write\n')
            with_secret.write(f"moved-{n:07},{secret(n)},read write\n")
            authorizations.write(basic_authorization(f"moved-{n:07}", secret(n)) + "\n")
    run_import(bench, native, secrets)
    rate = CLIENTS / run_import(bench, imported, hashes)
    bench.add_value("foreign", f"import of 100 000 clients with PBKDF2 hashes, CSV, {store}", f"{grouped(rate)} clients/s",
                    ">= 10 000/s", rate >= 10_000)
    for server in (native, imported):
        server.start()
    took = come_once(bench, imported, clients)
    bench.add_value("foreign", f"first request of each of 100 000 clients, PBKDF2 with {ITERATIONS} iterations, {store}",
                    f"{grouped(CLIENTS / took)} clients/s")
    listed = imported.command("client", "list", "--slow-secrets", "--limit", "1", "--json")
    if '"client_id"' in listed:
        raise BenchError(f"a hash was not replaced: {listed}")
    bench.interleave({f"moved-{server.name}": (Target(server.port, "/oauth/token", "", GRANT, clients=clients), server.pid)
                      for server in (native, imported)})
    key, baseline = f"moved-{imported.name}", f"moved-{native.name}"
    bench.add_ratio("foreign", f"durable PASETO, {store}, 100 000 imported clients after each has come", (key, baseline), "native clients",
                    0.97)
    for server in (native, imported):
        server.stop()
    for file in (hashes, secrets, clients):
        file.unlink()


def come_once(bench: Bench, server: Server, clients: Path) -> float:
    """Sends requests of all clients in rotation until every hash is replaced; returns the seconds that took."""
    began = time.monotonic()
    coming = first_requests(bench, bench.token_target(server), clients, COMING)
    while server.counter(REPLACED) < CLIENTS:
        if coming.poll() is not None:
            raise BenchError(f"only {server.counter(REPLACED):.0f} of {CLIENTS} hashes were replaced")
        time.sleep(0.5)
    took = time.monotonic() - began
    bench.processes.stop(coming)
    return took


def storm(bench: Bench) -> None:
    """Native clients at a tenth of the peak rate, with and without imported clients that authenticate for the first time."""
    server = bench.server("postgres-storm")
    # Otherwise further failures would be delayed, and the storm would be none.
    server.env["OAUTH2_LIMITS_AUTH_FAILURES_MODE"] = "observe"
    records, clients = bench.directory / "storm.csv", bench.directory / "storm.clients"
    ids = [f"storm-{n:04}" for n in range(STORM_CLIENTS)]
    records.write_text("client_id,client_secret_hash\n" + "".join(f'{one},"{BCRYPT}"\n' for one in ids), encoding="ascii")
    lines = [basic_authorization(one, f"attempt-number-{attempt}-of-a-client") + "\n" for attempt in range(100) for one in ids]
    random.Random(1).shuffle(lines)
    clients.write_text("".join(lines), encoding="ascii")
    run_import(bench, server, records)
    server.start()
    native = bench.token_target(server)
    rate = bench.loads.wrk(native, bench.seconds).rate / 10
    verifications: dict[str, list[float]] = {"storm": [], "grouped": [], "flood": []}
    longest: list[float] = []
    for _ in range(bench.rounds):
        for alone, phases in (("alone", [("storm", PATIENT)]), ("alone-grouped", [("grouped", PATIENT), ("flood", IMPATIENT)])):
            with sessions_as_groups(alone == "alone-grouped"):
                bench.record(f"native-{alone}", bench.loads.at_rate(native, bench.seconds, rate))
                for key, connections in phases:
                    coming = first_requests(bench, native, clients, connections)
                    with watched(server, QUEUE) as lengths:
                        before, began = verified(server), time.monotonic()
                        bench.record(f"native-in-{key}", bench.loads.at_rate(native, bench.seconds, rate))
                        verifications[key].append((verified(server) - before) / (time.monotonic() - began))
                    bench.processes.stop(coming)
                    longest += lengths
                    # The rest of the queue is not part of the next measurement.
                    while server.counter(QUEUE) > 0:
                        time.sleep(0.1)
    server.stop()
    most = "of bcrypt, the most that the pool can verify"
    for key, alone_key, what, limit in (
            ("storm", "native-alone", most, 2.0),
            ("grouped", "native-alone-grouped", f"{most}, where each session has a share of the cores", None),
            ("flood", "native-alone-grouped", f"of bcrypt, and {IMPATIENT} connections that repeat at once what is rejected", None)):
        alone = bench.median(alone_key, lambda s: s.p99)
        p99, errors = bench.median(f"native-in-{key}", lambda s: s.p99), bench.errors(alone_key, f"native-in-{key}")
        each_second = statistics.median(verifications[key])
        value = f"{p99:.2f} ms, without {alone:.2f} ms" + (f", {errors} errors" if errors else "")
        name = f"p99 of native clients at {grouped(rate)}/s during {each_second:.1f} verifications/s {what}, Postgres"
        if limit is None:
            bench.add_value("foreign", name, value)
        else:
            bench.add_value("foreign", name, value, f"<= {limit:.0f} times", p99 <= limit * alone and not errors)
    # 16 per thread wait, and one runs.
    most = 17 * max(1, bench.workers // 2)
    bench.add_value("foreign", "longest queue of verifications meanwhile", f"{max(longest):.0f}", f"<= {most}", max(longest) <= most)


def first_requests(bench: Bench, target: Target, clients: Path, connections: int) -> subprocess.Popen[bytes]:
    """Starts requests of clients in rotation, each of which needs a verification."""
    wrk = shutil.which("wrk")
    assert wrk is not None
    command = [wrk, "-t1", f"-c{connections}", f"-d{LONGEST}s", "--timeout", "5s", "-s", str(SCRIPTS / "clients.lua"), target.url, "--",
               str(clients), GRANT]
    coming = bench.processes.start(command, bench.directory / "coming.log")
    time.sleep(1)
    return coming


@contextmanager
def sessions_as_groups(wanted: bool) -> Iterator[None]:
    """Sets whether the kernel first divides the cores among sessions, and then among the threads of each. The server, each backend of Postgres and the
    load generator have sessions of their own: a thread that runs only on an idle core then takes cores from all of them but the server."""
    try:
        before = GROUPS.read_text(encoding="ascii")
        GROUPS.write_text(str(int(wanted)), encoding="ascii")
    except FileNotFoundError:
        # The kernel has no such groups.
        yield
        return
    except PermissionError as error:
        raise BenchError(f"{GROUPS} must be set for this measurement, which needs root") from error
    try:
        yield
    finally:
        GROUPS.write_text(before, encoding="ascii")


@contextmanager
def watched(server: Server, gauge: str) -> Iterator[list[float]]:
    """The values of a gauge of the server in this block, read five times per second."""
    values: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            values.append(server.counter(gauge))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield values
    finally:
        ended.set()
        watcher.join()


def verified(server: Server) -> float:
    return sum(server.counter(f'oauth2_server_foreign_hash_checks_total{{outcome="{outcome}"}}')
               for outcome in ("matched", "mismatched"))
