"""Faults of the process: gone, restarting, frozen actors, full mailboxes, descriptors, its log."""

import asyncio
import base64
import json
import os
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

import traffic
from database import Database
from table import ERRORS, NOT_READY, RESTART, fault

FREEZE = Path(__file__).with_name("freeze.py")
STORE = {"OAuth2BusDown", "OAuth2CommitSlow", "OAuth2DeadlinesMissed", "OAuth2RevocationLag", "HighLatency", "LatencyBudgetBurn", "DatabaseConnectionPoolExhausted"}


@fault("The only scrape target is gone", {"OAuth2TargetDown", "OAuth2TargetAbsent"}, RESTART)
def target_gone(scene):
    scene.serve()
    yield
    scene.node.stop()
    yield
    scene.node.start()


@fault("The process is killed again and again", {"OAuth2ProcessCrashLoop"}, RESTART)
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
    node, frozen = scene.node, []

    def freeze(thread):
        """Freezes a thread until its actor is restarted; returns the actor and its new thread."""
        known, before = threads(node.process), node.metric("actor_restarts_total")
        frozen.append(Frozen(scene, thread))

        def restarted():
            return [actor for actor, count in node.metric("actor_restarts_total").items() if count > before.get(actor, 0)]

        if not scene.wait(restarted, 6):
            raise RuntimeError("the frozen actor was not restarted")
        # An actor on the thread of a worker gets no new one.
        scene.wait(lambda: threads(node.process) - known, 3)
        return restarted()[0], threads(node.process) - known

    # The actors started in the order of src/app/actors.rs; the last one answers the scrape, the two before it write audit rows and quotas.
    actor, created = freeze(sorted(threads(node.process))[-4])
    for _ in range(3):
        again, created = freeze(created.pop())
        if again != actor:
            raise RuntimeError(f"{again} was restarted instead of {actor}")
    yield
    for one in frozen:
        one.thaw()


class Waiting:
    """Introspections that all wait for the store at the same time, each on its own connection."""

    def __init__(self, node, client, secret, token, count):
        self.address = urllib.parse.urlsplit(node.url)
        body = f"token={token}"
        basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
        self.request = (
            f"POST /oauth/introspect HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {basic}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        self.is_running, self.count = True, count
        self.thread = threading.Thread(target=lambda: asyncio.run(self.run()), daemon=True)
        self.thread.start()

    async def run(self):
        await asyncio.gather(*(self.wait(number) for number in range(self.count)))

    async def wait(self, number):
        await asyncio.sleep(number / self.count * 3)
        while self.is_running:
            try:
                reader, writer = await asyncio.open_connection(self.address.hostname, self.address.port)
                while self.is_running:
                    writer.write(self.request)
                    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                    await reader.readexactly(length)
                    await asyncio.sleep(0.05)
                writer.close()
            except (OSError, EOFError, ValueError, asyncio.TimeoutError):
                await asyncio.sleep(1)

    def stop(self):
        self.is_running = False
        self.thread.join(15)


@fault(
    "Requests that wait for the store fill the mailbox of an actor (threshold lowered from 800 to 200 messages)",
    {"OAuth2MailboxFilling", "OAuth2Shedding", "OAuth2DeadlinesMissed", *ERRORS},
    STORE | NOT_READY | {"OAuth2StoreUnavailable", "OAuth2StoreNotWritable"},
)
def mailbox_filling(scene):
    database = Database(scene.stack)
    scene.serve({"OAUTH2_DATABASE_URL": database.url, "OAUTH2_DATABASE_ACQUIRE_TIMEOUT_MS": "5000"})
    client, secret = scene.register("opaque", token_format="opaque")
    token = traffic.Caller(scene.node).token(client, secret)
    yield
    session = database.hold("LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE")
    # Each is a message to the store gateway, which waits for a connection until its deadline of a second.
    waiting = Waiting(scene.node, client, secret, token, 320)
    scene.stack.callback(waiting.stop)
    yield
    waiting.stop()
    session.terminate()


@fault("The limit of file descriptors is low for the connections that are open", {"OAuth2FileDescriptorsHigh"})
def file_descriptors(scene):
    scene.serve()
    limit = ["prlimit", "--pid", str(scene.node.process.pid)]
    yield
    used = sum(scene.node.metric("process_open_fds").values())
    subprocess.run([*limit, f"--nofile={round(used / 0.9)}:"], check=True)
    yield
    subprocess.run([*limit, "--nofile=4096:"], check=True)


@fault("Nobody reads the log", {"OAuth2LogLinesDropped"}, {"OAuth2CommitSlow", "LatencyBudgetBurn"})
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
    scene.serve(prefix=["sh", "-c", f'exec "$0" 2>{fifo}'])
    yield
    reading.clear()
    # Each client has a line in the log, of which 8192 wait in memory.
    caller, headers = traffic.Caller(scene.node), {"Authorization": f"Bearer {scene.node.token}", "Content-Type": "application/x-ndjson"}
    for part in range(25):
        clients = "".join(json.dumps({"client_id": f"imported-{part}-{number}"}) + "\n" for number in range(500))
        path = "/admin/v1/clients:import?generate_secrets=true&skip_existing=true"
        # A machine that is busy may miss the deadline of an import, which then is made at the next attempt.
        statuses = []
        while statuses[-1:] != [200] and len(statuses) < 4:
            statuses.append(caller.send(scene.node.management, "POST", path, clients, headers)[0])
        if statuses[-1] != 200:
            raise RuntimeError(f"an import of clients was answered {statuses}")
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
    for command in (["key", "rotate"], ["client", "update", "other", "--scope", "read write"]):
        done = scene.node.run(*command)
        if done.returncode != 0:
            raise RuntimeError(f"{command}: {done.stderr}")
    yield
