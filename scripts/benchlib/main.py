"""Measures oauth2_server against the fastest handlers that this machine can run."""

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

from . import cost, fleet, foreign, latency, many_revocations, nodes, profile, rates, report, scaling, size
from .bench import Bench
from .processes import BenchError, Processes, exit_on_signal
from .rows import ALL_ROWS, RATE_ROWS

ROOT = Path(__file__).resolve().parent.parent.parent
#: Timeout of a whole run, seconds.
LONGEST = 3 * 3600


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="set the number of interleaved rounds (5)")
    parser.add_argument("--seconds", type=int, default=4, help="set the seconds per measurement (4)")
    # The other half of the cores is for the load generator and the database.
    parser.add_argument("--workers", type=int, default=max(1, len(os.sched_getaffinity(0)) // 2),
                        help="set the worker threads of server and ceiling (half of the cores)")
    parser.add_argument("--only", action="append", default=[], choices=ALL_ROWS, metavar="ROW",
                        help=f"measure only this row; repeatable: {', '.join(ALL_ROWS)}")
    parser.add_argument("--rows", type=int, action="append", default=[], metavar="N",
                        help="measure only the durable rates with N tokens in the ledger; repeatable")
    parser.add_argument("--profile", type=Path, metavar="DIR",
                        help="profile the server instead and write flame graphs to DIR (requires perf and inferno)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples to FILE")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/")
    parser.add_argument("--binaries", type=Path, help="use the binaries in this directory instead of building them")
    parser.add_argument("--dir", type=Path, help="create the stores here, on a real disk (target/bench)")
    chosen = parser.parse_args()
    if chosen.rounds < 1 or chosen.seconds < 1 or chosen.workers < 1:
        parser.error("--rounds, --seconds and --workers must be at least 1")
    return chosen


SERVER, CEILING = ["-p", "oauth2-server", "--bin", "oauth2_server"], ["-p", "ceiling", "--bins"]
ALLOC_COUNTER = ["-p", "alloc-counter"]
# Cargo.toml defines it.
PROFILE = "dist"


def build(*packages: list[str]) -> Path:
    """Builds packages with the profile of the published rates; returns the directory of the binaries."""
    # Separately: in one build, cargo would unify the features of shared crates, and the server would differ from a release.
    for package in packages:
        command = ["cargo", "build", f"--profile={PROFILE}", "--locked", *package]
        subprocess.run(command, cwd=ROOT, check=True, timeout=3600)
    metadata = subprocess.run(["cargo", "metadata", "--format-version=1", "--no-deps"], cwd=ROOT, check=True,
                              capture_output=True, timeout=60)
    return Path(json.loads(metadata.stdout)["target_directory"]) / PROFILE


def working_directory(parent: Path | None) -> Path:
    """Creates a temporary directory on a real disk."""
    parent = (parent or ROOT / "target" / "bench").resolve()
    parent.mkdir(parents=True, exist_ok=True)
    filesystem = subprocess.run(["stat", "-f", "-c", "%T", str(parent)], capture_output=True, text=True, check=True)
    if filesystem.stdout.strip() in ("tmpfs", "ramfs"):
        raise BenchError(f"{parent} is in memory, where fsync costs nothing; set --dir to a directory on a disk")
    directory = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
    # Postgres runs as another user and must be able to reach its data.
    directory.chmod(0o755)
    return directory


def measure(chosen: argparse.Namespace, processes: Processes, binaries: Path, directory: Path) -> Bench:
    bench = Bench(processes, binaries, directory, chosen.workers, chosen.rounds, chosen.seconds, chosen.only)
    if chosen.rows:
        size.large(bench, chosen.rows)
        return bench
    if chosen.only == ["scaling"]:
        scaling.scaling(bench)
        return bench
    if chosen.only and set(chosen.only) <= {"nodes", "observability", "revocations"}:
        nodes.nodes(bench)
        many_revocations.many_revocations(bench)
        return bench
    if chosen.only and set(chosen.only) <= {"limits", "auth-failures", "import", "foreign-hashes"}:
        fleet.fleet(bench)
        foreign.foreign(bench)
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
    foreign.foreign(bench)
    nodes.nodes(bench)
    many_revocations.many_revocations(bench)
    scaling.scaling(bench)
    cost.queries(bench)
    return bench


def configuration(chosen: argparse.Namespace, binaries: Path, bench: Bench) -> str:
    """The line above each table: versions, machine, date and options."""
    version = bench.processes.run([str(binaries / "oauth2_server"), "--version"], timeout=10).split()[-1]
    options = [f"--rounds {chosen.rounds}", f"--seconds {chosen.seconds}", f"--workers {chosen.workers}"]
    options += [f"--only {row}" for row in chosen.only] + [f"--rows {rows}" for rows in chosen.rows]
    options += ["--profile DIR"] if chosen.profile else []
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return (f"oauth2_server {version}, commit {report.commit(ROOT)}; Postgres {bench.postgres.version()}, SQLite in the server; "
            f"{report.machine()}; {day}; `scripts/bench {' '.join(options)}`")


def main() -> int:
    chosen = arguments()
    signal.signal(signal.SIGTERM, exit_on_signal)
    signal.signal(signal.SIGALRM, exit_on_signal)
    processes, directory = Processes(), None
    try:
        binaries = chosen.binaries.resolve() if chosen.binaries else build(SERVER, CEILING, ALLOC_COUNTER)
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
        # A second signal must not interrupt the cleanup.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        processes.stop_all()
        if directory and not os.environ.get("BENCH_KEEP"):
            shutil.rmtree(directory, ignore_errors=True)
    print("\n\n".join(parts.values()))
    if chosen.json:
        data = {"about": about, "tables": {name: asdict(table) for name, table in bench.tables.items()},
                "samples": bench.samples_as_data()}
        chosen.json.write_text(json.dumps(data, indent=1), encoding="utf-8")
    if chosen.write:
        for name, part in parts.items():
            report.replace_block(ROOT / "docs" / bench.tables[name].document, name, part)
    report.log("done")
    return 0
