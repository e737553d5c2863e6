"""Breaks the answers on purpose, by changing the database: the proof must count them (`--break KIND`)."""

from __future__ import annotations

import time

from benchlib.stores import Postgres

from .chaos import Cluster
from .checker import FALSE_ACTIVE, FALSE_INACTIVE, LOST, REVIVED

KINDS = {kind.replace(" ", "-"): kind for kind in (LOST, REVIVED, FALSE_ACTIVE, FALSE_INACTIVE)}


def apply(kind: str, cluster: Cluster, postgres: Postgres) -> None:
    """Causes wrong answers of one kind, at once or while all nodes are killed."""

    def sql(text: str) -> None:
        postgres.sql(text, "answers")

    if KINDS[kind] == LOST:
        cluster.sabotage = lambda: sql("DELETE FROM tokens")
    elif KINDS[kind] == REVIVED:
        cluster.sabotage = lambda: sql("DELETE FROM revocations")
    elif KINDS[kind] == FALSE_ACTIVE:
        # The other node does not find what it has not read yet.
        until = time.monotonic() + 3
        while time.monotonic() < until:
            sql("DELETE FROM revocations")
    else:
        sql("""INSERT INTO revocations (target_kind, target_id, cutoff_ms, expires_at)
            SELECT 'token', jti::text, (extract(epoch FROM now()) * 1000)::bigint, expires_at FROM tokens""")
        time.sleep(2)
