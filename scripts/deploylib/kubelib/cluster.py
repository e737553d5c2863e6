"""A real control plane on loopback: etcd, kube-apiserver, and, where they were built, controllers, a scheduler and kwok's nodes."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path

from report import CheckError
from tools import CRDS, HELM, KUBECTL, TOOLS, Object, helm_environment, one_line, output, run

PROGRAMS = TOOLS / "control-plane"
ZONES = ("a", "b", "c")


def built(*names: str) -> bool:
    return all(os.access(PROGRAMS / name, os.X_OK) for name in names)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Cluster:
    """Started programs, and kubectl and helm for them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.processes: list[subprocess.Popen[bytes]] = []
        self.config = directory / "kubeconfig"
        self.port = free_port()
        self.token = secrets.token_hex(16)

    def start(self, *options: str, resources: bool = True) -> None:
        """`options`: further ones of kube-apiserver. `resources`: whether to add the custom resources that the manifests use."""
        here, client, peer = self.directory, free_port(), free_port()
        output(["openssl", "genrsa", "-out", here / "accounts.key", "2048"])
        output(["openssl", "rsa", "-in", here / "accounts.key", "-pubout", "-out", here / "accounts.pub"])
        (here / "tokens.csv").write_text(f"{self.token},admin,admin,system:masters\n")
        urls = {"listen-client": client, "advertise-client": client, "listen-peer": peer, "initial-advertise-peer": peer}
        etcd = [f"--{name}-urls=http://127.0.0.1:{port}" for name, port in urls.items()]
        self._run("etcd", *etcd, f"--initial-cluster=default=http://127.0.0.1:{peer}", f"--data-dir={here}/etcd", "--unsafe-no-fsync")
        self._run(
            "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{client}", f"--secure-port={self.port}", "--bind-address=127.0.0.1",
            f"--cert-dir={here}/certificates", "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={here}/accounts.pub", f"--service-account-signing-key-file={here}/accounts.key",
            f"--token-auth-file={here}/tokens.csv", "--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16",
            *options,
        )
        self._write_config()
        self._wait_ready()
        if resources:
            self.kubectl("apply", "--server-side", "-f", str(CRDS))
            self.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")

    def start_controllers(self) -> None:
        """Real controllers and scheduler, with three nodes that kwok plays: one per zone."""
        common = [f"--kubeconfig={self.config}", "--leader-elect=false", "--bind-address=127.0.0.1"]
        keys = f"--service-account-private-key-file={self.directory}/accounts.key"
        self._run("kube-controller-manager", *common, f"--secure-port={free_port()}", keys, "--horizontal-pod-autoscaler-sync-period=2s")
        self._run("kube-scheduler", *common, f"--secure-port={free_port()}")
        stages = [f"--config={path}" for path in sorted((PROGRAMS / "stages").glob("*.yaml"))]
        self._run("kwok", f"--kubeconfig={self.config}", "--manage-all-nodes=true", f"--server-address=127.0.0.1:{free_port()}", *stages)
        for zone in ZONES:
            name = f"node-{zone}"
            labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone, "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"}
            room = {"cpu": "32", "memory": "64Gi", "pods": "110"}
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "status": {"allocatable": room, "capacity": room}}
            self.kubectl("create", "-f", "-", stdin=json.dumps(node))

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kubectl(self, *arguments: str, stdin: str | None = None, **options: object) -> str:
        """The output of kubectl, which must succeed, without warnings."""
        done = self.try_kubectl(*arguments, stdin=stdin)
        if done.returncode != 0:
            raise CheckError(f"kubectl {' '.join(arguments[:3])} ended with {done.returncode}: {one_line(done.stderr)}")
        if "Warning" in done.stderr:
            raise CheckError(f"kubectl {' '.join(arguments[:3])}: {one_line(done.stderr)}")
        return done.stdout

    def try_kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return run([KUBECTL, *arguments], input=stdin, env={"KUBECONFIG": str(self.config), "PATH": os.environ["PATH"], "HOME": str(self.directory)})

    def get(self, *arguments: str) -> Object:
        found: Object = json.loads(self.kubectl("get", "-o", "json", *arguments))
        return found

    def helm(self, *arguments: str | Path) -> str:
        return output([HELM, *arguments], env=helm_environment() | {"KUBECONFIG": str(self.config)})

    def _run(self, name: str, *arguments: str) -> None:
        with open(self.directory / f"{name}.log", "wb") as log:
            command = [str(PROGRAMS / name), *arguments]
            self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory))

    def _write_config(self) -> None:
        cluster = {"server": f"https://127.0.0.1:{self.port}", "insecure-skip-tls-verify": True}
        self.config.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "check",
            "clusters": [{"name": "check", "cluster": cluster}], "users": [{"name": "admin", "user": {"token": self.token}}],
            "contexts": [{"name": "check", "context": {"cluster": "check", "user": "admin"}}],
        }))
        self.config.chmod(0o600)

    def _wait_ready(self) -> None:
        unverified = ssl._create_unverified_context()
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}/readyz", headers={"Authorization": f"Bearer {self.token}"})
        for _ in range(300):
            try:
                with urllib.request.urlopen(request, timeout=2, context=unverified):
                    return
            except OSError:
                time.sleep(0.2)
        log = (self.directory / "kube-apiserver.log").read_text()
        raise CheckError(f"kube-apiserver is not ready after 60 s: {one_line(log[-300:])}")
