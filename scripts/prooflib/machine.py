"""The part `machine`: what everything else was measured on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchlib import report
from benchlib.stores import BINARIES

from .options import ROOT, Setup
from .part import HELD, Part


def output(*command: str) -> str:
    """The first line that a program prints, or that it is missing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "not available"
    return (done.stdout or done.stderr).strip().split("\n")[0] or "not available"


def memory() -> str:
    values = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines())
    total, available = (int(values[name].split()[0]) / 1024 / 1024 for name in ("MemTotal", "MemAvailable"))
    return f"{total:.1f} GiB, of which {available:.1f} GiB available"


def disk(directory: Path) -> str:
    """The file system of the stores, with the time of an fsync: durable writes wait for it."""
    kind = output("stat", "-f", "-c", "%T", str(directory))
    times = []
    with open(directory / "fsync", "wb", buffering=0) as file:
        for _ in range(50):
            began = time.monotonic()
            file.write(b"x" * 4096)
            os.fsync(file.fileno())
            times.append((time.monotonic() - began) * 1000)
    free = shutil.disk_usage(directory).free / 1024**3
    return f"{kind}, {free:.0f} GiB free; fsync of 4 KiB: median {sorted(times)[25]:.2f} ms, slowest of 50 {max(times):.2f} ms"


def measure(setup: Setup, part: Part) -> None:
    load = os.getloadavg()
    rows = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "server": output(str(setup.server), "--version"),
        "binary": "named by OAUTH2_SERVER_BIN" if setup.given else "built with cargo build --release --locked",
        "sha256 of the binary": output("sha256sum", str(setup.server)).split()[0],
        "commit of the checkout": report.commit(ROOT),
        "processor": report.machine(),
        "cores available": str(len(os.sched_getaffinity(0))),
        "load average at the start": " ".join(f"{value:.2f}" for value in load),
        "memory": memory(),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "disk": disk(setup.directory),
        "Postgres": output(str(BINARIES / "postgres"), "--version"),
        "Python": sys.version.split()[0],
    }
    part.tables["Machine"] = report.Table(["what", "value"], [[name, value] for name, value in rows.items()])
    part.verdict = HELD
