"""The command line."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from . import cost, fleet, latency, profile, rates, report, scaling, size
from .bench import Bench, say
from .processes import BenchError, Processes
from .rows import ALL_ROWS, RATE_ROWS

ROOT = Path(__file__).resolve().parent.parent.parent
#: Bound on a whole run, seconds.
LONGEST = 3 * 3600


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--seconds", type=int, default=4, help="seconds a measurement (4)")
    # The load generator and the database need the other half.
    parser.add_argument("--workers", type=int, default=max(1, len(os.sched_getaffinity(0)) // 2),
                        help="worker threads on both sides (half as many as there are cores)")
    parser.add_argument("--only", action="append", default=[], choices=ALL_ROWS, metavar="ROW",
                        help=f"measure this row only; may repeat: {', '.join(ALL_ROWS)}")
    parser.add_argument("--rows", type=int, action="append", default=[], metavar="N",
                        help="only compare the durable rates with N tokens in the ledger; may repeat")
    parser.add_argument("--profile", type=Path, metavar="DIR",
                        help="only find out where the server's processor time goes; flame graphs into DIR (needs perf, inferno)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples here")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/")
    parser.add_argument("--binaries", type=Path, help="use these binaries instead of building them")
    parser.add_argument("--dir", type=Path, help="where stores are made, on a real disk (target/bench)")
    chosen = parser.parse_args()
    if chosen.rounds < 1 or chosen.seconds < 1 or chosen.workers < 1:
        parser.error("rounds, seconds and workers must be at least 1")
    return chosen


SERVER, CEILING = ["-p", "oauth2-server", "--bin", "oauth2_server"], ["-p", "ceiling", "--bins"]
COUNTED = ["-p", "counted"]


def build(*parts: list[str]) -> Path:
    # One after the other: built together they would share features of crates, and the server would not be the one that ships.
    for which in parts:
        command = ["cargo", "build", "--release", "--locked", *which]
        subprocess.run(command, cwd=ROOT, check=True, timeout=3600)
    metadata = subprocess.run(["cargo", "metadata", "--format-version=1", "--no-deps"], cwd=ROOT, check=True,
                              capture_output=True, timeout=60)
    return Path(json.loads(metadata.stdout)["target_directory"]) / "release"


def working_directory(asked: Path | None) -> Path:
    parent = (asked or ROOT / "target" / "bench").resolve()
    parent.mkdir(parents=True, exist_ok=True)
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(parent)], capture_output=True, text=True, check=True)
    if kind.stdout.strip() in ("tmpfs", "ramfs"):
        raise BenchError(f"{parent} is in memory, where fsync costs nothing; name a directory on a disk with --dir")
    directory = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
    # Postgres runs as another user and must be able to reach its data.
    directory.chmod(0o755)
    return directory


def stop(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def measure(chosen: argparse.Namespace, processes: Processes, binaries: Path, directory: Path) -> Bench:
    bench = Bench(processes, binaries, directory, chosen.workers, chosen.rounds, chosen.seconds, chosen.only)
    if chosen.rows:
        size.large(bench, chosen.rows)
        return bench
    if chosen.only == ["scaling"]:
        scaling.scaling(bench)
        return bench
    if chosen.only and set(chosen.only) <= {"limits", "auth-failures", "import"}:
        fleet.fleet(bench)
        return bench
    bench.start_servers()
    time.sleep(2)
    if chosen.profile:
        rates.prepare(bench, [row for row in RATE_ROWS if bench.wants(row.key)])
        profile.profile(bench, chosen.profile)
        return bench
    size.idle(bench)
    rates.rates(bench)
    latency.latency(bench)
    size.loaded(bench)
    cost.cost(bench)
    for server in bench.servers.values():
        server.stop()
    size.ledger(bench)
    size.clients(bench)
    fleet.fleet(bench)
    scaling.scaling(bench)
    cost.queries(bench)
    return bench


def configuration(chosen: argparse.Namespace, binaries: Path, bench: Bench) -> str:
    """What was measured, on what, how: the line above each table."""
    version = bench.processes.run([str(binaries / "oauth2_server"), "--version"], timeout=10).split()[-1]
    options = [f"--rounds {chosen.rounds}", f"--seconds {chosen.seconds}", f"--workers {chosen.workers}"]
    options += [f"--only {row}" for row in chosen.only] + [f"--rows {rows}" for rows in chosen.rows]
    options += ["--profile DIR"] if chosen.profile else []
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return (f"oauth2_server {version}, commit {report.commit(ROOT)}; Postgres {bench.postgres.version()}, SQLite in the server; "
            f"{report.machine()}; {day}; `scripts/bench {' '.join(options)}`")


def main() -> int:
    chosen = arguments()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGALRM, stop)
    processes, directory = Processes(), None
    try:
        binaries = chosen.binaries.resolve() if chosen.binaries else build(SERVER, CEILING, COUNTED)
        signal.alarm(LONGEST)
        directory = working_directory(chosen.dir)
        bench = measure(chosen, processes, binaries, directory)
        about = configuration(chosen, binaries, bench)
        parts = {name: f"{about}\n\n{table.markdown()}" for name, table in bench.tables.items() if table.lines}
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, subprocess.CalledProcessError) as error:
        print(f"stopped: {error or 'interrupted'}", file=sys.stderr)
        return 130
    finally:
        # A second signal must not leave half of it running.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        processes.stop_all()
        if directory and not os.environ.get("BENCH_KEEP"):
            shutil.rmtree(directory, ignore_errors=True)
    print("\n\n".join(parts.values()))
    if chosen.json:
        told = {"about": about, "tables": {name: asdict(table) for name, table in bench.tables.items()},
                "samples": bench.record()}
        chosen.json.write_text(json.dumps(told, indent=1), encoding="utf-8")
    if chosen.write:
        for name, part in parts.items():
            report.write(ROOT / "docs" / bench.tables[name].document, name, part)
    say("done")
    return 0
