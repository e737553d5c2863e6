"""Log output, the tables as Markdown, and their place in the documents."""

from __future__ import annotations

import platform
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from .processes import CORES, BenchError

BEGIN, END = "<!-- measured: {} -->", "<!-- /measured: {} -->"


@dataclass
class Table:
    """A table. A cell that says whether a goal was met is `True`, `False` or `None`."""

    columns: list[str]
    lines: list[list[str | bool | None]] = field(default_factory=list)
    #: The file of docs/ that contains the table.
    document: str = "performance.md"

    def markdown(self) -> str:
        def cell(value: str | bool | None) -> str:
            if isinstance(value, bool):
                return "yes" if value else "**no**"
            return value or ""

        rule = "|" + "---|" * len(self.columns)
        rows = ["| " + " | ".join(cell(value) for value in line) + " |" for line in self.lines]
        return "\n".join(["| " + " | ".join(self.columns) + " |", rule, *rows])


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def grouped(number: float) -> str:
    """A whole number with spaces between groups of three digits."""
    return f"{number:,.0f}".replace(",", " ")


def two_decimals(value: float | None) -> str:
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

    changed = git("status", "--porcelain", "--", "src", "store", "actors", "benches", "migrations", "Cargo.toml", "Cargo.lock")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")


def replace_block(file: Path, name: str, content: str) -> None:
    """Replaces the text between the markers of table `name`."""
    text = file.read_text(encoding="utf-8")
    begin, end = BEGIN.format(name), END.format(name)
    if text.count(begin) != 1 or text.count(end) != 1:
        raise BenchError(f"{file} must contain {begin} and {end} once")
    before, rest = text.split(begin)
    file.write_text(f"{before}{begin}\n{content}\n{end}{rest.split(end)[1]}", encoding="utf-8")
