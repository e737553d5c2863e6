"""Runs the Envoy configuration of deploy/envoy with the ports, certificate and nodes of a check."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hostlib import doc

from .cluster import Node
from .programs import ROOT, Programs, package_file, run, wait_until_listening
from .report import expect
from .text import replaced
from .wire import Edge

SHIPPED = ROOT / "deploy/envoy/envoy.yaml"


def binary() -> Path | None:
    found = package_file("envoy/_bin/envoy")
    if found:
        found.chmod(0o755)
        return found
    system = shutil.which("envoy")
    return Path(system) if system else None


def version(envoy: Path) -> str:
    return run([envoy, "--version"])[1].split("version:")[1].split("/")[1]


@dataclass
class Envoy:
    programs: Programs
    path: Path
    nodes: list[Node]
    certificate: Path
    key: Path
    denied: str = "127.0.0.66"

    def __post_init__(self) -> None:
        self.home = self.programs.directory / f"envoy-{self.programs.free_port()}"
        self.home.mkdir()
        self.edge = Edge(self.programs.free_port(), self.programs.free_port(), self.certificate)
        self.admin = self.programs.free_port()
        self.process: subprocess.Popen[bytes] | None = None
        endpoints = "".join(f"              - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {node.port} }} }} }}\n"
                            for node in self.nodes)
        text = replaced(SHIPPED, {
            r"address: 0\.0\.0\.0, port_value: 80 ": f"address: 127.0.0.1, port_value: {self.edge.http} ",
            r"address: 0\.0\.0\.0, port_value: 443 ": f"address: 127.0.0.1, port_value: {self.edge.https} ",
            r"port_value: 9901": f"port_value: {self.admin}",
            r"/etc/envoy/certs/fullchain.pem": str(self.certificate),
            r"/etc/envoy/certs/privkey.pem": str(self.key),
            r"address_prefix: 192\.0\.2\.0, prefix_len: 24": f"address_prefix: {self.denied}, prefix_len: 32",
            r"path: /dev/stdout": f"path: {self.home}/access.log",
            r"(^              - endpoint: .*\n)+": endpoints,
        })
        self.config = self.home / "envoy.yaml"
        self.config.write_text(text)

    @property
    def logs(self) -> list[Path]:
        return [self.home / "access.log", self.home / "envoy.log"]

    def commands(self) -> list[str]:
        """The commands of docs/operations/envoy.md, with this program and this file."""
        text = doc.replace(doc.block("envoy.md", "envoy --mode validate"), ("deploy/envoy/envoy.yaml", str(self.config)), ("envoy -", f"{self.path} -"))
        return text.splitlines()

    def validate(self) -> str:
        code, output = run(["bash", "-c", self.commands()[0]])
        expect(code == 0, output[-600:])
        problems = [line for line in output.splitlines() if "[warning]" in line or "[error]" in line or "[critical]" in line]
        expect(not problems, problems)
        return f"Envoy {version(self.path)}"

    def start(self) -> None:
        # No shared memory with another Envoy, two workers, and access logs written at once.
        options = "--disable-hot-restart --concurrency 2 --log-level warning --file-flush-interval-msec 200 --drain-time-s 1"
        self.process = self.programs.start(["bash", "-c", f"exec {self.commands()[1]} {options}"], self.home / "envoy.log", cwd=self.home)
        wait_until_listening(self.process, self.edge.https, self.home / "envoy.log")

    def stop(self) -> None:
        assert self.process
        self.programs.stop(self.process)
