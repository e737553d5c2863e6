"""Starts programs, stops each by its process id, and measures their CPU time."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Self

TICKS = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1


class BenchError(Exception):
    """An error that the user can fix; its text says how."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def exit_on_signal(number: int, _frame: FrameType | None) -> None:
    """A signal handler: exits with the shell's code for the signal."""
    raise SystemExit(128 + number)


class Processes:
    """Started programs that are still running. `stop_all` stops them in reverse order."""

    def __init__(self) -> None:
        self.running: list[subprocess.Popen[bytes]] = []
        #: Processes started by others whose CPU time is part of the measurement.
        self.external: list[int] = []

    def start(
        self,
        command: list[str],
        log: Path,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        stdout: int | None = None,
    ) -> subprocess.Popen[bytes]:
        sink: IO[bytes]
        with open(log, "ab") as sink:
            # In its own session: Ctrl-C reaches only this program, which then stops the others in order.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink if stdout is None else stdout,
                stderr=sink,
                env=env,
                cwd=cwd,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                start_new_session=True,
            )
        self.running.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
        if process in self.running:
            self.running.remove(process)
        if process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)

    def stop_all(self) -> None:
        for process in reversed(list(self.running)):
            # SIGINT is Postgres' fast shutdown; the other programs treat it like SIGTERM.
            self.stop(process, signal.SIGINT)

    def run(self, command: list[str], timeout: float, env: dict[str, str] | None = None,
            user: str | None = None, cwd: Path | None = None) -> str:
        """Runs a program to completion and returns its standard output."""
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
            user=user, group=user, extra_groups=[] if user else None, cwd=cwd, start_new_session=True,
        )
        self.running.append(process)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"{command[0]} did not exit within {timeout:.0f} s") from error
        finally:
            self.stop(process, signal.SIGKILL)
        if process.returncode != 0:
            raise BenchError(f"{' '.join(command[:3])} … failed: {err.decode(errors='replace').strip()[-600:]}")
        return out.decode()


def ticks_of_tree(root: int) -> int:
    """CPU ticks of a process, its exited children, and its running children (Postgres' backends)."""
    total = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue
        if int(entry.name) == root:
            total += sum(int(fields[i]) for i in (11, 12, 13, 14))
        elif int(fields[1]) == root:
            total += int(fields[11]) + int(fields[12])
    return total


def machine_ticks() -> int:
    """CPU ticks of all programs on this machine, without interrupts, which belong to no program."""
    user, nice, system = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:4]
    return int(user) + int(nice) + int(system)


def children_ticks() -> int:
    """CPU ticks of this process and its exited children."""
    times = os.times()
    return int((times.children_user + times.children_system + times.user + times.system) * TICKS)


@dataclass
class Usage:
    """CPU time between two points in time, in seconds."""

    by_process: dict[int, float]
    #: Share of the machine used by programs that are not part of the benchmark.
    background_load: float


class UsageMeter:
    def __init__(self, processes: Processes) -> None:
        self.pids = [process.pid for process in processes.running] + processes.external
        self.before = {pid: ticks_of_tree(pid) for pid in self.pids}
        self.own = children_ticks()
        self.machine = machine_ticks()
        self.began = time.monotonic()

    def read(self) -> Usage:
        elapsed = time.monotonic() - self.began
        machine = machine_ticks() - self.machine
        own = children_ticks() - self.own
        used = {pid: ticks_of_tree(pid) - before for pid, before in self.before.items()}
        background = max(0, machine - own - sum(used.values())) / TICKS / (elapsed * CORES)
        return Usage({pid: ticks / TICKS for pid, ticks in used.items()}, background)


def resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise BenchError(f"process {pid} does not exist")


class Perf:
    """A context that runs `perf` during a measurement; does nothing if `perf` is not installed."""

    def __init__(self, *arguments: str) -> None:
        perf = shutil.which("perf")
        self.command = [perf, *arguments] if perf else None

    def __enter__(self) -> Self:
        self.process = self.command and subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            start_new_session=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process:
            self.process.send_signal(signal.SIGINT)
            self.parse(self.process.communicate(timeout=30)[1])

    def parse(self, output: str) -> None:
        """Called with what `perf` printed on standard error."""


class SyscallCounter(Perf):
    """Counts the system calls of a process."""

    def __init__(self, pid: int) -> None:
        super().__init__("stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", str(pid))
        self.calls: int | None = None

    def parse(self, output: str) -> None:
        counts = [line.split(",")[0] for line in output.splitlines() if "raw_syscalls" in line]
        self.calls = int(counts[0]) if counts and counts[0].isdigit() else None


class Profiler(Perf):
    """Records the call stacks of a process into a file, about 2 000 times per second and core."""

    def __init__(self, pid: int, file: Path) -> None:
        super().__init__("record", "-q", "-e", "cpu-clock", "-F", "1999", "-g", "-o", str(file), "-p", str(pid))
        if self.command is None:
            raise BenchError("perf is missing; install linux-perf")
