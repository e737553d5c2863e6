"""A booted systemd: PID 1 in a container of systemd-nspawn, with the programs of this machine and its own /etc, network and processes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

#: Users that the services of the test need besides root; ids of system users, as Debian gives them.
PASSWD = """root:x:0:0:root:/root:/bin/sh
messagebus:x:100:100::/nonexistent:/usr/sbin/nologin
postgres:x:101:101::/var/lib/postgresql:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUP = "root:x:0:\nmessagebus:x:100:\npostgres:x:101:\nadm:x:4:\nsystemd-journal:x:999:\nnogroup:x:65534:\n"


def missing() -> str | None:
    """Why no container can be booted here, if so."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("systemd-nspawn", "systemd-analyze"):
        if not shutil.which(program):
            return f"{program} is not installed"
    # What systemd-nspawn begins with. A container engine may withhold it from root, too.
    probe = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--net", "--fork", "mount", "-t", "tmpfs", "none", "/mnt"]
    done = subprocess.run(probe, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    return f"this root may create no namespaces and mounts: {done.stderr.strip()}" if done.returncode else None


class Container:
    """The root directory of a container, and its boot."""

    def __init__(self, directory: Path, server: Path | None) -> None:
        """With the program of the server, or without."""
        self.root = directory / "root"
        self.overlay = directory / "usr"
        for name in ("usr", "etc/systemd/system", "var/lib", "var/log", "run", "tmp", "proc", "sys", "dev", "root", "mnt", "home/someone"):
            (self.root / name).mkdir(parents=True)
        (self.root / "tmp").chmod(0o1777)
        for name in ("bin", "sbin", "lib", "lib64"):
            (self.root / name).symlink_to(f"usr/{name}")
        self.write("etc/os-release", "ID=check\n")
        # No first boot: systemd would ask questions and enable units of the host's packages.
        self.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        self.write("etc/passwd", PASSWD)
        self.write("etc/group", GROUP)
        self.write("etc/hosts", "127.0.0.1 localhost\n")
        self.write("home/someone/diary", "private\n")
        # Names such as awk lead there.
        if Path("/etc/alternatives").is_dir():
            shutil.copytree("/etc/alternatives", self.root / "etc/alternatives", symlinks=True)
        if server is None:
            return
        program = self.overlay / "bin/oauth2_server"
        program.parent.mkdir(parents=True)
        shutil.copy(server, program)
        program.chmod(0o755)

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def boot(self, unit: str, timeout: float) -> str:
        """Boots into a unit and returns what the boot printed, after the container has ended by itself."""
        command = [
            "systemd-nspawn", "--quiet", "--directory", str(self.root), f"--overlay-ro=/usr:{self.overlay}:/usr", "--boot",
            # Neither machined nor a scope of the host's systemd is needed: this machine may have no systemd as PID 1.
            "--register=no", "--keep-unit", "--private-network", "--link-journal=no", "--console=pipe", "--",
            f"systemd.unit={unit}", "systemd.log_target=null",
        ]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        out = b""
        try:
            out, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            out = error.stdout or b""
        finally:
            # Also when this program is stopped: nspawn ends the container's PID 1, and with it everything in there.
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        return out.decode(errors="replace")
