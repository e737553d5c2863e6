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
from benchlib.processes import BenchError, Processes, exit_on_signal
from benchlib.report import log

from . import adapter as adapters
from . import preflight, sides, values, web
from .adapter import Adapter, Step
from .errors import MeasurementError, UsageError
from .k6 import K6
from .measure import MARGIN, Comparison, Plan
from .report import Report
from .sides import OurServer, Side
from .values import Values

ABOUT = "Compares a running authorization server with oauth2_server, which is started for the comparison, under the same load."
RESULTS = ROOT / "loadtest" / "results"
#: The highest fixed rate, for a peer on loopback and for a remote peer.
MAX_RATE, MAX_REMOTE_RATE = 5000, 500
#: Programs that listen on behalf of others: their CPU time is not that of the server.
FORWARDERS = ("docker-proxy", "rootlessport", "slirp4netns", "pasta", "kubectl", "ssh", "sshd")


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def arguments(argv: list[str]) -> argparse.Namespace:
    known = ", ".join(sorted(file.stem for file in adapters.ADAPTERS.glob("*.toml")))
    parser = Parser(prog="loadtest/peers/compare", description=ABOUT, epilog=(
        "The peer's URL and secrets are environment variables: see the adapter. Exit codes: 0 all rows are valid, 99 a row is "
        "invalid, 2 invalid arguments, environment or adapter, 3 the measurement failed, 129, 130 or 143 interrupted."))
    parser.add_argument("adapter", metavar="ADAPTER", help=f"select one of {known}, or a TOML file by its path")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="measure both sides N times, alternating (5)")
    parser.add_argument("--seconds", type=int, default=5, metavar="N", help="set the duration of each sample (5)")
    parser.add_argument("--rate", type=int, default=100, metavar="N", help="set the requests per second of the fixed-rate rows (100)")
    parser.add_argument("--warm-up", type=int, metavar="N", help="set the seconds of load before the measurement (from the adapter)")
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite", help="set the store of our server (sqlite)")
    parser.add_argument("--our-format", choices=("paseto", "jwt", "opaque"), help="set the format of our tokens (the peer's)")
    parser.add_argument("--workers", type=int, default=max(1, len(os.sched_getaffinity(0)) // 2), metavar="N",
                        help="set the worker threads of our server (half of the cores)")
    parser.add_argument("--binary", type=Path, default=os.environ.get("SERVER_BINARY") or None, metavar="FILE",
                        help="use this binary of our server (SERVER_BINARY, or built from this repository)")
    parser.add_argument("--peer-pid", type=int, action="append", default=[], metavar="N",
                        help="measure the CPU time of this process of the peer; repeatable (the listening process, if it is local)")
    parser.add_argument("--peer-database-pid", type=int, action="append", default=[], metavar="N",
                        help="measure the CPU time of the peer's database, by its main process; repeatable")
    parser.add_argument("--allow-remote", action="store_true",
                        help=f"allow a peer that is not on loopback, with at most {MAX_REMOTE_RATE} requests per second")
    parser.add_argument("--check", action="store_true", help="run only the preflight checks of the peer, without load")
    parser.add_argument("--results", type=Path, metavar="DIR", help="write the report to DIR (loadtest/results/…)")
    parser.add_argument("--dir", type=Path, metavar="DIR", help="create our store in DIR, on a real disk (target/bench)")
    chosen = parser.parse_args(argv)
    for name, most in (("rounds", 50), ("seconds", 120), ("rate", MAX_RATE), ("warm_up", 120), ("workers", 1024)):
        value = getattr(chosen, name)
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"--{name.replace('_', '-')} must be 1 to {most}")
    if chosen.binary and not os.access(chosen.binary, os.X_OK):
        raise UsageError(f"--binary or SERVER_BINARY must name an executable file: {chosen.binary}")
    return chosen


def is_local(adapter: Adapter, known: Values, chosen: argparse.Namespace) -> bool:
    """Whether all URLs of the peer are on loopback; an error if one is not and --allow-remote is missing."""
    for what, url in sides.peer_urls(adapter, known).items():
        if web.is_loopback(url):
            continue
        if not chosen.allow_remote:
            raise UsageError(f"{what} is not on loopback ({web.origin(url)}): load on another machine requires --allow-remote, "
                             "and the permission of its owner")
        if chosen.rate > MAX_REMOTE_RATE:
            raise UsageError(f"--rate must be at most {MAX_REMOTE_RATE} for a server that is not on loopback")
        return False
    return True


def clean_up_peer(steps: list[Step], known: Values) -> str:
    """Removes what was created on the peer, as far as its ids are known; returns the first error, or an empty string."""
    problem = ""
    for step in steps:
        needed = values.names_in([step.url, step.headers, step.json or {}, step.form or {}])
        if needed <= known.by_name.keys():
            try:
                web.run_step(step, known)
            except MeasurementError as error:
                problem = problem or str(error)
    return problem


def find_processes(side: Side, chosen: argparse.Namespace, local: bool) -> None:
    side.database = chosen.peer_database_pid
    side.pids = chosen.peer_pid
    if local and not side.pids:
        found = sides.listeners(web.port(side.token.url))
        if not any(sides.process_name(pid) in FORWARDERS for pid in found):
            side.pids = found


def remarks(peer: Side, ours: Side, local: bool) -> list[str]:
    found = []
    if not local:
        found.append("The peer is on another machine and was measured over the network, ours on this machine. Only a fixed rate "
                     "was measured: load at the maximum rate is not sent to remote servers.")
    if not peer.pids:
        found.append("The peer's processes are not known (`--peer-pid`), so its CPU time and the background load are not known.")
    if peer.declared.durable != "yes":
        found.append(f"The work differs: {peer.product} is declared not to store its tokens durably before it responds "
                     f"({peer.declared.storage}); ours does.")
    if peer.format != ours.format or (peer.format == "jwt" and peer.algorithm != ours.algorithm):
        found.append(f"The tokens differ: those of {peer.product} are {peer.format} ({peer.algorithm}), ours are {ours.format} "
                     f"({ours.algorithm}).")
    if not peer.introspection:
        found.append(f"{peer.product} offers no introspection of these tokens, so introspection was not measured.")
    return found


def format_checks(side: Side, found: list[preflight.Check]) -> str:
    return "\n".join([f"{side.name}:"] + [f"  {check.what}: {check.value} ({check.how})" for check in found])


def server_binary(chosen: argparse.Namespace) -> Path:
    found: Path = chosen.binary or build(SERVER) / "oauth2_server"
    return found.resolve()


def time_out(_number: int, _frame: FrameType | None) -> None:
    raise MeasurementError("the comparison took far longer than planned")


def measure(chosen: argparse.Namespace, adapter: Adapter, known: Values, processes: Processes, local: bool,
            directories: list[Path], cleanup: list[Step]) -> int:
    for step in adapter.create:
        web.run_step(step, known)
        cleanup[:] = adapter.remove
    peer = sides.peer_side(adapter, known)
    found = {"peer": preflight.run(peer)}
    if chosen.check:
        print(format_checks(peer, found["peer"]))
        return 0
    log(format_checks(peer, found["peer"]))
    if local and not shutil.which("wrk"):
        raise MeasurementError("wrk is missing; install it")
    find_processes(peer, chosen, local)
    program = server_binary(chosen)
    plan = Plan(chosen.rounds, chosen.seconds, chosen.rate, chosen.warm_up or adapter.warm_up, local)
    # Twice the planned duration, and ten minutes for creating stores and starting k6.
    signal.alarm(600 + 2 * (plan.rounds * 2 * (4 * plan.seconds + 10) + 4 * plan.warm_up))
    needed = plan.seconds + MARGIN
    if peer.introspection and peer.lifetime < needed:
        raise MeasurementError(f"tokens of {peer.product} live {peer.lifetime} s; introspection requires at least {needed} s")
    directory = working_directory(chosen.dir)
    directories.append(directory)
    server = OurServer(processes, program, chosen.store, chosen.workers, directory)
    ours = server.start(peer, chosen.our_format or peer.format, peer.introspection is not None)
    found["ours"] = preflight.run(ours)
    log(format_checks(ours, found["ours"]))
    comparison = Comparison(processes, plan, [peer, ours], directory, K6(processes, directory))
    comparison.measure()
    return report(chosen, comparison, found, local, adapter)


def report(chosen: argparse.Namespace, comparison: Comparison, found: dict[str, list[preflight.Check]], local: bool,
           adapter: Adapter) -> int:
    peer, ours = comparison.sides
    plan = comparison.plan
    now = time.gmtime()
    # Of a binary that was not built here, only the caller knows the commit.
    commit = os.environ.get("COMMIT") or ("not known" if chosen.binary else bench_report.commit(ROOT))
    configuration = {
        # Arguments contain no secrets: those are environment variables.
        "Command": shlex.join(["loadtest/peers/compare", *sys.argv[1:]]),
        "Rounds": f"{plan.rounds}, peer and ours alternating", "Seconds per sample": str(plan.seconds),
        "Warm-up": f"{plan.warm_up} s per side and row" if plan.peaks else "none", "Fixed rate": f"{plan.rate}/s",
        "Clients": "1 on each side", "Scope": peer.scope or "none requested",
        "Token lifetime": f"{peer.lifetime} s, ours {ours.lifetime} s",
        "Our store": chosen.store, "Our workers": str(chosen.workers), "Peer": web.origin(peer.token.url),
    }
    whole = Report(comparison, found, configuration, bench_report.machine(), commit,
                   time.strftime("%Y-%m-%dT%H:%M:%SZ", now), remarks(peer, ours, local))
    directory: Path = chosen.results or RESULTS / f"{time.strftime('%Y%m%dT%H%M%SZ', now)}-compare-{adapter.name}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "summary.md").write_text(whole.markdown(), encoding="utf-8")
        (directory / "summary.json").write_text(json.dumps(whole.data(), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the report cannot be written to {directory}: {error.strerror}") from None
    print("\n" + "\n\n".join([whole.results_table(), *whole.invalid_rows(), *whole.remarks]))
    log(f"compare: report: {directory / 'summary.md'}")
    return 0 if whole.valid else 99


def run(processes: Processes, directories: list[Path], known: list[Values], cleanup: list[Step]) -> int:
    chosen = arguments(sys.argv[1:])
    adapter = adapters.load(chosen.adapter)
    known.append(values.read(adapter.variables))
    local = is_local(adapter, known[0], chosen)
    if not local and (chosen.peer_pid or chosen.peer_database_pid):
        raise UsageError("--peer-pid and --peer-database-pid require a peer on this machine")
    if chosen.results and (chosen.results / "summary.json").exists():
        raise UsageError(f"--results contains the report of another run: {chosen.results}")
    return measure(chosen, adapter, known[0], processes, local, directories, cleanup)


def main() -> int:
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, exit_on_signal)
    signal.signal(signal.SIGALRM, time_out)
    processes, directories, known, cleanup = Processes(), list[Path](), list[Values](), list[Step]()
    code = 3
    try:
        code = run(processes, directories, known, cleanup)
    except (UsageError, MeasurementError) as error:
        log(f"compare: {error}")
        code = error.code
    except (BenchError, subprocess.CalledProcessError) as error:
        log(f"compare: {known[0].redact(str(error)) if known else error}")
    except SystemExit as error:
        # From exit_on_signal, or from --help.
        code = error.code if isinstance(error.code, int) else 3
    finally:
        # A second signal must not interrupt the cleanup.
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        processes.stop_all()
        if known and (problem := clean_up_peer(cleanup, known[0])):
            log(f"compare: clients of this run ({known[0].by_name['RUN']}) may remain on the peer: {problem}")
            code = code or 3
        for directory in directories:
            shutil.rmtree(directory, ignore_errors=True)
    return code
