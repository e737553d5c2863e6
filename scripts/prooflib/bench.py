"""The part `bench`: `scripts/bench` with few rounds."""

from __future__ import annotations

import json
from typing import Any

from benchlib.report import Table

from . import children
from .options import ROOT, Setup
from .part import HELD, NOT_HELD, Part, PartError

TIMEOUT = 3600.0
ROWS = ["durable-postgres", "durable-sqlite", "stateless", "durable-opaque", "introspect-new", "introspect-batch", "p99", "memory"]
QUICK_ROWS = ["durable-postgres", "durable-sqlite"]
#: What `--binaries` must contain.
PROGRAMS = ["oauth2_server", "ceiling", "openloop"]


def arguments(setup: Setup) -> list[str]:
    rows, rounds, seconds = (QUICK_ROWS, 1, 2) if setup.options.quick else (ROWS, 2, 3)
    chosen = [word for row in rows for word in ("--only", row)]
    given = []
    if setup.given and all((setup.given / name).exists() for name in PROGRAMS):
        given = ["--binaries", str(setup.given)]
    return ["--rounds", str(rounds), "--seconds", str(seconds), *chosen, *given]


def command(setup: Setup) -> str:
    words = ["DIR" if setup.given and word == str(setup.given) else word for word in arguments(setup)]
    return " ".join(["scripts/bench", *words])


def measure(setup: Setup, part: Part) -> None:
    file, log = setup.directory / "bench.json", setup.directory / "bench.log"
    chosen = arguments(setup)
    code = children.run([str(ROOT / "scripts/bench"), *chosen, "--json", str(file)], setup.environment, ROOT, log, TIMEOUT)
    if code != 0 or not file.exists():
        raise PartError(f"scripts/bench exited with {code}:\n{children.last_lines(log)}")
    describe(part, json.loads(file.read_text(encoding="utf-8")))
    if setup.given and "--binaries" not in chosen:
        part.notes.append("scripts/bench built its own binaries with the profile `dist`: next to OAUTH2_SERVER_BIN there are no ceiling and "
                          "openloop.")


def describe(part: Part, data: dict[str, Any]) -> None:
    part.notes.append(data["about"])
    missed: list[str] = []
    for name, table in data["tables"].items():
        if not table["lines"]:
            continue
        part.tables[name.capitalize()] = Table(table["columns"], table["lines"])
        missed += [f"goal missed: {line[0]} (table {name})" for line in table["lines"] if False in line]
    errors = sum(sample["errors"] for samples in data["samples"].values() for sample in samples)
    part.notes.append(f"The ratios are from one run of few rounds; docs/performance.md has the published ones. {errors} errors in all samples.")
    part.verdict = HELD if not missed and not errors else NOT_HELD
    part.problems += missed
    if errors:
        part.problems.append(f"{errors} errors in all samples")
