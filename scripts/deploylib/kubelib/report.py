"""Lines of a check: ok, FAILED, not run."""

from __future__ import annotations

import sys


class CheckError(Exception):
    """A check that failed; its text says what was seen."""


class Report:
    """Prints one line per thing that was exercised, and remembers whether one failed."""

    def __init__(self, system: str) -> None:
        self.system = system
        self.failures = 0

    def ok(self, what: str) -> None:
        self._line(f"ok       {self.system}: {what}")

    def failed(self, what: str, seen: str) -> None:
        self.failures += 1
        self._line(f"FAILED   {self.system}: {what} - {seen}")

    def not_run(self, what: str, reason: str) -> None:
        self._line(f"not run  {self.system}: {what} - {reason}")

    def exit_code(self) -> int:
        return 1 if self.failures else 0

    @staticmethod
    def _line(text: str) -> None:
        print(text)
        sys.stdout.flush()
