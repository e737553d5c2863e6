"""Hosts as network namespaces, joined by one bridge, and connections between them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

#: Listens on the given TCP ports of both families, and answers each connection with a line.
LISTENER = """
import selectors, socket, sys
ports = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    listener = socket.socket(socket.AF_INET6)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", port))
    listener.listen(512)
    ports.register(listener, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in ports.select():
        connection, _ = key.fileobj.accept()
        connection.sendall(b"here\\n")
        connection.close()
"""
#: Connects to ADDRESS PORT pairs at the same time, and prints per pair whether it was accepted, refused, or dropped.
CONNECT = """
import errno, socket, sys
from concurrent.futures import ThreadPoolExecutor
def attempt(pair):
    try:
        socket.create_connection((pair[0], int(pair[1])), timeout=2).close()
        return "accepted"
    except TimeoutError:
        return "dropped"
    except OSError as error:
        return "refused " + str(errno.errorcode.get(error.errno, error))
with ThreadPoolExecutor(64) as pool:
    print("\\n".join(pool.map(attempt, zip(sys.argv[1::2], sys.argv[2::2]))))
"""


def missing_rights() -> str | None:
    """Why no namespaces with bridges and rules can be made here, if so: a container engine may withhold it from root, too."""
    name = f"oauth2-{os.getpid()}-probe"
    script = (f"trap 'ip netns delete {name} 2>/dev/null' EXIT; ip netns add {name} && ip -n {name} link add br0 type bridge && "
              f"ip netns exec {name} nft list ruleset")
    done = subprocess.run(["sh", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    return done.stderr.strip() or "ip netns does not work" if done.returncode else None


@dataclass(frozen=True)
class Host:
    name: str
    number: int
    v4: str
    #: Bits of the network of `v4`.
    prefix: int

    @property
    def v6(self) -> str:
        return f"fd53:213::{self.number}"


class Network:
    """Namespaces of one run. Their names carry the process id, so that two runs do not meet; the bridge is in a namespace of its own."""

    def __init__(self, names: list[str], addresses: dict[str, str] | None = None) -> None:
        """`addresses`: IPv4 addresses by name, in one network 10.0.0.0/8; without them 10.213.0.10 and so on."""
        self.prefix = f"oauth2-{os.getpid()}-"
        self.children: list[subprocess.Popen[bytes]] = []
        self.created: list[str] = []
        self.hosts = {name: Host(name, 10 + index, addresses[name], 8) if addresses else Host(name, 10 + index, f"10.213.0.{10 + index}", 24)
                      for index, name in enumerate(names)}
        self.create("switch")
        self.ip("-n", self.namespace("switch"), "link", "add", "br0", "type", "bridge")
        self.ip("-n", self.namespace("switch"), "link", "set", "br0", "up")
        for host in self.hosts.values():
            self.create(host.name)
            inside = self.namespace(host.name)
            # Duplicate address detection would delay the first connection by a second.
            self.run(host.name, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0")
            self.ip("-n", inside, "link", "add", "eth0", "type", "veth", "peer", "name", f"port{host.number}", "netns", self.namespace("switch"))
            self.ip("-n", self.namespace("switch"), "link", "set", f"port{host.number}", "master", "br0", "up")
            self.ip("-n", inside, "addr", "add", f"{host.v4}/{host.prefix}", "dev", "eth0")
            self.ip("-n", inside, "addr", "add", f"{host.v6}/64", "dev", "eth0", "nodad")
            self.ip("-n", inside, "link", "set", "eth0", "up")
            self.ip("-n", inside, "link", "set", "lo", "up")

    def namespace(self, name: str) -> str:
        return self.prefix + name

    def create(self, name: str) -> None:
        self.ip("netns", "add", self.namespace(name))
        self.created.append(name)

    @staticmethod
    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)

    def run(self, name: str, *command: str, check: bool = True, timeout: float = 60, user: int | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a program on a host."""
        as_user = [] if user is None else ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        done = subprocess.run(["ip", "netns", "exec", self.namespace(name), *as_user, *command], capture_output=True, text=True, timeout=timeout,
                              check=False)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command[:4])}: {(done.stderr or done.stdout).strip()[-300:]}")
        return done

    def start(self, name: str, command: list[str], log: Path, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        with open(log, "ab") as sink:
            child = subprocess.Popen(["ip", "netns", "exec", self.namespace(name), *command], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
                                     env=env, start_new_session=True)
        self.children.append(child)
        return child

    def listen(self, name: str, ports: list[int]) -> None:
        child = subprocess.Popen(["ip", "netns", "exec", self.namespace(name), sys.executable, "-c", LISTENER, *map(str, ports)],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
        self.children.append(child)
        assert child.stdout
        if child.stdout.readline().strip() != b"ready":
            raise RuntimeError(f"no listener on {name}")

    def connect(self, name: str, targets: list[tuple[str, int]], user: int | None = None) -> list[str]:
        """What becomes of a connection to each target: accepted, dropped, or refused with an error."""
        arguments = [text for address, port in targets for text in (address, str(port))]
        return self.run(name, sys.executable, "-c", CONNECT, *arguments, user=user, timeout=120).stdout.splitlines()

    def close(self) -> None:
        for child in reversed(self.children):
            child.terminate()
        for child in self.children:
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for name in reversed(self.created):
            subprocess.run(["ip", "netns", "delete", self.namespace(name)], capture_output=True, timeout=20, check=False)
