"""The part `alerts`: `scripts/check-alerts --live` causes faults on real servers and checks which alerts fire."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchlib.report import Table

from . import children
from .options import ROOT, Setup
from .part import FAILED, HELD, NOT_HELD, Part, PartError, read_json

TIMEOUT = 2400.0
#: The faults of a quick run.
QUICK = ["process-killed", "postgres-stopped", "wrong-secrets", "rate-limit"]


def arguments(setup: Setup) -> list[str]:
    only = [part for fault in QUICK for part in ("--only", fault)] if setup.options.quick else []
    # Each fault runs a server, its load and a Prometheus.
    return ["--live", "--no-write", "--jobs", str(max(4, min(6, len(os.sched_getaffinity(0))))), *only]


def command(setup: Setup) -> str:
    return " ".join(["scripts/check-alerts", *arguments(setup)])


def measure(setup: Setup, part: Part) -> None:
    file, log = setup.directory / "alerts.json", setup.directory / "alerts.log"
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else setup.directory
    scratch = Path(tempfile.mkdtemp(prefix="oauth2-proof-", dir=memory))
    # Postgres runs as another user and must be able to reach its data.
    scratch.chmod(0o755)
    env = setup.environment | {"OAUTH2_SERVER_BIN": str(setup.server), "FAULTS_DIRECTORY": str(scratch), "TMPDIR": str(setup.directory)}
    code: int | None = None
    try:
        code = children.run([str(ROOT / "scripts/check-alerts"), *arguments(setup), "--json", str(file)], env, ROOT, log, TIMEOUT)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        results = read_json(file)
        if results:
            describe(part, results["faults"])
    if not results:
        raise PartError(f"check-alerts exited with {code} and wrote no result:\n{children.last_lines(log)}")
    if code != 0 and part.verdict != NOT_HELD:
        part.verdict = FAILED
        part.problems.append(f"check-alerts exited with {code}:\n{children.last_lines(log)}")


def describe(part: Part, faults: list[dict[str, Any]]) -> None:
    table = Table(["fault", "alerts that must fire", "fired after", "also fired, as it may", "resolved after", "held"])
    caused = [fault for fault in faults if "fired" in fault]
    for fault in caused:
        fired, expected = fault["fired"], fault["expected"]
        late = [f"{name} {at} s" for name, at in sorted(fired.items()) if name not in expected]
        table.lines.append([
            fault["title"], ", ".join(expected) or "none", ", ".join(f"{name} {fired[name]} s" for name in expected if name in fired),
            ", ".join(late), f"{fault['resolved']} s" if fault["resolved"] is not None else "not resolved", not fault["problems"]])
        part.problems += [f"{fault['title']}: {problem}" for problem in fault["problems"]]
    part.tables["Faults and the alerts that fired"] = table
    held = sum(not fault["problems"] for fault in caused)
    part.verdict = HELD if held == len(faults) else NOT_HELD
    part.notes.append(f"{held} of {len(faults)} faults caused exactly the expected alerts, all of which resolved when the fault ended.")
    if len(caused) < len(faults):
        part.problems.append(f"{len(faults) - len(caused)} faults were not caused")
