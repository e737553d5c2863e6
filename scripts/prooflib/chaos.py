"""The faults of the answers part: nodes that are killed or paused, and a Postgres that crashes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

from benchlib.processes import BenchError, Processes
from benchlib.servers import Server
from benchlib.stores import Postgres

from .checker import STALENESS
from .clients import Crowd
from .history import KILL, PAUSE, STORE_CRASH, Fault, History

#: Seconds of a pause: longer than the staleness budget, with time to revoke tokens that the paused node must not call active.
PAUSED = STALENESS + 3
#: Introspections that wait at a paused node when it is continued.
BURST = 20


def state(pid: int) -> str:
    """The state letter of a process, such as `T` for stopped."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]


class Cluster:
    """The nodes on one store, with their clients."""

    def __init__(self, processes: Processes, servers: dict[str, Server], postgres: Postgres | None, history: History) -> None:
        self.processes, self.servers, self.postgres, self.history = processes, servers, postgres, history
        self.crowd = Crowd(servers, history)
        #: Called once while no node runs, to break the answers on purpose.
        self.sabotage: Callable[[], None] | None = None

    def kill(self, *nodes: str) -> None:
        """Kills nodes with SIGKILL and starts them again."""
        fault = Fault(KILL, nodes, time.monotonic())
        self.history.faults.append(fault)
        for node in nodes:
            process = self.servers[node].process
            assert process is not None
            self.processes.stop(process, signal.SIGKILL)
        time.sleep(0.3)
        if self.sabotage is not None and set(nodes) == set(self.servers):
            self.sabotage()
            self.sabotage = None
        fault.restarted = time.monotonic()
        for node in nodes:
            self.servers[node].start()
        fault.ended = fault.recovered = time.monotonic()

    def pause(self, node: str) -> None:
        """Stops a node with SIGSTOP for longer than the staleness budget, while the other nodes revoke tokens."""
        process = self.servers[node].process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        try:
            deadline = time.monotonic() + 5
            while state(process.pid) != "T":
                if time.monotonic() > deadline:
                    raise BenchError(f"node {node} could not be paused")
                time.sleep(0.01)
            fault = Fault(PAUSE, (node,), time.monotonic())
            self.history.faults.append(fault)
            time.sleep(PAUSED)
            # Tokens that the node's view, if it were used, would call active although it is too old.
            self.crowd.burst(node, self.crowd.ledger.revoked_between(fault.began, time.monotonic() - STALENESS - 0.5)[:BURST])
            time.sleep(0.5)
            fault.ended = time.monotonic()
        finally:
            process.send_signal(signal.SIGCONT)
        self.wait_until_ready(node)
        fault.recovered = time.monotonic()

    def crash_store(self, seconds: float) -> None:
        """Stops Postgres without a checkpoint, and starts it again after some seconds."""
        assert self.postgres is not None
        fault = Fault(STORE_CRASH, tuple(self.servers), time.monotonic())
        self.history.faults.append(fault)
        self.postgres.crash()
        time.sleep(seconds)
        fault.restarted = time.monotonic()
        self.postgres.start()
        for node in self.servers:
            self.wait_until_ready(node)
        fault.ended = fault.recovered = time.monotonic()

    def wait_until_ready(self, node: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not self.servers[node].is_ready():
            if time.monotonic() > deadline:
                raise BenchError(f"node {node} did not become ready again within {seconds:.0f} s")
            time.sleep(0.02)
