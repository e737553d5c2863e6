"""Starts programs in a temporary directory, and stops each by its process id."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

ROOT = Path(__file__).resolve().parents[3]
#: Where `scripts/setup --deploy` puts the Python packages with other versions of the proxies.
PACKAGES = ROOT / "target/tools/deploy/python"


def wait_for(what: str, condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.02)


def listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path, seconds: float = 30) -> None:
    def started() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"exit code {process.returncode}: {log.read_text(errors='replace')[-300:]}")
        return listens(port)

    wait_for(f"port {port} being open", started, seconds)


class Programs:
    """A context with a directory and programs; all of them are gone after it."""

    def __init__(self) -> None:
        self.running: list[subprocess.Popen[bytes]] = []
        self.taken: set[int] = set()

    def __enter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix="oauth2-deploy-"))
        # Postgres and the workers of nginx run as other users if this one is root.
        self.directory.chmod(0o711)
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        signal.alarm(0)
        for process in reversed(list(self.running)):
            # SIGINT is the fast shutdown of Postgres; the others take it like SIGTERM.
            self.stop(process, signal.SIGINT, patience=10)
        shutil.rmtree(self.directory, ignore_errors=True)

    def free_port(self) -> int:
        """A port below the range from which the kernel takes those of connections, so that none of them takes it meanwhile."""
        while True:
            with socket.socket() as probe:
                port = 10000 + int.from_bytes(os.urandom(2), "big") % 20000
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                if port not in self.taken:
                    self.taken.add(port)
                    return port

    def start(self, command: list[str | Path], log: Path, env: dict[str, str] | None = None, cwd: Path | None = None,
              user: str | None = None) -> subprocess.Popen[bytes]:
        with open(log, "ab") as sink:
            process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=env,
                                       cwd=cwd or self.directory, user=user, group=user, extra_groups=[] if user else None,
                                       start_new_session=True)
        self.running.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM, patience: float = 30) -> int:
        if process in self.running:
            self.running.remove(process)
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(timeout=patience)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=10)
        return process.returncode


def run(command: list[str | Path], timeout: float = 60, **options: object) -> tuple[int, str]:
    """Runs a program to its end; returns its exit code and what it printed."""
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=timeout, check=False, **options)  # type: ignore[call-overload]
    return done.returncode, done.stdout.decode(errors="replace")


def package_file(pattern: str) -> Path | None:
    """A file of an installed Python package."""
    return next(iter(sorted(PACKAGES.glob(f"lib/python3*/site-packages/{pattern}"))), None)


@dataclass(frozen=True)
class Binary:
    """A proxy of one version. A class of its own for each proxy says how its features are listed."""

    path: Path
    version: tuple[int, ...]
    program: ClassVar[str]
    #: The option that lists features, and what stands before a feature in that list.
    listing: ClassVar[tuple[str, str]]

    @property
    def name(self) -> str:
        return f"{self.program} " + ".".join(map(str, self.version))

    def has(self, feature: str) -> bool:
        option, prefix = self.listing
        return prefix + feature in run([self.path, option])[1]
