"""The lines that a check prints."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType


class Mismatch(Exception):
    """What was seen is not what must be seen."""


class NotRun(Exception):
    """This machine cannot do it; the text says why."""


def expect(condition: object, seen: object) -> None:
    if not condition:
        raise Mismatch(str(seen))


class Report:
    """Runs checks one by one, prints one line each, and remembers whether one failed."""

    def __init__(self, system: str) -> None:
        self.system = system
        self.failures = 0

    def line(self, outcome: str, text: str) -> None:
        print(f"{outcome:<8} {self.system}: {' '.join(text.split())[:700]}", flush=True)

    def check(self, what: str, run: Callable[[], str | None]) -> bool:
        """`run` returns what was seen, or raises."""
        try:
            seen = run()
        except NotRun as reason:
            self.line("not run", f"{what} - {reason}")
            return False
        except Mismatch as mismatch:
            self.failures += 1
            self.line("FAILED", f"{what} - {mismatch}")
            return False
        except Exception as error:  # noqa: BLE001  a check that cannot be carried out has failed
            self.failures += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.line("FAILED", f"{what} - {type(error).__name__}: {error} ({where.filename.rsplit('/', 1)[-1]}:{where.lineno})")
            return False
        self.line("ok", f"{what}: {seen}" if seen else what)
        return True

    def exit(self) -> None:
        sys.exit(1 if self.failures else 0)


def bound_time(seconds: int) -> None:
    """Ends the program by an exception after this time, and on SIGTERM, so that everything it started is stopped."""
    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(f"stopped by {signal.Signals(number).name}" + (f" after {seconds} s" if number == signal.SIGALRM else ""))

    signal.signal(signal.SIGALRM, end)
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    signal.alarm(seconds)
