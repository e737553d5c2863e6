"""The measurement in rounds: every row is measured on the peer and then on ours, while the other side is idle."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchlib.load import CONNECTIONS, NOISE_LIMIT, LoadGenerators, Sample, Target
from benchlib.processes import BenchError, Processes, resident_mib
from benchlib.report import log

from . import preflight, web
from .errors import MeasurementError
from .k6 import K6
from .private_files import write_private
from .sides import Side, process_name

#: Tokens that wrk introspects in rotation. They are issued for each sample, so that none expires during it.
POOL = 50
#: Seconds that tokens must live longer than a sample: they are issued before it and introspected once more after it.
MARGIN = 30


@dataclass(frozen=True)
class Row:
    key: str
    what: str
    #: wrk (closed loop, maximum rate) or k6 (fixed rate).
    tool: str
    introspects: bool

    @property
    def scenario(self) -> str:
        """The k6 scenario of the row."""
        return "introspect" if self.introspects else "client_credentials"


ROWS = [
    Row("issue-peak", f"issuing, wrk -t1 -c{CONNECTIONS}", "wrk", False),
    Row("introspect-peak", f"introspection of valid tokens, wrk -t1 -c{CONNECTIONS}", "wrk", True),
    Row("issue-rate", "issuing at a fixed rate, k6", "k6", False),
    Row("introspect-rate", "introspection at a fixed rate, k6", "k6", True),
]


@dataclass
class RowSample:
    """One sample of one side. Rates in requests per second, times in milliseconds, CPU in microseconds per request."""

    number: int
    round: int
    row: str
    side: str
    began: float
    rate: float
    p50: float
    p95: float | None
    p99: float
    longest: float | None
    errors: int
    #: The errors by type, if known.
    error_types: dict[str, int] = field(default_factory=dict)
    dropped: int = 0
    cpu: float | None = None
    database_cpu: float | None = None
    generator_cpu: float | None = None
    #: Share of the machine used by other programs; `None` if the peer's processes are not known.
    background_load: float | None = None


def argument_file(file: Path, content: str) -> str:
    """Writes a private file and returns it as an argument of wrk's scripts."""
    return f"@{write_private(file, content)}"


@dataclass(frozen=True)
class Plan:
    rounds: int
    seconds: int
    #: Requests per second of the rows with a fixed rate.
    rate: int
    warm_up: int
    #: Whether to measure the rows with maximum rate.
    peaks: bool


class Comparison:
    def __init__(self, processes: Processes, plan: Plan, sides: list[Side], directory: Path, k6: K6) -> None:
        self.processes, self.plan, self.sides, self.directory, self.k6 = processes, plan, sides, directory, k6
        self.loads = LoadGenerators(processes, None, directory) if plan.peaks else None
        both = all(side.introspection for side in sides)
        self.rows = [row for row in ROWS if (plan.peaks or row.tool == "k6") and (both or not row.introspects)]
        self.samples: list[RowSample] = []
        #: Memory of each side's processes after the load, MiB.
        self.resident: dict[str, float | None] = {side.key: None for side in sides}
        # Resolved now: the processes may have exited when the report is written.
        self.names = {pid: process_name(pid) for side in sides for pid in side.pids + side.database}
        # If processes of the peer are missing, its own work would count as background load.
        self.all_known = all(side.pids for side in sides)
        processes.external += [pid for side in sides if side.key == "peer" for pid in side.pids + side.database]

    def target(self, side: Side, row: Row) -> Target:
        endpoint = side.introspection if row.introspects else side.token
        client = side.introspection_client if row.introspects else side.client
        assert endpoint
        base = self.directory / f"{side.key}-{row.key}"
        target = Target(0, web.path(endpoint.url),
                        argument_file(base.with_suffix(".auth"), web.authorization(endpoint, client)),
                        origin=web.origin(endpoint.url))
        if not row.introspects:
            target.body = argument_file(base.with_suffix(".form"), web.form_of(endpoint, client, side.parameters()))
            return target
        form = web.form_of(endpoint, client, {})
        target.form_prefix = argument_file(base.with_suffix(".form"), f"{form}&token=" if form else "token=")
        target.tokens = base.with_suffix(".tokens")
        return target

    def run_wrk(self, side: Side, row: Row, seconds: int, warm_up: bool = False) -> Sample:
        assert self.loads
        target, tokens = self.target(side, row), []
        if target.tokens:
            tokens = preflight.issue_tokens(side, 2 if warm_up else POOL)
            write_private(target.tokens, "".join(f"{token}\n" for token in tokens))
        sample = self.loads.wrk(target, seconds, retry=False)
        # "Inactive" is a 200 as well, and cheaper. Tokens that are active now were active during the whole sample.
        if tokens and (inactive := len(tokens) - preflight.count_active(side, tokens)):
            raise MeasurementError(f"{side.product} reports {inactive} of {len(tokens)} tokens inactive after the sample: their "
                                   "lifetime is too short, or the server does not keep them")
        return sample

    def measure_peak(self, side: Side, row: Row, turn: int) -> None:
        began, spent = time.time(), sum(os.times()[2:4])
        one = self.run_wrk(side, row, self.plan.seconds)
        requests = max(1.0, one.rate * self.plan.seconds)

        def cpu(pids: list[int]) -> float | None:
            return sum(one.cpu_us.get(pid, 0) for pid in pids) if pids else None

        self.record(RowSample(
            len(self.samples) + 1, turn, row.key, side.key, began, one.rate, one.p50, one.p95, one.p99, one.longest, one.errors,
            cpu=cpu(side.pids), database_cpu=cpu(side.database),
            generator_cpu=(sum(os.times()[2:4]) - spent) * 1e6 / requests,
            background_load=one.background_load if self.all_known else None))

    def measure_fixed_rate(self, side: Side, rows: list[Row], turn: int) -> None:
        """Measures all rows in one run of k6, one after the other."""
        began = time.time()
        results = self.k6.run(side, self.plan.rate, self.plan.seconds, [row.scenario for row in rows])
        for row in rows:
            one = results[row.scenario]
            self.record(RowSample(len(self.samples) + 1, turn, row.key, side.key, began, one.rate, one.p50, one.p95, one.p99,
                                  one.longest, one.errors, one.error_types, one.dropped))

    def record(self, sample: RowSample) -> None:
        self.samples.append(sample)
        log(f"  {sample.row:16} {sample.side:5} {sample.rate:9.0f}/s  p50 {sample.p50:8.3f} ms  p99 {sample.p99:8.3f} ms"
            + (f"  ERRORS {sample.errors}" if sample.errors else "")
            + (f"  DROPPED {sample.dropped}" if sample.dropped else "")
            + (f"  noisy {sample.background_load:.0%}" if (sample.background_load or 0) > NOISE_LIMIT else ""))

    def measure(self) -> None:
        peak_rows = [row for row in self.rows if row.tool == "wrk"]
        fixed_rate_rows = [row for row in self.rows if row.tool == "k6"]
        if self.plan.peaks:
            log(f"warming up, {self.plan.warm_up} s per side and row")
            for row in peak_rows:
                for side in self.sides:
                    self.run_wrk(side, row, self.plan.warm_up, warm_up=True)
        for turn in range(1, self.plan.rounds + 1):
            log(f"round {turn} of {self.plan.rounds}")
            for row in peak_rows:
                for side in self.sides:
                    self.measure_peak(side, row, turn)
            for side in self.sides:
                self.measure_fixed_rate(side, fixed_rate_rows, turn)
        for side in self.sides:
            try:
                self.resident[side.key] = round(sum(map(resident_mib, side.pids)), 1) if side.pids else None
            except (BenchError, OSError):
                raise MeasurementError(f"a process of {side.product} has exited") from None

    # Results

    def samples_of(self, row: Row, side: str) -> list[RowSample]:
        return [sample for sample in self.samples if (sample.row, sample.side) == (row.key, side)]

    def ratios(self, row: Row) -> list[float]:
        """Ours divided by the peer's, per round: of the maximum rates, or of p99 at a fixed rate."""
        value: Callable[[RowSample], float] = (lambda one: one.rate) if row.tool == "wrk" else (lambda one: one.p99)
        pairs = zip(self.samples_of(row, "ours"), self.samples_of(row, "peer"))
        return [value(ours) / value(peer) for ours, peer in pairs if value(peer) > 0]

    def invalid(self, row: Row) -> str:
        """Why the row is invalid; empty if it is valid."""
        for side in self.sides:
            samples = self.samples_of(row, side.key)
            if errors := sum(sample.errors for sample in samples):
                types = sorted({name for sample in samples for name in sample.error_types})
                return f"{errors} errors of {side.product}" + (f" ({', '.join(types)})" if types else "")
            if dropped := sum(sample.dropped for sample in samples):
                return f"{side.product} does not sustain {self.plan.rate}/s: {dropped} requests were not sent"
            if any(sample.rate <= 0 for sample in samples):
                return f"{side.product} returned no responses"
        return ""

    def summary(self, row: Row, side: Side) -> dict[str, Any]:
        samples = self.samples_of(row, side.key)

        def median(value: Callable[[RowSample], float | None]) -> float | None:
            known = [found for found in map(value, samples) if found is not None]
            return round(statistics.median(known), 3) if known else None

        longest = [sample.longest for sample in samples if sample.longest is not None]
        return {
            "side": side.key, "product": side.name, "format": side.format, "algorithm": side.algorithm,
            "durable": side.declared.durable, "rate": median(lambda one: one.rate),
            "milliseconds": {"p50": median(lambda one: one.p50), "p95": median(lambda one: one.p95),
                             "p99": median(lambda one: one.p99), "max": round(max(longest), 3) if longest else None},
            "errors": sum(sample.errors for sample in samples), "dropped": sum(sample.dropped for sample in samples),
            "cpu_us_per_request": median(lambda one: one.cpu),
            "database_cpu_us_per_request": median(lambda one: one.database_cpu),
            "generator_cpu_us_per_request": median(lambda one: one.generator_cpu),
            "noisy": (median(lambda one: one.background_load) or 0) > NOISE_LIMIT,
        }

    def processes_of(self, side: Side) -> list[str]:
        return [self.names[pid] for pid in side.pids] + [f"{self.names[pid]} (database)" for pid in side.database]

    def samples_as_data(self) -> list[dict[str, Any]]:
        return [asdict(sample) for sample in self.samples]
