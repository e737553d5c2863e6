"""A temporary directory with a copy of deploy/, the user that runs Postgres, and processes that end with the program."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[2]


class Failed(Exception):
    """A command failed, or something did not happen in time. The text says what."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Scratch:
    """Everything that a run leaves on the machine. `close` ends its processes by their ids and deletes its files."""

    def __init__(self) -> None:
        # So that `close` runs when a time limit ends this program. Only the first thread may set this.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        # A short path: names of Unix sockets have at most 107 bytes.
        self.path = Path(tempfile.mkdtemp(prefix="oauth2-"))
        self.processes: list[subprocess.Popen] = []
        self.user: dict = {}
        self.account = pwd.getpwuid(os.geteuid()).pw_name
        # Postgres refuses to run as root.
        if os.geteuid() == 0:
            names = [entry.pw_name for entry in pwd.getpwall()]
            entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            self.account = entry.pw_name
            self.user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        # The user of Postgres may not be able to read the repository.
        self.deploy = self.path / "deploy"
        shutil.copytree(DEPLOY, self.deploy, ignore=shutil.ignore_patterns("__pycache__"))
        self.own(self.path)

    def own(self, path: Path) -> None:
        if self.user:
            subprocess.run(["chown", "-R", f"{self.user['user']}:{self.user['group']}", str(path)], check=True)

    def directory(self, name: str) -> Path:
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        self.own(self.path / Path(name).parts[0])
        return path

    def file(self, name: str, text: str, mode: int = 0o600) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode)
        path.write_text(text)
        path.chmod(mode)
        self.own(self.path / Path(name).parts[0])
        return path

    def run(self, command: list, environment: dict | None = None, seconds: float = 120, user: dict | None = None, **options) -> subprocess.CompletedProcess:
        """Runs a command as the user of Postgres, or as the caller (`user={}`), and returns its result whatever the exit code is."""
        return subprocess.run(
            [str(part) for part in command],
            env=self.environment(environment),
            cwd=self.path,
            timeout=seconds,
            capture_output=True,
            text=True,
            **(self.user if user is None else user),
            **options,
        )

    def must(self, command: list, environment: dict | None = None, seconds: float = 120, **options) -> str:
        """Runs a command that must succeed, and returns its output."""
        done = self.run(command, environment, seconds, **options)
        if done.returncode != 0:
            raise Failed(f"{Path(str(command[0])).name} exited with {done.returncode}: {last_lines(done.stderr or done.stdout)}")
        return done.stdout

    def start(self, command: list, log: Path, environment: dict | None = None) -> subprocess.Popen:
        """Starts a process in a session of its own, so that only this program ends it."""
        with open(log, "ab") as output:
            process = subprocess.Popen(
                [str(part) for part in command],
                env=self.environment(environment),
                cwd=self.path,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **self.user,
            )
        self.processes.append(process)
        return process

    def environment(self, more: dict | None) -> dict:
        # Nothing of the caller's: a PGPASSWORD or AWS_PROFILE must not decide what happens here.
        base = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(self.path), "LC_ALL": "C.UTF-8", "TZ": "UTC", "NO_PROXY": "127.0.0.1,localhost"}
        return base | {key: str(value) for key, value in (more or {}).items()}

    def end(self, process: subprocess.Popen, how: int = signal.SIGTERM, seconds: float = 20) -> None:
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        for process in reversed(self.processes):
            # Postgres ends fast, without waiting for clients, on SIGINT; the server takes SIGINT as SIGTERM.
            self.end(process, signal.SIGINT, 10)
        # A program that Postgres started, such as archive-wal, may write for a moment longer.
        for _ in range(50):
            shutil.rmtree(self.path, ignore_errors=True)
            if not self.path.exists():
                break
            time.sleep(0.1)


def last_lines(text: str, count: int = 3) -> str:
    return " | ".join(line.strip() for line in text.strip().splitlines()[-count:])
