"""Putting load on a server: wrk (closed loop), openloop (constant rate, or one connection), pgbench."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .processes import BenchError, Processes, UsageMeter, Watcher
from .stores import BINARIES, Postgres

SCRIPTS = Path(__file__).resolve().parent.parent / "bench-lua"
CONNECTIONS = 64
#: Tokens in a request of batch introspection.
BATCH = 1000
#: A sample beside which other programs used more of the machine than this is taken again.
NOISY = 0.08
RETRIES = 2

#: The statement of the server, for one row. A random id costs Postgres less than making a time-ordered one in SQL.
PGBENCH_INSERT = """INSERT INTO tokens (jti, expires_at, client_id, scope, aud, format, secret_hash)
SELECT unnest(ARRAY[gen_random_uuid()]), unnest(ARRAY[date_trunc('second', now()) + interval '30 minutes']),
unnest(ARRAY['bench-p']), unnest(ARRAY['read write']), unnest(ARRAY['http://127.0.0.1:8080']),
unnest(ARRAY[1::smallint]), unnest(ARRAY[NULL::bytea]);
"""


@dataclass
class Sample:
    """One measurement: a rate in requests a second, latencies in milliseconds."""

    rate: float
    p50: float
    p99: float
    #: Answers that were not 2xx, and connections that broke.
    bad: int
    #: Share of the machine used by programs that are no part of this.
    foreign: float
    #: Processor microseconds a request, by process id.
    cpu_us: dict[int, float] = field(default_factory=dict)
    #: Where the generator says them.
    p95: float | None = None
    longest: float | None = None
    #: How many were answered.
    requests: int = 0


def quietest(take: Callable[[], Sample], tries: int) -> Sample:
    """The sample that other programs disturbed least; no more are taken once one is quiet."""
    best = take()
    while best.foreign > NOISY and (tries := tries - 1) > 0:
        best = min(best, take(), key=lambda sample: sample.foreign)
    return best


@dataclass
class Target:
    """Where a load goes."""

    port: int
    path: str
    authorization: str
    body: str = ""
    #: A file of tokens to put into the form, and whether each is used once or again and again.
    tokens: Path | None = None
    once: bool = False
    #: The tokens go into batches instead.
    batches: bool = False
    #: A file of Authorization values, each used in turn.
    clients: Path | None = None
    #: What the form holds before such a token. It, the body and the authorization may be "@" and the name of a file.
    before: str = "token="
    #: Scheme, host and port, where it is not a port of 127.0.0.1.
    origin: str | None = None

    @property
    def url(self) -> str:
        return (self.origin or f"http://127.0.0.1:{self.port}") + self.path


class Loads:
    def __init__(self, processes: Processes, openloop: Path | None, directory: Path) -> None:
        self.wrk_binary = shutil.which("wrk")
        if self.wrk_binary is None:
            raise BenchError("wrk is missing; install it")
        self.processes, self.openloop, self.directory = processes, openloop, directory

    def wrk(self, target: Target, seconds: int, retry: bool = True, connections: int = CONNECTIONS,
            watch: Watcher | None = None) -> Sample:
        """wrk with one thread; the quietest of a few tries when others disturb, but one alone that is watched."""
        if target.clients is not None:
            script = ["clients.lua", target.url, "--", str(target.clients), target.body]
        elif target.batches:
            script = ["batches.lua", target.url, "--", target.authorization, str(target.tokens)]
        elif target.tokens is not None:
            script = ["tokens.lua", target.url, "--", target.authorization, str(target.tokens),
                      "once" if target.once else "again", target.before]
        else:
            script = ["form.lua", target.url, "--", target.authorization, target.body]
        command = [str(self.wrk_binary), "-t1", f"-c{connections}", f"-d{seconds}s", "-s",
                   str(SCRIPTS / script[0]), *script[1:]]

        def take() -> Sample:
            with watch or nullcontext():
                meter = UsageMeter(self.processes)
                out = json.loads(self.processes.run(command, timeout=seconds + 30).splitlines()[-1])
                usage = meter.read()
            requests = max(1, out["requests"])
            return Sample(
                out["requests"] / out["seconds"], out["p50_us"] / 1000, out["p99_us"] / 1000,
                out["not_ok"] + out["broken"], usage.foreign,
                {pid: used * 1e6 / requests for pid, used in usage.by_process.items()},
                out["p95_us"] / 1000, out["max_us"] / 1000, out["requests"])

        return quietest(take, 1 + (RETRIES if retry and not target.once and not watch else 0))

    def _openloop(self, target: Target, timeout: float, *options: str) -> tuple[dict[str, Any], float]:
        if self.openloop is None:
            raise BenchError("openloop of benches/ceiling is missing")
        meter = UsageMeter(self.processes)
        out = self.processes.run(
            [str(self.openloop), "--port", str(target.port), "--path", target.path, "--authorization",
             target.authorization, "--body", target.body, *options], timeout=timeout)
        figures: dict[str, Any] = json.loads(out)
        return figures, meter.read().foreign

    def _sample(self, target: Target, seconds: int, *options: str) -> Sample:
        def take() -> Sample:
            out, foreign = self._openloop(target, seconds + 30, "--seconds", str(seconds + 1), *options)
            return Sample(out["rate"], out["p50_us"] / 1000, out["p99_us"] / 1000, out["not_ok"], foreign, {},
                          out["p95_us"] / 1000, out["max_us"] / 1000)

        return quietest(take, 1 + RETRIES)

    def at_rate(self, target: Target, seconds: int, rate: float) -> Sample:
        return self._sample(target, seconds, "--rate", f"{rate:.0f}", "--connections", str(CONNECTIONS))

    def alone(self, target: Target, seconds: int) -> Sample:
        """One client on one connection."""
        return self._sample(target, seconds, "--closed", "--connections", "1")

    def count(self, target: Target, count: int) -> int:
        """About so many requests, one connection after the other; answers how many were answered."""
        out, _ = self._openloop(target, 300, "--closed", "--connections", "16", "--seconds", "280", "--count", str(count))
        if out["not_ok"]:
            raise BenchError(f"{out['not_ok']} of {out['answered']} answers were errors")
        return int(out["answered"])

    def collect(self, target: Target, count: int, file: Path) -> None:
        """Keeps `count` access tokens or a few more."""
        out, _ = self._openloop(target, 300, "--closed", "--connections", "32", "--seconds", "280", "--count",
                                str(count), "--collect", str(file))
        if out["not_ok"] or out["answered"] < count:
            raise BenchError(f"only {out['answered']} of {count} tokens were issued")

    def pgbench(self, postgres: Postgres, database: str, seconds: int) -> Sample:
        """The INSERT alone, prepared, from one client over the same kind of connection as the server's."""
        script = self.directory / "insert.sql"
        script.write_text(PGBENCH_INSERT, encoding="ascii")
        meter = UsageMeter(self.processes)
        prefix = self.directory / "pgbench"
        self.processes.run(
            [str(BINARIES / "pgbench"), "-n", "-M", "prepared", "-c1", "-j1", f"-T{seconds}", "-l",
             f"--log-prefix={prefix}", "-f", str(script), "-h", "127.0.0.1", "-p", str(postgres.port), "-U",
             "postgres", database], timeout=seconds + 30)
        foreign = meter.read().foreign
        times: list[int] = []
        for log in self.directory.glob("pgbench.*"):
            # The third column is the transaction's time in microseconds.
            times += [int(line.split()[2]) for line in log.read_text(encoding="ascii").splitlines()]
            log.unlink()
        if not times:
            raise BenchError("pgbench recorded nothing")
        times.sort()
        return Sample(len(times) / seconds, statistics.median(times) / 1000, times[len(times) * 99 // 100] / 1000, 0,
                      foreign)
