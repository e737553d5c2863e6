"""The tables, as text, and their place in the documents."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .processes import CORES, BenchError

BEGIN, END = "<!-- measured: {} -->", "<!-- /measured: {} -->"


@dataclass
class Table:
    """One table. A cell that says whether a goal is held is `True`, `False` or `None`."""

    columns: list[str]
    lines: list[list[str | bool | None]] = field(default_factory=list)
    #: Which file of docs/ it stands in.
    document: str = "performance.md"

    def markdown(self) -> str:
        def cell(value: str | bool | None) -> str:
            if isinstance(value, bool):
                return "yes" if value else "**no**"
            return value or ""

        rule = "|" + "---|" * len(self.columns)
        rows = ["| " + " | ".join(cell(value) for value in line) + " |" for line in self.lines]
        return "\n".join(["| " + " | ".join(self.columns) + " |", rule, *rows])


def spaced(number: float) -> str:
    return f"{number:,.0f}".replace(",", " ")


def ms(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def machine() -> str:
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return f"{model}, {CORES} cores, Linux {platform.release()}"


def commit(root: Path) -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "src", "actors", "benches", "migrations", "Cargo.lock")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")


def write(file: Path, name: str, part: str) -> None:
    """Puts it between its markers; what was not measured stays."""
    text = file.read_text(encoding="utf-8")
    begin, end = BEGIN.format(name), END.format(name)
    if text.count(begin) != 1 or text.count(end) != 1:
        raise BenchError(f"{file} must hold {begin} and {end} once")
    before, rest = text.split(begin)
    file.write_text(f"{before}{begin}\n{part}\n{end}{rest.split(end)[1]}", encoding="utf-8")
