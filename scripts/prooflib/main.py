"""Runs the parts one after the other and writes the page, whatever happens to any of them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from benchlib.main import working_directory
from benchlib.processes import BenchError

from . import alerts, answers, bench, children, load, machine, page, selftest
from .options import PARTS, ROOT, Setup, clean_environment, parse
from .part import FAILED, HELD, INTERRUPTED, NOT_HELD, Part, PartError

SCHEMA = "oauth2-server-proof/1"
BUILD_TIMEOUT = 3600.0
STORES = {"sqlite": "SQLite", "postgres": "Postgres"}


@dataclass
class Step:
    #: The part of `PARTS` that it belongs to.
    group: str
    part: Part
    measure: Callable[[Part], None]
    needs_server: bool = True


def log(text: str) -> None:
    print(f"proof: {text}", file=sys.stderr, flush=True)


def steps(setup: Setup) -> list[Step]:
    """All steps, in order."""
    options, quick = setup.options, " --quick" * setup.options.quick
    broken = f" --break {options.broken}" if options.broken else ""
    own = f"{setup.prefix}scripts/proof{quick} --only "
    # The binary of the load test has a variable of its own.
    server_binary = setup.prefix.replace("OAUTH2_SERVER_BIN", "SERVER_BINARY")
    found = [Step("machine", Part("machine", "Machine", own + "machine"), lambda part: machine.measure(setup, part), False)]
    for store, title in STORES.items():
        found.append(Step("load", Part(f"load-{store}", f"Load on {title}", server_binary + load.command(setup, store)),
                          lambda part, store=store: load.measure(setup, part, store)))  # type: ignore[misc]
    for store, title in STORES.items():
        if broken and store != "postgres":
            continue
        found.append(Step("answers", Part(f"answers-{store}", f"Answers under faults on {title}", f"{own}answers{broken}"),
                          lambda part, store=store: answers.measure(setup, part, store, options.broken)))  # type: ignore[misc]
    found.append(Step("alerts", Part("alerts", "Faults and alerts", setup.prefix + alerts.command(setup)),
                      lambda part: alerts.measure(setup, part)))
    found.append(Step("bench", Part("bench", "Benchmark", bench.command(setup)), lambda part: bench.measure(setup, part), False))
    return found


def build(setup: Setup) -> None:
    """Copies the server's binary to where no build replaces it, after building it unless `OAUTH2_SERVER_BIN` names one."""
    if setup.given is not None:
        binary = Path(os.environ["OAUTH2_SERVER_BIN"]).resolve()
    else:
        log("building the server: cargo build --release --locked")
        output = setup.directory / "build.log"
        command = ["cargo", "build", "--release", "--locked", "--bin", "oauth2_server"]
        if children.run(command, setup.environment, ROOT, output, BUILD_TIMEOUT) != 0:
            raise PartError(f"the server could not be built:\n{children.last_lines(output)}")
        # A relative CARGO_TARGET_DIR is relative to where cargo ran.
        binary = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "oauth2_server"
    setup.server.parent.mkdir()
    shutil.copy2(binary, setup.server)


def run(step: Step, problem: str) -> None:
    """Runs a step. `problem`: why there is no server."""
    part = step.part
    log(f"{part.title}: {part.command}")
    began = time.monotonic()
    try:
        if problem and step.needs_server:
            raise PartError(problem)
        step.measure(part)
    except KeyboardInterrupt:
        part.verdict = INTERRUPTED
        raise
    except (Exception, SystemExit) as error:  # No part may hide the others.
        part.verdict = NOT_HELD if part.verdict == NOT_HELD else FAILED
        part.problems.append(str(error) if isinstance(error, (PartError, BenchError)) else f"{type(error).__name__}: {error}")
    finally:
        part.seconds = time.monotonic() - began
        log(f"{part.title}: {part.verdict}, {part.seconds:.0f} s")
        for found in part.problems:
            log(f"  {found}")


def write(parts: list[Part], about: dict[str, object], output: Path, directory: Path) -> None:
    """Writes both files, with paths relative to the repository."""
    def relative(text: str) -> str:
        return text.replace(str(directory), "DIR").replace(f"{ROOT}/", "")

    for part in parts:
        part.problems = [relative(problem) for problem in part.problems]
    sentence, _, items = page.verdict(parts)
    data = {"schema": SCHEMA, "verdict": sentence, "not_held": items, **about, "parts": [part.data() for part in parts]}
    output.mkdir(parents=True, exist_ok=True)
    (output / "proof.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    (output / "index.html").write_text(page.render(parts, about), encoding="utf-8")
    log(f"{sentence} {output / 'index.html'}")


def interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def self_test() -> int:
    problems = selftest.run()
    for problem in problems:
        log(problem)
    log(f"self-test: {len(selftest.CASES) - len(problems)} of {len(selftest.CASES)} fabricated histories are counted correctly")
    return 1 if problems else 0


def main() -> int:
    options = parse()
    if options.self_test:
        return self_test()
    given = os.environ.get("OAUTH2_SERVER_BIN")
    if given and not os.access(given, os.X_OK):
        log(f"OAUTH2_SERVER_BIN must name an executable file: {given}")
        return 2
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        directory = working_directory(ROOT / "target" / "proof")
    except (OSError, BenchError) as error:
        log(str(error))
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    children.adopt_orphans()
    setup = Setup(options, directory, directory / "bin" / "oauth2_server", Path(given).resolve().parent if given else None,
                  "OAUTH2_SERVER_BIN=PATH " if given else "", clean_environment())
    all_steps, began, started = steps(setup), time.monotonic(), time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    chosen = [name for name in PARTS if (not options.only or name in options.only) and name not in options.skip]
    wanted = [step for step in all_steps if step.group in chosen]
    is_interrupted = False
    try:
        problem = ""
        if any(step.group != "bench" for step in wanted):
            try:
                build(setup)
            except (PartError, OSError) as error:
                problem = str(error)
        for step in wanted:
            run(step, problem)
    except KeyboardInterrupt:
        is_interrupted = True
        log("interrupted")
    finally:
        # A second signal must not interrupt the cleanup.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        children.end_descendants()
        parts = [step.part for step in all_steps]
        words = [f"--{name} {value}" for name in ("only", "skip") for value in getattr(options, name)]
        words += ["--quick"] * options.quick + [f"--profile {options.profile}"] * bool(options.profile)
        words += [f"--break {options.broken}"] * bool(options.broken)
        about: dict[str, object] = {"started": started, "seconds": time.monotonic() - began,
                                    "command": " ".join([f"{setup.prefix}scripts/proof", *words])}
        write(parts, about, options.output, directory)
        with contextlib.suppress(OSError):
            shutil.rmtree(directory)
    if is_interrupted:
        return 130
    return 0 if wanted and all(step.part.verdict == HELD for step in wanted) else 1
