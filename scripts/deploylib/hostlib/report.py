"""The result lines of a check: one per thing that was exercised."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path


class Report:
    """Prints `ok`, `FAILED` and `not run` lines, and remembers whether one failed."""

    def __init__(self, system: str) -> None:
        self.system = system
        self.failures = 0

    def ok(self, what: str) -> None:
        print(f"ok       {self.system}: {what}", flush=True)

    def failed(self, what: str, seen: object) -> None:
        self.failures += 1
        text = " ".join(str(seen).split())
        print(f"FAILED   {self.system}: {what} - {text[:400] or 'nothing was printed'}", flush=True)

    def not_run(self, what: str, reason: str) -> None:
        print(f"not run  {self.system}: {what} - {reason}", flush=True)

    def check(self, condition: bool, what: str, seen: object) -> bool:
        if condition:
            self.ok(what)
        else:
            self.failed(what, seen)
        return condition

    def relay(self, lines: str) -> int:
        """Prints the lines `ok WHAT`, `FAILED WHAT - SEEN` and `not run WHAT - REASON` that another program wrote; returns how many."""
        count = 0
        for line in lines.splitlines():
            if line.startswith("ok "):
                self.ok(line[3:].strip())
            elif line.startswith("not run "):
                what, _, reason = line[8:].strip().partition(" - ")
                self.not_run(what, reason)
            elif line.startswith("FAILED "):
                what, _, seen = line[7:].strip().partition(" - ")
                self.failed(what, seen)
            else:
                continue
            count += 1
        return count


def main(system: str, run: Callable[[Report], None]) -> None:
    """Runs a check to its end: an exception is a failure, too."""
    report = Report(system)
    # So that what was started is stopped, and what was created is removed.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        run(report)
    except Exception as error:  # noqa: BLE001: the check must report whatever ended it
        frame = traceback.extract_tb(error.__traceback__)[-1]
        report.failed("the check ran to its end", f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})")
    sys.exit(1 if report.failures else 0)
