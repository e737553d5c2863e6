"""Loses a node under steady requests."""

from __future__ import annotations

import signal
import time
import urllib.request

from .load import Load, failures, kinds
from .programs import wait_for
from .report import expect
from .suite import Suite


def lose_a_node(suite: Suite, at_most: int) -> str:
    """SIGKILL under load: no request that may be repeated fails, at most `at_most` token requests do, and the node is used again. Those are the
    requests that were sent to the node when it was killed, one per worker; with a proxy that does not ask /ready also those that it gets while
    it loads."""
    cluster, victim = suite.cluster, suite.cluster.nodes[0]
    sorts = kinds(*suite.client, suite.issue())
    sequence = [sorts["introspection"], sorts["token"], sorts["keys"], sorts["revocation"]]
    load = Load(suite.edge, sequence, workers=8, pause=0.004)
    try:
        time.sleep(2)
        cluster.stop(victim, signal.SIGKILL)
        time.sleep(5)
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
    expect(sum(tokens.values()) <= at_most, f"failed: {tokens}; allowed {at_most}")
    lost = sum(tokens.values())
    sent = counts["token ok"] + lost
    return f"{total} requests, 0 failed of {total - sent} that may be repeated, {lost} of {sent} token requests"


def node_responses(management: int) -> int:
    total = 0
    with urllib.request.urlopen(f"http://127.0.0.1:{management}/metrics", timeout=5) as response:
        for line in response.read().decode().splitlines():
            if line.startswith("oauth2_server_http_requests_total{") and any(f'route="{part}' in line for part in ("/oauth/", "/.well-known/")):
                total += int(float(line.rsplit(" ", 1)[1]))
    return total
