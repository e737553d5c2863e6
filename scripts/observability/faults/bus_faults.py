"""Faults of the bus between nodes: Redis is gone, a stranger publishes."""

import socket

from database import Database
from stack import free_ports
from table import fault


class Redis:
    """A private Redis that keeps nothing."""

    def __init__(self, stack):
        self.stack = stack
        (self.port,) = free_ports(1)
        self.url = f"redis://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        command = ["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self.stack.directory]
        self.process = self.stack.start("redis", command)
        self.stack.wait_for("redis", self.process, self.responds)

    def stop(self):
        self.process.kill()
        self.process.wait(20)

    def responds(self):
        try:
            return self.command("PING") == b"+PONG"
        except OSError:
            return False

    def command(self, *words):
        request = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(request.encode())
            return connection.recv(4096).split(b"\r\n")[0]


def serve(scene):
    database, redis = Database(scene.stack), Redis(scene.stack)
    scene.serve({"OAUTH2_DATABASE_URL": database.url, "OAUTH2_REDIS_URL": redis.url})
    return redis


@fault("Redis is stopped", {"OAuth2BusDown"})
def redis_stopped(scene):
    redis = serve(scene)
    yield
    redis.stop()
    yield
    redis.start()


@fault("A stranger publishes to the channel of the nodes", {"OAuth2BusForged"})
def forged_messages(scene):
    redis = serve(scene)
    yield
    for _ in range(5):
        redis.command("PUBLISH", "oauth2_server:hints", f"1.{'A' * 43}.{{}}")
    yield
