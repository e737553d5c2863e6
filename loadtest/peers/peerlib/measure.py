"""The rounds: every row is measured on the peer and on ours in turn, and nothing else is loaded meanwhile."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchlib.load import CONNECTIONS, NOISY, Loads, Sample, Target
from benchlib.processes import BenchError, Processes, resident_mib

from . import checks, web
from .errors import CannotMeasure
from .k6 import K6
from .sides import Side, process_name

#: Tokens that wrk asks about, again and again. They are made anew for each sample, so that none expires meanwhile.
POOL = 50
#: Seconds that tokens must live beyond a sample: they are made before it, and asked about once more after it.
MARGIN = 30


@dataclass(frozen=True)
class Row:
    key: str
    what: str
    #: wrk (as fast as answers come) or k6 (a fixed rate).
    tool: str
    introspects: bool

    @property
    def scenario(self) -> str:
        """What k6 calls it."""
        return "introspect" if self.introspects else "client_credentials"


ROWS = [
    Row("issue-peak", f"issuing, wrk -t1 -c{CONNECTIONS}", "wrk", False),
    Row("introspect-peak", f"introspection of valid tokens, wrk -t1 -c{CONNECTIONS}", "wrk", True),
    Row("issue-rate", "issuing at a fixed rate, k6", "k6", False),
    Row("introspect-rate", "introspection at a fixed rate, k6", "k6", True),
]


@dataclass
class Taken:
    """One sample of one side. Rates in requests a second, times in milliseconds, CPU in microseconds a request."""

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
    #: What the errors were, where that is known.
    kinds: dict[str, int] = field(default_factory=dict)
    dropped: int = 0
    cpu: float | None = None
    database_cpu: float | None = None
    generator_cpu: float | None = None
    #: Share of the machine that programs used which are no part of this; not known where the peer's processes are not.
    foreign: float | None = None


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def spaced(number: float) -> str:
    return f"{number:,.0f}".replace(",", " ")


def private(file: Path, content: str) -> str:
    """A file for a load generator, as wrk's scripts name it: what is secret is on no command line."""
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(content)
    return f"@{file}"


@dataclass(frozen=True)
class Plan:
    rounds: int
    seconds: int
    #: Requests a second of the rows with a fixed rate.
    rate: int
    warm_up: int
    #: Whether the rows are wanted that send as fast as answers come.
    peaks: bool


class Comparison:
    def __init__(self, processes: Processes, plan: Plan, sides: list[Side], directory: Path, k6: K6) -> None:
        self.processes, self.plan, self.sides, self.directory, self.k6 = processes, plan, sides, directory, k6
        self.loads = Loads(processes, None, directory) if plan.peaks else None
        both = all(side.introspection for side in sides)
        self.rows = [row for row in ROWS if (plan.peaks or row.tool == "k6") and (both or not row.introspects)]
        self.taken: list[Taken] = []
        #: Memory of each side's processes after the load, MiB.
        self.resident: dict[str, float | None] = {side.key: None for side in sides}
        # They may be gone when the report is written.
        self.names = {pid: process_name(pid) for side in sides for pid in side.pids + side.database}
        # Without all processes of the peer, its own work would count as somebody else's.
        self.all_known = all(side.pids for side in sides)
        processes.beside += [pid for side in sides if side.key == "peer" for pid in side.pids + side.database]

    def target(self, side: Side, row: Row) -> Target:
        endpoint = side.introspection if row.introspects else side.token
        client = side.asker if row.introspects else side.client
        assert endpoint
        place = self.directory / f"{side.key}-{row.key}"
        target = Target(0, web.path(endpoint.url), private(place.with_suffix(".auth"), web.authorization(endpoint, client)),
                        origin=web.origin(endpoint.url))
        if not row.introspects:
            target.body = private(place.with_suffix(".form"), web.form_of(endpoint, client, side.parameters()))
            return target
        form = web.form_of(endpoint, client, {})
        target.before = private(place.with_suffix(".form"), f"{form}&token=" if form else "token=")
        target.tokens = place.with_suffix(".tokens")
        return target

    def peak(self, side: Side, row: Row, seconds: int, count: bool = True) -> Sample:
        assert self.loads
        target, tokens = self.target(side, row), []
        if target.tokens:
            tokens = checks.mint(side, POOL if count else 2)
            private(target.tokens, "".join(f"{token}\n" for token in tokens))
        sample = self.loads.wrk(target, seconds, retry=False)
        # An answer of "inactive" is a 200 too, and a cheaper one. Tokens that are active now were so all the time.
        if tokens and (inactive := len(tokens) - checks.still_active(side, tokens)):
            raise CannotMeasure(f"{side.product} calls {inactive} of {len(tokens)} tokens inactive after it was asked about "
                                "them: they live too short, or it forgets them")
        return sample

    def take_peak(self, side: Side, row: Row, turn: int) -> None:
        began, spent = time.time(), sum(os.times()[2:4])
        one = self.peak(side, row, self.plan.seconds)
        requests = max(1.0, one.rate * self.plan.seconds)

        def cpu(pids: list[int]) -> float | None:
            return sum(one.cpu_us.get(pid, 0) for pid in pids) if pids else None

        self.note(Taken(
            len(self.taken) + 1, turn, row.key, side.key, began, one.rate, one.p50, one.p95, one.p99, one.longest, one.bad,
            cpu=cpu(side.pids), database_cpu=cpu(side.database),
            generator_cpu=(sum(os.times()[2:4]) - spent) * 1e6 / requests,
            foreign=one.foreign if self.all_known else None))

    def take_fixed(self, side: Side, rows: list[Row], turn: int) -> None:
        """One run of k6 for all rows, which are one after the other in it."""
        began = time.time()
        found = self.k6.run(side, self.plan.rate, self.plan.seconds, [row.scenario for row in rows])
        for row in rows:
            one = found[row.scenario]
            self.note(Taken(len(self.taken) + 1, turn, row.key, side.key, began, one.rate, one.p50, one.p95, one.p99,
                            one.longest, one.errors, one.kinds, one.dropped))

    def note(self, taken: Taken) -> None:
        self.taken.append(taken)
        say(f"  {taken.row:16} {taken.side:5} {taken.rate:9.0f}/s  p50 {taken.p50:8.3f} ms  p99 {taken.p99:8.3f} ms"
            + (f"  ERRORS {taken.errors}" if taken.errors else "")
            + (f"  DROPPED {taken.dropped}" if taken.dropped else "")
            + (f"  noisy {taken.foreign:.0%}" if (taken.foreign or 0) > NOISY else ""))

    def measure(self) -> None:
        if self.plan.peaks:
            say(f"warming up, {self.plan.warm_up} s each")
            for row in (row for row in self.rows if row.tool == "wrk"):
                for side in self.sides:
                    self.peak(side, row, self.plan.warm_up, count=False)
        for turn in range(1, self.plan.rounds + 1):
            say(f"round {turn} of {self.plan.rounds}")
            for row in (row for row in self.rows if row.tool == "wrk"):
                for side in self.sides:
                    self.take_peak(side, row, turn)
            for side in self.sides:
                self.take_fixed(side, [row for row in self.rows if row.tool == "k6"], turn)
        for side in self.sides:
            try:
                self.resident[side.key] = round(sum(map(resident_mib, side.pids)), 1) if side.pids else None
            except (BenchError, OSError):
                raise CannotMeasure(f"a process of {side.product} is gone") from None

    # What it came to

    def of(self, row: Row, side: str) -> list[Taken]:
        return [taken for taken in self.taken if (taken.row, taken.side) == (row.key, side)]

    def ratios(self, row: Row) -> list[float]:
        """Ours to the peer's, round by round: of rates where they are free, of p99 where the rate is fixed."""
        figure: Callable[[Taken], float] = (lambda one: one.rate) if row.tool == "wrk" else (lambda one: one.p99)
        pairs = zip(self.of(row, "ours"), self.of(row, "peer"))
        return [figure(ours) / figure(peer) for ours, peer in pairs if figure(peer) > 0]

    def invalid(self, row: Row) -> str:
        """Why the row says nothing; empty if it does."""
        for side in self.sides:
            found = self.of(row, side.key)
            if errors := sum(taken.errors for taken in found):
                kinds = sorted({kind for taken in found for kind in taken.kinds})
                return f"{errors} errors of {side.product}" + (f" ({', '.join(kinds)})" if kinds else "")
            if dropped := sum(taken.dropped for taken in found):
                return f"{side.product} does not make {self.plan.rate}/s: {dropped} requests were not sent"
            if any(taken.rate <= 0 for taken in found):
                return f"{side.product} answered nothing"
        return ""

    def summary(self, row: Row, side: Side) -> dict[str, Any]:
        found = self.of(row, side.key)

        def middle(figure: Callable[[Taken], float | None]) -> float | None:
            known = [value for value in map(figure, found) if value is not None]
            return round(statistics.median(known), 3) if known else None

        longest = [taken.longest for taken in found if taken.longest is not None]
        return {
            "side": side.key, "product": side.name, "format": side.format, "algorithm": side.algorithm,
            "durable": side.stated.durable, "rate": middle(lambda one: one.rate),
            "milliseconds": {"p50": middle(lambda one: one.p50), "p95": middle(lambda one: one.p95),
                             "p99": middle(lambda one: one.p99), "max": round(max(longest), 3) if longest else None},
            "errors": sum(taken.errors for taken in found), "dropped": sum(taken.dropped for taken in found),
            "cpu_us_per_request": middle(lambda one: one.cpu),
            "database_cpu_us_per_request": middle(lambda one: one.database_cpu),
            "generator_cpu_us_per_request": middle(lambda one: one.generator_cpu),
            "noisy": (middle(lambda one: one.foreign) or 0) > NOISY,
        }

    def processes_of(self, side: Side) -> list[str]:
        return [self.names[pid] for pid in side.pids] + [f"{self.names[pid]} (database)" for pid in side.database]

    def samples(self) -> list[dict[str, Any]]:
        return [asdict(taken) for taken in self.taken]
