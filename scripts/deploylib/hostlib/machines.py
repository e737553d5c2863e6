"""Hosts of a deployment: a container with a booted systemd each, with the addresses and names of the pages, on one network of their own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from hostlib import container
from hostlib.netns import Network

#: Files and directories of Debian's packages in /etc that the pages build on.
PACKAGES = ["postgresql-common", "haproxy", "prometheus", "default/haproxy", "default/prometheus", "default/prometheus-alertmanager", "ssl", "ca-certificates.conf",
            "logrotate.d", "login.defs", "pam.d", "security", "nsswitch.conf"]
#: System users that those packages create.
USERS = {"root", "daemon", "nobody", "postgres", "haproxy", "prometheus", "messagebus", "systemd-network"}
#: Debian's, for a login of root.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def lines_of(file: str, names: set[str]) -> str:
    """The lines of /etc/passwd or /etc/group with these names."""
    return "".join(line for line in Path(file).read_text().splitlines(keepends=True) if line.split(":")[0] in names)


class Machine(container.Container):
    """A host: it runs until `stop`, and commands are run on it by `run`."""

    def __init__(self, directory: Path, name: str, network: Network) -> None:
        super().__init__(directory / name, None)
        self.name = name
        self.network = network
        self.process: subprocess.Popen[bytes] | None = None
        self.pid = 0
        self.write("etc/passwd", lines_of("/etc/passwd", USERS))
        self.write("etc/group", lines_of("/etc/group", USERS | {"adm", "nogroup", "systemd-journal", "ssl-cert", "tty", "shadow", "utmp"}))
        self.write("etc/hostname", f"{name}\n")
        for path in PACKAGES:
            source, copy = Path("/etc") / path, self.root / "etc" / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy, symlinks=True, dirs_exist_ok=True)
            elif source.is_file():
                shutil.copy(source, copy)
        (self.root / "check").mkdir()
        (self.root / "opt").mkdir()

    def hosts(self, names: dict[str, str]) -> None:
        self.write("etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n" + "".join(f"{address} {name}\n" for name, address in names.items()))

    def start(self, files: Path) -> None:
        """Boots. `files` is /check there."""
        upper, work = self.overlay.parent / "upper", self.overlay.parent / "work"
        for path in (upper, work):
            path.mkdir()
        command = [
            "systemd-nspawn", "--quiet", "--directory", str(self.root), f"--overlay=/usr:{upper}:/usr", f"--bind-ro={files}:/check", "--boot",
            "--register=no", "--keep-unit", f"--network-namespace-path=/run/netns/{self.network.namespace(self.name)}", "--link-journal=no", "--console=pipe",
            "--resolv-conf=off", f"--hostname={self.name}", "--", "systemd.unit=basic.target", "systemd.log_target=null",
        ]
        log = open(self.overlay.parent / "boot.log", "wb")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        log.close()

    def booted(self, timeout: float = 60) -> None:
        """Waits until its systemd has reached the basic target."""
        assert self.process
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} did not boot: {(self.overlay.parent / 'boot.log').read_text(errors='replace')[-400:]}")
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            if children:
                self.pid = int(children[0])
                try:
                    done = self.try_run("systemctl is-active -q basic.target", timeout=10)
                except subprocess.TimeoutExpired:
                    continue
                if done.returncode == 0:
                    return
            time.sleep(0.1)
        raise RuntimeError(f"{self.name} did not boot within {timeout} s")

    def try_run(self, script: str, directory: str = "/opt/oauth2_server", user: str = "root", timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Runs lines of a shell on the host, as if typed by a login of that user: each must succeed."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--"]
        home = {"root": "/root", "postgres": "/var/lib/postgresql"}.get(user, "/")
        as_user = [] if user == "root" else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        shell = ["env", "-i", "--chdir=/", f"PATH={PATH}", f"HOME={home}", "LANG=C.UTF-8", *as_user, "bash", "-Eeuo", "pipefail", "-c", f"cd {shlex.quote(directory)} 2>/dev/null || cd /\n{script}"]
        return subprocess.run([*enter, *shell], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)

    def run(self, script: str, directory: str = "/opt/oauth2_server", user: str = "root", timeout: float = 120) -> str:
        """As `try_run`; returns the output of both streams. An error if it fails."""
        done = self.try_run(script, directory, user, timeout)
        printed = done.stdout + done.stderr
        if done.returncode:
            raise RuntimeError(f"on {self.name}, exit code {done.returncode}: {printed.strip()[-600:] or script[:200]}")
        return printed

    def wait_for(self, script: str, what: str, timeout: float = 60) -> None:
        """Runs lines again until they succeed."""
        deadline = time.monotonic() + timeout
        while True:
            done = self.try_run(script)
            if done.returncode == 0:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: not within {timeout:.0f} s: {what}: {(done.stdout + done.stderr).strip()[-300:]}")
            time.sleep(0.2)

    def troubles(self) -> str:
        """Units that failed, with the last lines of their logs."""
        return self.try_run("for unit in $(systemctl list-units --failed --plain --no-legend | cut -d' ' -f1); do echo $unit; journalctl -u $unit -n 4 -o cat; done").stdout.strip()

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            # The end of nspawn ends the container's PID 1, and with it everything in there.
            self.process.kill()
            self.process.wait()


class Deployment:
    """Several hosts and their network."""

    def __init__(self, directory: Path, addresses: dict[str, str], names: dict[str, str]) -> None:
        self.directory = directory
        self.files = directory / "check"
        self.files.mkdir()
        self.network = Network(list(addresses), addresses)
        self.machines: dict[str, Machine] = {}
        try:
            for name in addresses:
                machine = Machine(directory, name, self.network)
                machine.hosts(names)
                self.machines[name] = machine
        except BaseException:
            self.network.close()
            raise

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    def boot(self) -> None:
        for machine in self.machines.values():
            machine.start(self.files)
        for machine in self.machines.values():
            machine.booted()

    def copy(self, source: str, source_path: str, targets: Iterable[str], path: str, mode: int = 0o600) -> None:
        """Carries a file from a host to others, as an administrator does by scp."""
        content = (self[source].root / source_path.lstrip("/")).read_bytes()
        for target in targets:
            file = self[target].root / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode)
            file.write_bytes(content)
            os.chmod(file, mode)

    def close(self) -> None:
        for machine in self.machines.values():
            machine.stop()
        self.network.close()
