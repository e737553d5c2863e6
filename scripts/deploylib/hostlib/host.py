"""A host to run commands of a page on: this machine in a mount namespace, where writes to its directories go to a copy."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]


class Host:
    """Files written below `directories` are kept for the next commands, and never reach this machine. Programs that cannot work in a
    check, such as systemctl, may be replaced by stand-ins; `called` has their calls."""

    def __init__(self, directory: Path, *directories: str, network: bool = True) -> None:
        """`network`: whether the host has a network of its own, with the loopback interface only."""
        self.directory, self.directories, self.network = directory, directories, network
        self.programs = directory / "programs"
        self.programs.mkdir(parents=True)
        self.calls = directory / "calls"
        self.calls.touch()
        for path in directories:
            (self.upper(path)).mkdir()
            (self.upper(path).with_suffix(".work")).mkdir()

    def upper(self, path: str) -> Path:
        return self.directory / path.strip("/").replace("/", "-")

    def missing(self) -> str | None:
        """Why this machine cannot do it, if so."""
        if os.geteuid() != 0:
            return "needs root"
        done = self.try_run("true")
        return f"no overlay can be mounted here: {done.stderr.strip()[-200:]}" if done.returncode else None

    def written(self, path: str) -> Path:
        """Where a file is that commands wrote, or that is to be there before."""
        for each in self.directories:
            if path.startswith(f"{each}/"):
                return self.upper(each) / path.removeprefix(f"{each}/")
        raise RuntimeError(f"{path} is not below {', '.join(self.directories)}")

    def write(self, path: str, text: str) -> None:
        file = self.written(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def replace_program(self, name: str, script: str = "") -> None:
        """A program of this name logs its call and runs a script instead."""
        path = self.programs / name
        path.write_text(f'#!/bin/bash\nset -e\necho "{name} $*" >>{self.calls}\n{script}\n')
        path.chmod(0o755)

    def packages_are_installed(self) -> None:
        """`apt-get install` is left out: it only looks that its packages are installed."""
        self.replace_program("apt-get", 'shift; dpkg --status "$@" >/dev/null')

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines()

    def try_run(self, script: str, cwd: Path = REPOSITORY, **environment: str) -> subprocess.CompletedProcess[str]:
        mounts = "".join(f"mount -t overlay host -o lowerdir={path},upperdir={self.upper(path)},workdir={self.upper(path).with_suffix('.work')} {path}\n"
                         for path in self.directories)
        script = f"{mounts}{'ip link set lo up' if self.network else ''}\ncd {cwd}\n{script}"
        known = {name: value for name, value in os.environ.items() if not name.startswith("OAUTH2_")}
        path = f"{self.programs}:{environment.pop('PATH', '')}:{known['PATH']}:/usr/sbin:/sbin"
        command = ["unshare", "--mount", *(["--net"] if self.network else []), "--pid", "--fork", "--kill-child=KILL", shutil.which("bash") or "/bin/bash", "-ec", script]
        return subprocess.run(command, env=known | {"PATH": path} | environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)

    def run(self, script: str, cwd: Path = REPOSITORY, **environment: str) -> str:
        """Runs commands, which must succeed; returns what they printed."""
        done = self.try_run(script, cwd, **environment)
        if done.returncode:
            raise RuntimeError(f"exit code {done.returncode}: {' '.join((done.stdout + done.stderr).split())[-500:]}")
        return done.stdout + done.stderr
