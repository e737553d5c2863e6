"""Two nodes of the server on one private Postgres and Redis, with secrets in files, and a load that a balancer would spread over them."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from benchlib.processes import Processes, free_port

ADMIN_SCOPE = "admin"


def call(port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, timeout: float = 5) -> tuple[int, dict]:
    """One request on a connection of its own; the status, and the JSON of the response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        text = response.read()
        with contextlib.suppress(ValueError):
            return response.status, json.loads(text)
        return response.status, {}
    finally:
        connection.close()


def form(client: str, **fields: str) -> tuple[bytes, dict[str, str]]:
    headers = {"Authorization": "Basic " + base64.b64encode(client.encode()).decode(), "Content-Type": "application/x-www-form-urlencoded"}
    return urlencode(fields).encode(), headers


class Secrets:
    """A directory with one file per secret, replaced as a whole."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700)

    def path(self, name: str) -> Path:
        return self.directory / name

    def write(self, name: str, value: str) -> None:
        new = self.path(f".{name}.new")
        new.write_text(value + "\n")
        new.chmod(0o600)
        new.rename(self.path(name))

    def read(self, name: str) -> str:
        return self.path(name).read_text().strip()


@dataclass
class Node:
    """One server process. It is configured by `env`, which may be changed before a restart."""

    name: str
    binary: Path
    processes: Processes
    directory: Path
    env: dict[str, str]
    port: int = field(default_factory=free_port)
    management: int = field(default_factory=free_port)
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    def start(self) -> None:
        env = {"PATH": os.environ["PATH"], **self.env, "OAUTH2_SERVER_PORT": str(self.port), "OAUTH2_MANAGEMENT_PORT": str(self.management)}
        self.process = self.processes.start([str(self.binary), *self.arguments], self.log, env=env, cwd=self.directory)
        deadline = time.monotonic() + 60
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} is not ready: {self.log.read_text()[-400:]}")
            time.sleep(0.1)

    def ready(self) -> bool:
        try:
            return call(self.management, "GET", "/ready", timeout=2)[0] == 200
        except OSError:
            return False

    def restart(self) -> None:
        assert self.process
        self.processes.stop(self.process)
        if self.process.returncode != 0:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}")
        self.start()

    def admin(self, method: str, path: str, body: dict | None = None, token: str = "") -> tuple[int, dict]:
        text = json.dumps(body).encode() if body is not None else None
        return call(self.management, method, f"/admin/v1/{path}", text, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})

    def token(self, client: str, **fields: str) -> tuple[int, dict]:
        return call(self.port, "POST", "/oauth/token", *form(client, grant_type="client_credentials", **fields))

    def introspect(self, client: str, token: str) -> bool:
        return bool(call(self.port, "POST", "/oauth/introspect", *form(client, token=token))[1].get("active"))

    def metric(self, name: str) -> float:
        connection = http.client.HTTPConnection("127.0.0.1", self.management, timeout=5)
        connection.request("GET", "/metrics")
        for line in connection.getresponse().read().decode().splitlines():
            if line.startswith((name + " ", name + "{")):
                return float(line.rsplit(" ", 1)[1])
        raise RuntimeError(f"no metric {name}")

    def command(self, *arguments: str) -> str:
        env = {"PATH": os.environ["PATH"], **self.env}
        done = subprocess.run([str(self.binary), *arguments], env=env, cwd=self.directory, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip()[-300:]}")
        return done.stdout


class Load:
    """Threads that request tokens, each from one node after the other, and introspect them at the other node. A request that one node does not
    answer is sent to the next, as a balancer with retries does; it has failed when no node answered with 200."""

    def __init__(self, nodes: list[Node], client: str, threads: int = 4) -> None:
        self.nodes, self.client = nodes, client
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.requests = self.repeated = 0
        self.failures: list[str] = []
        self.threads = [threading.Thread(target=self.loop, args=(index,), daemon=True) for index in range(threads)]

    def loop(self, index: int) -> None:
        count = index
        while not self.stopped.is_set():
            count += 1
            order = [self.nodes[(count + step) % len(self.nodes)] for step in range(len(self.nodes))]
            self.one(order)
            time.sleep(0.005)

    def one(self, order: list[Node]) -> None:
        status, token = self.ask(order, lambda node: node.token(self.client))
        if token:
            status, answer = self.ask(list(reversed(order)), lambda node: call(node.port, "POST", "/oauth/introspect", *form(self.client, token=token["access_token"])))
            if not answer.get("active"):
                self.fail(f"a token is not active: {status} {answer}")
        else:
            self.fail(f"no token: {status}")

    def ask(self, order: list[Node], request: object) -> tuple[str, dict]:
        seen = []
        for attempt, node in enumerate(order):
            with self.lock:
                self.requests += 1
                self.repeated += attempt > 0
            try:
                status, answer = request(node)  # type: ignore[operator]
            except (OSError, http.client.HTTPException) as error:
                seen.append(f"{node.name}: {type(error).__name__}")
                continue
            if status == 200:
                return "200", answer
            seen.append(f"{node.name}: {status}")
        return ", ".join(seen), {}

    def fail(self, what: str) -> None:
        with self.lock:
            self.failures.append(what)

    @contextlib.contextmanager
    def running(self) -> Iterator[Load]:
        for thread in self.threads:
            thread.start()
        try:
            yield self
        finally:
            self.stopped.set()
            for thread in self.threads:
                thread.join(timeout=30)


class Redis:
    """A private Redis whose only user is the server's, besides an administrator of the test."""

    def __init__(self, processes: Processes, directory: Path, password: str) -> None:
        program = shutil.which("redis-server")
        if not program:
            raise RuntimeError("redis-server is not installed")
        self.port, self.admin = free_port(), "administrator-of-the-test"
        rights = ("resetkeys resetchannels ~oauth2_server:* &oauth2_server:* -@all +publish +subscribe +ping +info +select +hello +eval +evalsha "
                  "+script|load +get +set +unlink +time")
        self.users = directory / "redis.acl"
        self.users.write_text(f"user default on >{self.admin} ~* &* +@all\nuser oauth2 on >{password} {rights}\n")
        (directory / "redis.conf").write_text(f"bind 127.0.0.1\nport {self.port}\nsave ''\nappendonly no\ndir {directory}\naclfile {self.users}\n")
        processes.start([program, str(directory / "redis.conf")], directory / "redis.log")
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError, RuntimeError):
                self.command("PING")
                return
            if time.monotonic() > deadline:
                raise RuntimeError((directory / "redis.log").read_text()[-300:])
            time.sleep(0.1)

    def command(self, *words: str) -> str:
        """Sends a command as the administrator; an error is an exception."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            reader = connection.makefile("rb")
            for command in (("AUTH", self.admin), words):
                connection.sendall(f"*{len(command)}\r\n".encode() + b"".join(f"${len(w.encode())}\r\n{w}\r\n".encode() for w in command))
                line = reader.readline().decode().strip()
                if line.startswith("-"):
                    raise RuntimeError(line)
            return reader.read(int(line[1:])).decode() if line.startswith("$") else line

    def shell(self, script: str) -> str:
        """Runs commands of a page whose redis-cli is that of the administrator; an error is an exception."""
        cli = f'redis-cli() {{ command redis-cli -e -h 127.0.0.1 -p {self.port} "$@"; }}\n'
        done = subprocess.run(["bash", "-ec", cli + script], env={"PATH": os.environ["PATH"], "REDISCLI_AUTH": self.admin}, capture_output=True, text=True, timeout=30,
                              check=False)
        if done.returncode:
            raise RuntimeError(f"redis-cli: {(done.stdout + done.stderr).strip()[-300:]}")
        return done.stdout

    def saved(self) -> str:
        """The file of users: it changes by ACL SAVE."""
        return self.users.read_text()

    def connections(self, user: str) -> int:
        """How many connections are open that logged in as a user."""
        return sum(f" user={user} " in line for line in self.command("CLIENT", "LIST").splitlines())
