"""Runs the commands of the parts, and ends everything that they started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

from .part import PartError

PR_SET_CHILD_SUBREAPER = 36
#: Seconds that a command gets to end its own processes.
GRACE = 60.0


def adopt_orphans() -> None:
    """Makes this process the parent of processes whose parent ended, so that none of them can get lost."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(root: int) -> list[int]:
    """The ids of the running processes below `root`."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()
                if fields[0] != "Z":
                    children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def reap() -> None:
    """Collects adopted processes that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def end_descendants() -> int:
    """Ends every process below this one; returns how many there were. No other part of this program may be running one."""
    first = descendants(os.getpid())
    for how in (signal.SIGTERM, signal.SIGKILL):
        limit = time.monotonic() + 10
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, how)
        while descendants(os.getpid()) and time.monotonic() < limit:
            reap()
            time.sleep(0.05)
    reap()
    return len(first)


def run(command: list[str], env: dict[str, str], cwd: Path, log: Path, timeout: float) -> int:
    """Runs a command in a process group of its own, with its output in `log`; returns its exit code."""
    with open(log, "ab") as sink:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=env, cwd=cwd, start_new_session=True)
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired as error:
        raise PartError(f"{command[0]} did not end within {timeout / 60:.0f} min") from error
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
        end_descendants()
        process.poll()


def last_lines(log: Path, count: int = 8) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return "\n".join(line[:300] for line in lines[-count:])
