"""The rows of the table of rates, with their goals."""

from __future__ import annotations

from dataclasses import dataclass, field

#: The connection counts at which rates are measured.
CONNECTIONS = (64, 256)


@dataclass
class RateRow:
    key: str
    what: str
    #: The route of the ceiling that is the baseline.
    baseline: str
    store: str
    client: str
    #: The goal for the ratio, by connection count. A row is measured only at the connection counts listed here.
    goals: dict[int, float | None] = field(default_factory=lambda: {64: None})
    #: The tokens to introspect: "" (none: a token request), "once", "other-node" (once, on another node), "again".
    tokens: str = ""


RATE_ROWS = [
    RateRow("durable-postgres", "durable PASETO, Postgres", "mint", "postgres", "bench-p", {64: 0.70, 256: 0.80}),
    RateRow("durable-sqlite", "durable PASETO, SQLite", "mint", "sqlite", "bench-p", {64: 0.70, 256: 0.75}),
    RateRow("stateless", "stateless PASETO", "mint", "postgres", "bench-s", {64: 0.93, 256: 0.93}),
    RateRow("durable-jwt", "durable JWT (EdDSA), Postgres", "mint", "postgres", "bench-j"),
    RateRow("durable-opaque", "durable opaque, Postgres", "bare", "postgres", "bench-o", {64: 0.40, 256: 0.45}),
    RateRow("introspect-new", "introspection, own tokens never seen before", "bare", "postgres", "bench-u",
            {64: 0.60, 256: 0.60}, "once"),
    RateRow("introspect-other-node", "introspection, another node's tokens never seen before", "verify", "postgres",
            "bench-u", {64: None}, "other-node"),
    RateRow("introspect-again", "introspection, 1 000 tokens again and again", "bare", "postgres", "bench-u",
            {64: None}, "again"),
]
#: The goal for batch introspection: tokens per second and CPU core of the server.
BATCH_GOAL = 150_000
OTHER_ROWS = ["introspect-batch", "p99", "single", "cost", "queries", "memory", "start", "clients", "limits", "auth-failures", "import",
              "foreign-hashes", "observability", "nodes", "revocations", "scaling"]
ALL_ROWS = [row.key for row in RATE_ROWS] + OTHER_ROWS
