"""The command line."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from benchlib import report as bench_report
from benchlib.main import ROOT, SERVER, build, working_directory
from benchlib.processes import BenchError, Processes

from . import adapter as adapters
from . import checks, sides, values, web
from .adapter import Adapter, Step
from .errors import CannotMeasure, Wrong
from .k6 import K6
from .measure import MARGIN, Comparison, Plan, say
from .report import Report
from .sides import Ours, Side
from .values import Values

ABOUT = "Puts the same load on another authorization server, which runs already, and on ours, in turn."
RESULTS = ROOT / "loadtest" / "results"
#: The highest fixed rate, on loopback and for somebody else's server.
FASTEST, FASTEST_AWAY = 5000, 500
#: They listen for others, and their CPU time is not the server's.
FORWARDERS = ("docker-proxy", "rootlessport", "slirp4netns", "pasta", "kubectl", "ssh", "sshd")


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Wrong(message)


def arguments(given: list[str]) -> argparse.Namespace:
    known = ", ".join(sorted(file.stem for file in adapters.ADAPTERS.glob("*.toml")))
    parser = Parser(prog="loadtest/peers/compare", description=ABOUT, epilog=(
        "Where the peer is and its secrets come by the environment: see the adapter. Exit code: 0 measured, 99 a row is not "
        "valid, 2 the call, the environment or the adapter is wrong, 3 it could not be measured, 129, 130 or 143 interrupted."))
    parser.add_argument("adapter", metavar="ADAPTER", help=f"one of {known}, or the path of a TOML file")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="both sides in turn, so often (5)")
    parser.add_argument("--seconds", type=int, default=5, metavar="N", help="of each sample (5)")
    parser.add_argument("--rate", type=int, default=100, metavar="N", help="requests a second of the rows with a fixed rate (100)")
    parser.add_argument("--warm-up", type=int, metavar="N", help="seconds of load before anything counts (the adapter's)")
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite", help="of our side (sqlite)")
    parser.add_argument("--our-format", choices=("paseto", "jwt", "opaque"), help="of our tokens (like the peer's)")
    parser.add_argument("--workers", type=int, default=max(1, len(os.sched_getaffinity(0)) // 2), metavar="N",
                        help="worker threads of our side (half as many as there are cores)")
    parser.add_argument("--binary", type=Path, default=os.environ.get("SERVER_BINARY") or None, metavar="FILE",
                        help="our server (SERVER_BINARY, or built from here)")
    parser.add_argument("--peer-pid", type=int, action="append", default=[], metavar="N",
                        help="a process of the peer; may repeat (the one that listens, if it is on this machine)")
    parser.add_argument("--peer-database-pid", type=int, action="append", default=[], metavar="N",
                        help="the main process of the peer's database; may repeat")
    parser.add_argument("--allow-remote", action="store_true",
                        help=f"the peer may be elsewhere than on loopback; it gets at most {FASTEST_AWAY} requests a second then")
    parser.add_argument("--check", action="store_true", help="only look the peer over, without load")
    parser.add_argument("--results", type=Path, metavar="DIR", help="where the report goes (loadtest/results/…)")
    parser.add_argument("--dir", type=Path, metavar="DIR", help="where our store is made, on a real disk (target/bench)")
    chosen = parser.parse_args(given)
    for name, most in (("rounds", 50), ("seconds", 120), ("rate", FASTEST), ("warm_up", 120), ("workers", 1024)):
        value = getattr(chosen, name)
        if value is not None and not 1 <= value <= most:
            raise Wrong(f"--{name.replace('_', '-')} must be 1 to {most}")
    if chosen.binary and not os.access(chosen.binary, os.X_OK):
        raise Wrong(f"--binary or SERVER_BINARY names no program: {chosen.binary}")
    return chosen


def is_near(adapter: Adapter, known: Values, chosen: argparse.Namespace) -> bool:
    """Whether the peer is on this machine's loopback; an error when it is not and nobody has allowed that."""
    for what, url in sides.place(adapter, known).items():
        if web.is_loopback(url):
            continue
        if not chosen.allow_remote:
            raise Wrong(f"{what} is not on the loopback of this machine ({web.origin(url)}): load on another machine must be "
                        "allowed with --allow-remote, by whoever may")
        if chosen.rate > FASTEST_AWAY:
            raise Wrong(f"--rate must be at most {FASTEST_AWAY} for a server that is not on loopback")
        return False
    return True


def remove(steps: list[Step], known: Values) -> str:
    """Takes away what was made on the peer, as far as it is known; answers what could not be."""
    problem = ""
    for step in steps:
        wanted = values.names_in([step.url, step.headers, step.json or {}, step.form or {}])
        if wanted <= known.known.keys():
            try:
                web.take_step(step, known)
            except CannotMeasure as error:
                problem = problem or str(error)
    return problem


def find_processes(side: Side, chosen: argparse.Namespace, near: bool) -> None:
    side.database = chosen.peer_database_pid
    side.pids = chosen.peer_pid
    if near and not side.pids:
        found = sides.listeners(web.port(side.token.url))
        if not any(sides.process_name(pid) in FORWARDERS for pid in found):
            side.pids = found


def remarks(peer: Side, ours: Side, near: bool) -> list[str]:
    found = []
    if not near:
        found.append("The peer is on another machine, and was asked over the network; ours is on this one. It was asked at a "
                     "fixed rate only: to send as fast as answers come is not for other people's servers.")
    if not peer.pids:
        found.append("The peer's processes are not known (`--peer-pid`), and so neither is its CPU time, nor whether other "
                     "programs disturbed a sample.")
    if peer.stated.durable != "yes":
        found.append(f"Not the same is asked of both sides: {peer.product} is stated not to store its tokens durably before it "
                     f"answers ({peer.stated.storage}); ours does.")
    if peer.format != ours.format or (peer.format == "jwt" and peer.algorithm != ours.algorithm):
        found.append(f"The tokens differ: those of {peer.product} are {peer.format} ({peer.algorithm}), ours {ours.format} "
                     f"({ours.algorithm}).")
    if not peer.introspection:
        found.append(f"{peer.product} offers no introspection of these tokens: there are no rows for it.")
    return found


def statements(side: Side, found: list[checks.Check]) -> str:
    return "\n".join([f"{side.name}:"] + [f"  {check.what}: {check.value} ({check.how})" for check in found])


def binary(chosen: argparse.Namespace) -> Path:
    found: Path = chosen.binary or build(SERVER) / "oauth2_server"
    return found.resolve()


def interrupt(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def too_long(_number: int, _frame: FrameType | None) -> None:
    raise CannotMeasure("it took far longer than it should have")


def measure(chosen: argparse.Namespace, adapter: Adapter, known: Values, processes: Processes, near: bool,
            directories: list[Path], left: list[Step]) -> int:
    for step in adapter.create:
        web.take_step(step, known)
        left[:] = adapter.remove
    peer = sides.peer(adapter, known)
    found = {"peer": checks.look_over(peer)}
    if chosen.check:
        print(statements(peer, found["peer"]))
        return 0
    say(statements(peer, found["peer"]))
    if near and not shutil.which("wrk"):
        raise CannotMeasure("wrk is missing; install it")
    find_processes(peer, chosen, near)
    program = binary(chosen)
    plan = Plan(chosen.rounds, chosen.seconds, chosen.rate, chosen.warm_up or adapter.warm_up, near)
    # Twice what it should take, and some minutes for stores and for starting k6.
    signal.alarm(600 + 2 * (plan.rounds * 2 * (4 * plan.seconds + 10) + 4 * plan.warm_up))
    needed = plan.seconds + MARGIN
    if peer.introspection and peer.lifetime < needed:
        raise CannotMeasure(f"tokens of {peer.product} live for {peer.lifetime} s: for introspection they must live for {needed} s")
    directory = working_directory(chosen.dir)
    directories.append(directory)
    started = Ours(processes, program, chosen.store, chosen.workers, directory)
    ours = started.start(peer, chosen.our_format or peer.format, peer.introspection is not None)
    found["ours"] = checks.look_over(ours)
    say(statements(ours, found["ours"]))
    comparison = Comparison(processes, plan, [peer, ours], directory, K6(processes, directory))
    comparison.measure()
    return report(chosen, comparison, found, near, adapter)


def report(chosen: argparse.Namespace, comparison: Comparison, found: dict[str, list[checks.Check]], near: bool,
           adapter: Adapter) -> int:
    peer, ours = comparison.sides
    plan = comparison.plan
    now = time.gmtime()
    # Of a program that was not built from here only its caller knows.
    commit = os.environ.get("COMMIT") or ("not known" if chosen.binary else bench_report.commit(ROOT))
    configuration = {
        # No argument is a secret: those come by the environment.
        "Command": shlex.join(["loadtest/peers/compare", *sys.argv[1:]]),
        "Rounds": f"{plan.rounds}, peer and ours in turn", "Seconds of a sample": str(plan.seconds),
        "Warm-up": f"{plan.warm_up} s a side and row" if plan.peaks else "none", "Fixed rate": f"{plan.rate}/s",
        "Clients": "1 on each side", "Scope": peer.scope or "none asked for",
        "Token lifetime": f"{peer.lifetime} s, ours {ours.lifetime} s",
        "Our store": chosen.store, "Our workers": str(chosen.workers), "Peer": web.origin(peer.token.url),
    }
    whole = Report(comparison, found, configuration, bench_report.machine(), commit,
                   time.strftime("%Y-%m-%dT%H:%M:%SZ", now), remarks(peer, ours, near))
    place: Path = chosen.results or RESULTS / f"{time.strftime('%Y%m%dT%H%M%SZ', now)}-compare-{adapter.name}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        (place / "summary.md").write_text(whole.markdown(), encoding="utf-8")
        (place / "summary.json").write_text(json.dumps(whole.data(), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise Wrong(f"the report cannot be written to {place}: {error.strerror}") from None
    print("\n" + "\n\n".join([whole.rates(), *whole.invalids(), *whole.remarks]))
    say(f"compare: the report: {place / 'summary.md'}")
    return 0 if whole.valid else 99


def run(processes: Processes, directories: list[Path], known: list[Values], left: list[Step]) -> int:
    chosen = arguments(sys.argv[1:])
    adapter = adapters.load(chosen.adapter)
    known.append(values.read(adapter.variables))
    near = is_near(adapter, known[0], chosen)
    if not near and (chosen.peer_pid or chosen.peer_database_pid):
        raise Wrong("--peer-pid and --peer-database-pid are for a peer on this machine")
    if chosen.results and (chosen.results / "summary.json").exists():
        raise Wrong(f"--results holds the report of another run: {chosen.results}")
    return measure(chosen, adapter, known[0], processes, near, directories, left)


def main() -> int:
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interrupt)
    signal.signal(signal.SIGALRM, too_long)
    processes, directories, known, left = Processes(), list[Path](), list[Values](), list[Step]()
    code = 3
    try:
        code = run(processes, directories, known, left)
    except (Wrong, CannotMeasure) as error:
        say(f"compare: {error}")
        code = error.code
    except (BenchError, subprocess.CalledProcessError) as error:
        say(f"compare: {known[0].hide(str(error)) if known else error}")
    except SystemExit as error:
        # Ours, or what --help ends with.
        code = error.code if isinstance(error.code, int) else 3
    finally:
        # A second signal must not leave half of it running.
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        processes.stop_all()
        if known and (problem := remove(left, known[0])):
            say(f"compare: the peer may keep what was made for this run ({known[0].known['RUN']}): {problem}")
            code = code or 3
        for directory in directories:
            shutil.rmtree(directory, ignore_errors=True)
    return code
