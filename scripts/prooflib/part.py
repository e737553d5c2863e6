"""The result of one part, as the page and `proof.json` show it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchlib.report import Table

HELD, NOT_HELD, FAILED, INTERRUPTED, NOT_RUN = "held", "did not hold", "could not be measured", "interrupted", "not run"


class PartError(Exception):
    """The part could not be measured; the text says why."""


@dataclass
class Timeline:
    """Requests per second over time, by outcome, with the times of faults; all in seconds since the start."""

    title: str
    ok: list[int]
    unavailable: list[int]
    failed: list[int]
    #: Kind, start and end of each fault.
    faults: list[tuple[str, float, float]]


@dataclass
class WrongAnswers:
    """A row of the first table of the page: rates, errors, and wrong answers by kind. `None` is shown as not measured."""

    what: str
    requests: int
    seconds: float
    #: 503, other statuses that were not expected, and requests without a response.
    unavailable: int | None
    other: int | None
    no_response: int | None
    false_active: int
    false_inactive: int
    lost: int | None
    revived: int | None
    #: Wrong answers of other kinds, by name.
    more: dict[str, int] = field(default_factory=dict)

    def total(self) -> int:
        return self.false_active + self.false_inactive + (self.lost or 0) + (self.revived or 0) + sum(self.more.values())


@dataclass
class Part:
    name: str
    title: str
    #: The command that reproduces the part.
    command: str = ""
    verdict: str = NOT_RUN
    #: Why it did not hold or could not be measured, one sentence each.
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float | None = None
    tables: dict[str, Table] = field(default_factory=dict)
    timelines: list[Timeline] = field(default_factory=list)
    wrong_answers: list[WrongAnswers] = field(default_factory=list)

    def table(self, title: str, columns: list[str]) -> Table:
        return self.tables.setdefault(title, Table(columns))

    def data(self) -> dict[str, Any]:
        return asdict(self)


def read_json(file: Path) -> dict[str, Any] | None:
    """The result that a command wrote; `None` if it wrote none, or was stopped before it had written all of it."""
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError):
        return None
