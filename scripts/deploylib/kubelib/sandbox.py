"""What a Pod gives the server, without a cluster: a network of its own, a read-only root with the binary in it, any uid without
capabilities, Secrets as files of a group, and the names of Postgres and Redis. Runs inside `unshare` (see `enter`)."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

from report import CheckError
from tools import Object, environment, output

#: Directories of this machine that a dynamically linked binary needs. An image has its own, or a static binary.
LIBRARIES = ("/usr", "/lib", "/lib64", "/etc/ssl")
SECRETS = "run/secrets/oauth2-server"


def enter(arguments: list[str]) -> subprocess.Popen[str]:
    """Runs a program in new namespaces; everything in them ends with it."""
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-B", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def why_not() -> str | None:
    """Why this machine has no namespaces for us."""
    if os.geteuid() != 0:
        return "namespaces with other users need root"
    if subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True).returncode != 0:
        return "this machine allows no namespaces"
    missing = [name for name in ("setpriv", "chroot", "mount", "openssl", "redis-server") if not shutil.which(name)]
    if missing or not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return f"{', '.join(missing) or 'Postgres'} is missing: run scripts/setup"
    return None


def bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        up = struct.pack("16sh", b"lo", 0x1 | 0x40)  # IFF_UP, IFF_RUNNING
        fcntl.ioctl(control, 0x8914, up)  # SIOCSIFFLAGS


def mount(*arguments: str) -> None:
    output(["mount", *arguments])


class Sandbox:
    """A private directory tree and network for servers."""

    def __init__(self, directory: Path, hosts: list[str]) -> None:
        mount("--make-rprivate", "/")
        bring_up_loopback()
        self.directory = directory
        mount("-t", "tmpfs", "-o", "mode=755,size=1g", "tmpfs", str(directory))
        names = directory / "hosts"
        names.write_text("127.0.0.1 localhost " + " ".join(hosts) + "\n")
        mount("--bind", str(names), "/etc/hosts")
        self.number = 0

    def root(self, binary: Path, secrets: dict[str, str], workload: Object) -> Path:
        """A root file system as that of an image, with the volumes of a workload. Read-only, but for its empty directories."""
        self.number += 1
        root = self.directory / f"root{self.number}"
        root.mkdir()
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(root))
        for source in (*LIBRARIES, "/dev/urandom", "/dev/null", "/etc/hosts", str(binary)):
            target = root / ("usr-oauth2_server" if source == str(binary) else source.lstrip("/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.mkdir() if Path(source).is_dir() else target.touch()
            mount("--bind", source, str(target))
        pod = workload["spec"]["template"]["spec"]
        group = pod["securityContext"]["fsGroup"]
        for volume in pod["volumes"]:
            path = root / next(each["mountPath"] for each in pod["containers"][0]["volumeMounts"] if each["name"] == volume["name"]).lstrip("/")
            path.mkdir(parents=True)
            if "emptyDir" in volume:
                # The kubelet gives an empty directory to the group, writable, and with the bit that passes the group on.
                mount("-t", "tmpfs", "-o", f"mode=2777,gid={group}", "tmpfs", str(path))
            else:
                write_secrets(path, secrets, volume["secret"]["defaultMode"], group)
        mount("-o", "remount,ro", str(root))
        return root

    @staticmethod
    def command(root: Path, workload: Object, arguments: list[str]) -> list[str]:
        """The server in a root, as the user of a workload."""
        context = workload["spec"]["template"]["spec"]["securityContext"]
        user = ["--reuid", str(context["runAsUser"]), "--regid", str(context["runAsGroup"]), "--groups", str(context["fsGroup"])]
        limits = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        return ["chroot", str(root), "/usr/bin/setpriv", *user, *limits, "/usr-oauth2_server", *arguments]


def write_secrets(path: Path, secrets: dict[str, str], mode: int, group: int) -> None:
    for name, value in secrets.items():
        file = path / name
        file.write_text(value)
        os.chown(file, 0, group)
        file.chmod(mode)


def certificates(directory: Path, names: list[str]) -> None:
    """ca.pem, and server.crt with server.key for the names."""
    directory.mkdir(exist_ok=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    output(["openssl", "req", "-x509", *key, "-keyout", directory / "ca.key", "-out", directory / "ca.pem", "-subj", "/CN=check"])
    alternatives = ",".join(f"DNS:{name}" for name in names)
    request = ["openssl", "req", "-x509", *key, "-keyout", directory / "server.key", "-out", directory / "server.crt"]
    issuer = ["-CA", directory / "ca.pem", "-CAkey", directory / "ca.key", "-subj", f"/CN={names[0]}"]
    output([*request, *issuer, "-addext", f"subjectAltName={alternatives}", "-addext", "basicConstraints=critical,CA:FALSE"])


def variables(workload: Object) -> dict[str, str]:
    """The environment of the container: that of the manifest, and the PATH of every image."""
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"} | environment(workload)


def require_exit(process: subprocess.Popen[bytes], seconds: float, log: Path) -> int:
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        tail = log.read_text()[-300:]
        raise CheckError(f"the server did not end within {seconds:g} s: {tail}") from None
