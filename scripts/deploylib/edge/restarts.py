"""Restarts of nodes under load."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

from .cluster import Cluster, Node
from .haproxy import HAProxy
from .load import Load, failures, kinds
from .programs import wait_for
from .report import expect
from .suite import Suite
from .wire import Edge


def under_load(edge: Edge, suite: Suite, requests: int, restart: Callable[[], None], tokens_may_fail: int = 0) -> str:
    """Runs `restart` under load, and goes on until `requests` were answered. At most `tokens_may_fail` token requests may fail, and no other."""
    sorts = kinds(*suite.client, suite.issue())
    sequence = [sorts["token"], sorts["introspection"], sorts["keys"], sorts["revocation"]]
    load = Load(edge, sequence, workers=8, processes=2)
    began = time.monotonic()
    try:
        time.sleep(1)
        restart()
        restarted = time.monotonic() - began
        wait_for(f"{requests} requests", lambda: load.done.value >= requests, 120)
    finally:
        counts = load.finish()
    took, total = time.monotonic() - began, sum(counts.values())
    expect(total >= requests, f"only {total} requests")
    failed = failures(counts)
    tokens = sum(failures(counts, "token").values())
    right = sum(failed.values()) == tokens and tokens <= tokens_may_fail
    expect(right, f"{failed} of {total} requests failed; allowed: {tokens_may_fail} token requests")
    return (f"{total} requests in {took:.0f} s, {tokens} failed; {counts['token ok']} of them issued a token; "
            f"the restarts took {restarted:.0f} s")


def restart_alone(cluster: Cluster, node: Node, binary: Path | None = None) -> None:
    code = cluster.stop(node, signal.SIGTERM)
    expect(code == 0, f"node {node.number} exited with {code}")
    cluster.start(node, binary)


def restart_by_signal(cluster: Cluster, proxy: HAProxy, node: Node, binary: Path | None = None) -> None:
    """SIGTERM turns /ready to 503, HAProxy takes the node out of the turn, and the node exits after its drain delay."""
    restart_alone(cluster, node, binary)
    wait_for(f"node {node.number} in the turn", lambda: proxy.states()[f"node{node.number}"] == "UP", 10)
