"""The load generators: wrk (closed loop), openloop (constant rate, or one connection), pgbench."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .processes import BenchError, Perf, Processes, UsageMeter
from .stores import BINARIES, Postgres

SCRIPTS = Path(__file__).resolve().parent.parent / "bench-lua"
CONNECTIONS = 64
#: Tokens in a batch introspection request.
BATCH = 1000
#: A sample with a higher background load than this is repeated.
NOISE_LIMIT = 0.08
RETRIES = 2

#: The server's INSERT for a single row, with a random id: that costs Postgres less than computing a time-ordered id in SQL.
PGBENCH_INSERT = """INSERT INTO tokens (jti, expires_at, client_id, scope, aud, format, secret_hash)
SELECT unnest(ARRAY[gen_random_uuid()]), unnest(ARRAY[date_trunc('second', now()) + interval '30 minutes']),
unnest(ARRAY['bench-p']), unnest(ARRAY['read write']), unnest(ARRAY['http://127.0.0.1:8080']),
unnest(ARRAY[1::smallint]), unnest(ARRAY[NULL::bytea]);
"""


@dataclass
class Sample:
    """One measurement: the rate in requests per second, latencies in milliseconds."""

    rate: float
    p50: float
    p99: float
    #: Responses other than 2xx, and broken connections.
    errors: int
    #: Share of the machine used by programs that are not part of the benchmark.
    background_load: float
    #: CPU microseconds per request, by process id.
    cpu_us: dict[int, float] = field(default_factory=dict)
    #: `None` if the generator does not report it.
    p95: float | None = None
    longest: float | None = None
    #: The number of responses.
    requests: int = 0


def quietest(measure: Callable[[], Sample], attempts: int) -> Sample:
    """Measures until the background load is below NOISE_LIMIT; returns the sample with the lowest background load."""
    best = measure()
    while best.background_load > NOISE_LIMIT and (attempts := attempts - 1) > 0:
        best = min(best, measure(), key=lambda sample: sample.background_load)
    return best


@dataclass
class Target:
    """The destination and the content of a load."""

    port: int
    path: str
    authorization: str
    body: str = ""
    #: A file of tokens for the form, and whether each is used once or in rotation.
    tokens: Path | None = None
    once: bool = False
    #: Whether the tokens are sent in batches instead.
    batches: bool = False
    #: A file of Authorization values to use in rotation.
    clients: Path | None = None
    #: The form before the token. This, `body` and `authorization` may be "@" and a file name.
    form_prefix: str = "token="
    #: Scheme, host and port, if not `port` of 127.0.0.1.
    origin: str | None = None

    @property
    def url(self) -> str:
        return (self.origin or f"http://127.0.0.1:{self.port}") + self.path


class LoadGenerators:
    def __init__(self, processes: Processes, openloop: Path | None, directory: Path) -> None:
        self.wrk_binary = shutil.which("wrk")
        if self.wrk_binary is None:
            raise BenchError("wrk is missing; install it")
        self.processes, self.openloop, self.directory = processes, openloop, directory

    def wrk(self, target: Target, seconds: int, retry: bool = True, connections: int = CONNECTIONS,
            perf: Perf | None = None) -> Sample:
        """Runs wrk with one thread, and again if the background load was high, unless tokens are used once or `perf` runs."""
        if target.clients is not None:
            script = ["clients.lua", target.url, "--", str(target.clients), target.body]
        elif target.batches:
            script = ["batches.lua", target.url, "--", target.authorization, str(target.tokens)]
        elif target.tokens is not None:
            script = ["tokens.lua", target.url, "--", target.authorization, str(target.tokens),
                      "once" if target.once else "again", target.form_prefix]
        else:
            script = ["form.lua", target.url, "--", target.authorization, target.body]
        command = [str(self.wrk_binary), "-t1", f"-c{connections}", f"-d{seconds}s", "-s",
                   str(SCRIPTS / script[0]), *script[1:]]

        def measure() -> Sample:
            with perf or nullcontext():
                meter = UsageMeter(self.processes)
                out = json.loads(self.processes.run(command, timeout=seconds + 30).splitlines()[-1])
                usage = meter.read()
            requests = max(1, out["requests"])
            return Sample(
                out["requests"] / out["seconds"], out["p50_us"] / 1000, out["p99_us"] / 1000,
                out["not_ok"] + out["broken"], usage.background_load,
                {pid: used * 1e6 / requests for pid, used in usage.by_process.items()},
                out["p95_us"] / 1000, out["max_us"] / 1000, out["requests"])

        return quietest(measure, 1 + (RETRIES if retry and not target.once and not perf else 0))

    def _openloop(self, target: Target, timeout: float, *options: str) -> tuple[dict[str, Any], float]:
        if self.openloop is None:
            raise BenchError("openloop of benches/ceiling is missing")
        meter = UsageMeter(self.processes)
        out = self.processes.run(
            [str(self.openloop), "--port", str(target.port), "--path", target.path, "--authorization",
             target.authorization, "--body", target.body, *options], timeout=timeout)
        results: dict[str, Any] = json.loads(out)
        return results, meter.read().background_load

    def _openloop_sample(self, target: Target, seconds: int, *options: str) -> Sample:
        def measure() -> Sample:
            out, background = self._openloop(target, seconds + 30, "--seconds", str(seconds + 1), *options)
            return Sample(out["rate"], out["p50_us"] / 1000, out["p99_us"] / 1000, out["not_ok"], background, {},
                          out["p95_us"] / 1000, out["max_us"] / 1000)

        return quietest(measure, 1 + RETRIES)

    def at_rate(self, target: Target, seconds: int, rate: float) -> Sample:
        return self._openloop_sample(target, seconds, "--rate", f"{rate:.0f}", "--connections", str(CONNECTIONS))

    def single_connection(self, target: Target, seconds: int) -> Sample:
        """One client in a closed loop on one connection."""
        return self._openloop_sample(target, seconds, "--closed", "--connections", "1")

    def send(self, target: Target, count: int) -> int:
        """Sends about `count` requests; returns the exact number of responses."""
        out, _ = self._openloop(target, 300, "--closed", "--connections", "16", "--seconds", "280", "--count", str(count))
        if out["not_ok"]:
            raise BenchError(f"{out['not_ok']} of {out['answered']} responses were errors")
        return int(out["answered"])

    def collect_tokens(self, target: Target, count: int, file: Path) -> None:
        """Requests at least `count` access tokens and writes them to a file."""
        out, _ = self._openloop(target, 300, "--closed", "--connections", "32", "--seconds", "280", "--count",
                                str(count), "--collect", str(file))
        if out["not_ok"] or out["answered"] < count:
            raise BenchError(f"only {out['answered']} of {count} tokens were issued")

    def pgbench(self, postgres: Postgres, database: str, seconds: int) -> Sample:
        """The INSERT alone, prepared, from one client over TCP like the server's connections."""
        script = self.directory / "insert.sql"
        script.write_text(PGBENCH_INSERT, encoding="ascii")
        meter = UsageMeter(self.processes)
        prefix = self.directory / "pgbench"
        self.processes.run(
            [str(BINARIES / "pgbench"), "-n", "-M", "prepared", "-c1", "-j1", f"-T{seconds}", "-l",
             f"--log-prefix={prefix}", "-f", str(script), "-h", "127.0.0.1", "-p", str(postgres.port), "-U",
             "postgres", database], timeout=seconds + 30)
        background = meter.read().background_load
        times: list[int] = []
        for log in self.directory.glob("pgbench.*"):
            # The third column is the duration of the transaction in microseconds.
            times += [int(line.split()[2]) for line in log.read_text(encoding="ascii").splitlines()]
            log.unlink()
        if not times:
            raise BenchError("pgbench logged no transactions")
        times.sort()
        return Sample(len(times) / seconds, statistics.median(times) / 1000, times[len(times) * 99 // 100] / 1000, 0,
                      background)
