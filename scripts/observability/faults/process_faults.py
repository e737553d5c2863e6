"""Faults of the process: gone, restarting, frozen actors, full mailboxes, descriptors, its log."""

import os
import resource
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

from database import Database
from proxy import Proxy
from stack import end
from table import ERRORS, NOT_READY, fault

FREEZE = Path(__file__).with_name("freeze.py")
STORE = {"OAuth2CommitSlow", "OAuth2DeadlinesMissed", "OAuth2RevocationLag", "HighLatency", "LatencyBudgetBurn", "DatabaseConnectionPoolExhausted"}


@fault("The only scrape target is gone", {"OAuth2TargetDown", "OAuth2TargetAbsent"})
def target_gone(scene):
    scene.serve()
    yield
    scene.node.stop()
    yield
    scene.node.start()


@fault("The process is killed again and again", {"OAuth2ProcessCrashLoop"}, {"OAuth2TargetDown", "OAuth2TargetAbsent"})
def process_killed(scene):
    scene.serve()
    yield
    for _ in range(4):
        scene.node.process.kill()
        scene.node.process.wait()
        scene.node.start()
        # Until it was scraped.
        time.sleep(1.5)
    yield


def threads(process):
    """The threads of actors. Those of workers have another name."""
    found = set()
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        try:
            if (task / "comm").read_text().startswith("actix-rt"):
                found.add(int(task.name))
        except OSError:
            continue
    return found


class Frozen:
    """A thread that does not run until it is thawed."""

    def __init__(self, scene, thread):
        self.process = subprocess.Popen([sys.executable, FREEZE, str(thread)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        scene.stack.callback(self.thaw)
        if self.process.stdout.readline() != "stopped\n":
            raise RuntimeError("a thread could not be stopped")

    def thaw(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait()


@fault("An actor freezes again after each restart", {"OAuth2ActorRestarts", "OAuth2ActorCrashLoop"}, ERRORS | NOT_READY | STORE | {"OAuth2Shedding"})
def actor_crash_loop(scene):
    scene.serve()
    yield
    node, chosen, frozen = scene.node, None, []
    restarts = lambda: sum(node.metric("actor_restarts_total").values())  # noqa: E731
    # The thread of an actor that a restart gives another one; not that of the metrics, which answers the scrape.
    for thread in sorted(threads(node.process)):
        known, count = threads(node.process), restarts()
        one = Frozen(scene, thread)
        try:
            if scene.wait(lambda: restarts() > count, 4):
                chosen = threads(node.process) - known
                frozen.append(one)
                break
        except OSError:
            pass
        one.thaw()
        scene.wait(lambda: not scene.alerts(), 20)
    if not chosen:
        raise RuntimeError("no thread of an actor was found")
    for _ in range(3):
        known, count = threads(node.process), restarts()
        frozen.append(Frozen(scene, chosen.pop()))
        if not scene.wait(lambda: restarts() > count, 5):
            raise RuntimeError("the frozen actor was not restarted")
        scene.wait(lambda: threads(node.process) - known, 5)
        chosen = threads(node.process) - known
    yield
    for one in frozen:
        one.thaw()


@fault(
    "The mailbox of an actor is full",
    {"OAuth2MailboxFilling", "OAuth2Shedding", *ERRORS},
    STORE | NOT_READY | {"OAuth2StoreUnavailable", "OAuth2StoreNotWritable", "OAuth2TargetDown", "OAuth2TargetAbsent"},
    weight=2,
)
def mailbox_full(scene):
    database = Database(scene.stack)
    proxy = Proxy(database.port)
    scene.stack.callback(proxy.close)
    url = database.url.replace(str(database.port), str(proxy.port))
    scene.serve({"OAUTH2_DATABASE_URL": url, "OAUTH2_DATABASE_ACQUIRE_TIMEOUT_MS": "5000"})
    client, secret = scene.register("opaque", token_format="opaque")
    import base64

    import traffic

    token = traffic.Caller(scene.node).token(client, secret)
    basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
    script = scene.stack.directory / "introspect.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = "token={token}"\nwrk.headers["Authorization"] = "Basic {basic}"\n'
        'wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"\n'
    )
    yield
    proxy.delay = 0.15
    # Each introspection of an opaque token is a message to the store gateway, which waits for a connection.
    command = ["wrk", "-t1", "-c1200", "-d60s", "--timeout", "10s", "-s", script, f"{scene.node.url}/oauth/introspect"]
    process = scene.stack.start("wrk", command)
    yield
    end(process)
    proxy.delay = 0.0


@fault("Connections use up the file descriptors", {"OAuth2FileDescriptorsHigh"})
def file_descriptors(scene):
    scene.serve(prefix=["prlimit", "--nofile=400:400"])
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert soft > 500, "the run needs 500 file descriptors"
    address = urllib.parse.urlsplit(scene.node.url)
    yield
    connections = []
    stopped = threading.Event()

    def keep_open():
        # A connection without a request is closed after some seconds.
        while not stopped.is_set():
            while connections:
                connections.pop().close()
            connections.extend(socket.create_connection((address.hostname, address.port)) for _ in range(290))
            stopped.wait(4)
        while connections:
            connections.pop().close()

    thread = threading.Thread(target=keep_open, daemon=True)
    thread.start()
    yield
    stopped.set()
    thread.join()


@fault("Nobody reads the log", {"OAuth2LogLinesDropped"})
def log_not_read(scene):
    fifo = scene.stack.directory / "log"
    os.mkfifo(fifo)
    reading = threading.Event()
    reading.set()

    def read():
        with fifo.open("rb", buffering=0) as file:
            while True:
                reading.wait()
                if not file.read(65536):
                    return

    threading.Thread(target=read, daemon=True).start()
    scene.serve({"OAUTH2_LOG_LEVEL": "trace"}, prefix=["sh", "-c", f'exec "$0" 2>{fifo}'])
    yield
    reading.clear()
    yield
    reading.set()


@fault("Requests stop", {"OAuth2NoTraffic"})
def no_requests(scene):
    scene.serve()
    yield
    scene.load.is_paused = True
    yield
    scene.load.is_paused = False


@fault("An hour of usual load, in a minute", set(), baseline=60, patience=0)
def quiet_hour(scene):
    database = Database(scene.stack)
    scene.serve({"OAUTH2_DATABASE_URL": database.url})
    scene.register("other", token_format="jwt")
    yield
    # What happens in an hour besides requests: a rotation of keys, a changed client, a mistake.
    for command in (["key", "rotate"], ["client", "update", "other", "--scope", "read write"], ["doctor"]):
        done = scene.node.run(*command)
        if done.returncode != 0:
            raise RuntimeError(f"{command}: {done.stderr}")
    yield
