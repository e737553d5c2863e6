"""The tables, as text, and their place in docs/performance.md."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from .bench import Figures, Line
from .processes import CORES, BenchError

BEGIN, END = "<!-- measured: {} -->", "<!-- /measured: {} -->"


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


def table(lines: list[Line]) -> str:
    out = ["| what | median | beside | ratio | goal | held |", "|---|---|---|---|---|---|"]
    for line in lines:
        held = "" if line.held is None else "yes" if line.held else "**no**"
        noise = " (noisy)" if line.noisy else ""
        out.append(f"| {line.what} | {line.value}{noise} | {line.beside} | {line.ratio} | {line.goal} | {held} |")
    return "\n".join(out)


def sections(figures: Figures, about: str) -> dict[str, str]:
    named = {"rates": figures.rates, "latency and size": figures.others, "large ledger": figures.large}
    return {name: f"{about}\n\n{table(lines)}" for name, lines in named.items() if lines}


def write(file: Path, parts: dict[str, str]) -> None:
    """Puts each part between its markers; what was not measured stays."""
    text = file.read_text(encoding="utf-8")
    for name, part in parts.items():
        begin, end = BEGIN.format(name), END.format(name)
        if text.count(begin) != 1 or text.count(end) != 1:
            raise BenchError(f"{file} must hold {begin} and {end} once")
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{part}\n{end}{rest.split(end)[1]}"
    file.write_text(text, encoding="utf-8")
