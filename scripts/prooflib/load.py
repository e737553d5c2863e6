"""The part `load`: `loadtest/run.sh` on each store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchlib.report import Table, grouped

from . import children
from .options import ROOT, Setup
from .part import FAILED, HELD, NOT_HELD, Part, PartError, WrongAnswers, read_json

TIMEOUT = 1800.0
#: Seconds per scenario of the profile `load`, whose own are 60.
DURATION = "15s"
#: Wrong answers of k6's checks (`loadtest/lib/error_types.js`) that have a column of their own.
FALSE_ACTIVE = ("revoked token reported active", "invalid token reported active")
FALSE_INACTIVE = ("valid token reported inactive",)


def settings(setup: Setup, store: str) -> dict[str, str]:
    profile = setup.options.profile or ("smoke" if setup.options.quick else "load")
    return {"PROFILE": profile, "STORE": store, **({"DURATION": DURATION} if profile == "load" else {})}


def command(setup: Setup, store: str) -> str:
    return " ".join([f"{name}={value}" for name, value in settings(setup, store).items()] + ["loadtest/run.sh"])


def measure(setup: Setup, part: Part, store: str) -> None:
    results, log = setup.directory / f"load-{store}", setup.directory / f"load-{store}.log"
    env = setup.environment | settings(setup, store) | {
        "SERVER_BINARY": str(setup.server), "RESULTS_DIR": str(results), "TMPDIR": str(setup.directory)}
    try:
        code = children.run([str(ROOT / "loadtest/run.sh")], env, ROOT, log, TIMEOUT)
    finally:
        summary = read_json(results / "summary.json")
        if summary:
            describe(part, summary, "SQLite" if store == "sqlite" else "Postgres")
    if not summary:
        server = children.last_lines(results / "server.log")
        raise PartError(f"loadtest/run.sh exited with {code} and wrote no result:\n{children.last_lines(log)}\n{server}".rstrip())
    conclude(part, summary, code, log)


def conclude(part: Part, summary: dict[str, Any], code: int, log: Path) -> None:
    crossed = [one for one in summary["thresholds"] if one["verdict"] == "crossed"]
    wrong = sum(row.total() for row in part.wrong_answers)
    part.problems += [f"{one['scenario']}: {one['metric']} is {one['measured']}, expected {one['expected']}" for one in crossed]
    if code == 0 and not wrong:
        part.verdict = HELD
    elif code in (0, 99):
        part.verdict = NOT_HELD
    else:
        part.verdict = FAILED
        part.problems.append(f"loadtest/run.sh exited with {code} ({summary['verdict']}):\n{children.last_lines(log)}")


def describe(part: Part, summary: dict[str, Any], store: str) -> None:
    scenarios = [one for one in summary["scenarios"] if one["started"]]
    errors: dict[str, int] = {}
    wrong: dict[str, int] = {}
    columns = ["scenario", "asked", "achieved", "requests", "errors", "wrong answers", "dropped", "p50 ms", "p95 ms", "p99 ms"]
    table = Table(columns)
    for one in scenarios:
        for into, counts in ((errors, one["errors"]), (wrong, one["wrong_answers"])):
            for name, count in counts.items():
                into[name] = into.get(name, 0) + count
        times = one["milliseconds"] or {}
        table.lines.append([
            one["name"], f"{one['iterations_per_second_asked']:.1f}/s", f"{one['iterations_per_second_achieved']:.1f}/s", grouped(one["requests"]),
            grouped(one["failed"]), grouped(sum(one["wrong_answers"].values())), grouped(one["dropped_iterations"]),
            *(f"{times[name]:.1f}" if times.get(name) is not None else "" for name in ("p50", "p95", "p99"))])
    part.tables["Scenarios"] = table
    if errors or wrong:
        part.tables["Errors"] = Table(["error or wrong answer", "count"], [[name, grouped(count)] for name, count in {**errors, **wrong}.items()])
    held = sum(one["verdict"] == "held" for one in summary["thresholds"])
    generator = summary["generator"]
    used = [(f"k6 {generator['k6']}", "cpu_seconds"), ("the server", "server_cpu_seconds"), ("the database", "database_cpu_seconds")]
    cpu = [f"{name} {generator[key]:.1f} s" for name, key in used if generator[key] is not None]
    part.notes.append(
        f"{held} of {len(summary['thresholds'])} thresholds of profile {summary['profile']} held. The load lasted {summary['seconds']} s."
        + (f" CPU time: {', '.join(cpu)}." if cpu else ""))
    part.wrong_answers.append(row(summary, scenarios, errors, wrong, store))


def row(summary: dict[str, Any], scenarios: list[dict[str, Any]], errors: dict[str, int], wrong: dict[str, int], store: str) -> WrongAnswers:
    unavailable = sum(count for name, count in errors.items() if name.startswith("503"))
    no_response = sum(count for name, count in errors.items() if name.startswith("no response"))
    more = {name: count for name, count in wrong.items() if name not in FALSE_ACTIVE + FALSE_INACTIVE}
    return WrongAnswers(
        f"load {summary['profile']}, {store}", sum(one["requests"] for one in scenarios), summary["seconds"], unavailable,
        sum(errors.values()) - unavailable - no_response, no_response, sum(wrong.get(name, 0) for name in FALSE_ACTIVE),
        sum(wrong.get(name, 0) for name in FALSE_INACTIVE), None, None, more)
