"""Loses a node under steady requests."""

from __future__ import annotations

import signal
import time
import urllib.request

from .load import Load, failures, kinds
from .programs import wait_for
from .report import expect
from .suite import Suite


#: Each sends one request at a time, so that at most as many are lost with a node that is killed.
WORKERS = 8


def lose_a_node(suite: Suite) -> str:
    """SIGKILL under load: no request that may be repeated fails, at most one token request per worker does, which was sent to the node when it was
    killed, and the node is used again. It refuses connections until it can answer, so no request fails when it is started."""
    cluster, victim = suite.cluster, suite.cluster.nodes[0]
    sorts = kinds(*suite.client, suite.issue())
    sequence = [sorts["introspection"], sorts["token"], sorts["keys"], sorts["revocation"]]
    load = Load(suite.edge, sequence, workers=WORKERS, pause=0.004)
    killed = 0
    try:
        time.sleep(2)
        cluster.stop(victim, signal.SIGKILL)
        time.sleep(5)
        killed = load.failed.value
        cluster.start(victim)
        before = node_responses(victim.management)
        wait_for("requests to the node that came back", lambda: node_responses(victim.management) > before + 50, 15)
        time.sleep(1)
    finally:
        counts = load.finish()
    safe = failures(counts, "introspection", "keys", "revocation")
    tokens = failures(counts, "token")
    total = sum(counts.values())
    expect(total > 1500 and counts["token ok"] > 300, f"only {total} requests: {dict(counts)}")
    expect(not safe, f"failed: {safe} of {total}")
    lost = sum(tokens.values())
    expect(killed <= WORKERS, f"failed when the node was killed: {killed} of {tokens}; allowed {WORKERS}")
    expect(lost == killed, f"failed when the node had been started again: {lost - killed} of {tokens}")
    sent = counts["token ok"] + lost
    return f"{total} requests, 0 failed of {total - sent} that may be repeated, {lost} of {sent} token requests, all when the node was killed"


def node_responses(management: int) -> int:
    total = 0
    with urllib.request.urlopen(f"http://127.0.0.1:{management}/metrics", timeout=5) as response:
        for line in response.read().decode().splitlines():
            if line.startswith("oauth2_server_http_requests_total{") and any(f'route="{part}' in line for part in ("/oauth/", "/.well-known/")):
                total += int(float(line.rsplit(" ", 1)[1]))
    return total
