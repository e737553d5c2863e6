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

from . import report
from .bench import ALL_ROWS, Bench, say
from .processes import BenchError, Processes

ROOT = Path(__file__).resolve().parent.parent.parent
#: Bound on a whole run, seconds.
LONGEST = 3 * 3600


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--seconds", type=int, default=5, help="seconds a measurement (5)")
    # The load generator and the database need the other half.
    parser.add_argument("--workers", type=int, default=max(1, len(os.sched_getaffinity(0)) // 2),
                        help="worker threads on both sides (half as many as there are cores)")
    parser.add_argument("--only", action="append", default=[], choices=ALL_ROWS, metavar="ROW",
                        help=f"measure this row only; may repeat: {', '.join(ALL_ROWS)}")
    parser.add_argument("--rows", type=int, metavar="N", help="only compare the durable rates with N rows in the ledger")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples here")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    parser.add_argument("--binaries", type=Path, help="use these binaries instead of building them")
    parser.add_argument("--dir", type=Path, help="where stores are made, on a real disk (target/bench)")
    chosen = parser.parse_args()
    if chosen.rounds < 1 or chosen.seconds < 1 or chosen.workers < 1:
        parser.error("rounds, seconds and workers must be at least 1")
    return chosen


SERVER, CEILING = ["-p", "oauth2-server", "--bin", "oauth2_server"], ["-p", "ceiling", "--bins"]


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
        bench.large(chosen.rows)
        return bench
    bench.start_servers()
    time.sleep(2)
    bench.idle_memory()
    bench.rates()
    bench.p99()
    bench.single()
    bench.loaded_memory()
    for server in bench.servers.values():
        server.stop()
    bench.ledger()
    return bench


def main() -> int:
    chosen = arguments()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGALRM, stop)
    processes, directory = Processes(), None
    try:
        binaries = chosen.binaries.resolve() if chosen.binaries else build(SERVER, CEILING)
        signal.alarm(LONGEST)
        directory = working_directory(chosen.dir)
        bench = measure(chosen, processes, binaries, directory)
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
    options = [f"--rounds {chosen.rounds}", f"--seconds {chosen.seconds}", f"--workers {chosen.workers}"]
    options += [f"--only {row}" for row in chosen.only] + ([f"--rows {chosen.rows}"] if chosen.rows else [])
    day = time.strftime("%Y-%m-%d", time.gmtime())
    about = f"{report.machine()}; {day}, commit {report.commit(ROOT)}; `scripts/bench {' '.join(options)}`"
    parts = report.sections(bench.figures, about)
    print("\n\n".join(parts.values()))
    if chosen.json:
        chosen.json.write_text(json.dumps({"about": about, **asdict(bench.figures)}, indent=1), encoding="utf-8")
    if chosen.write:
        report.write(ROOT / "docs" / "performance.md", parts)
    say("done")
    return 0
