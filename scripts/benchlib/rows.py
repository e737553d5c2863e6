"""The rows of the table of rates, and what is asked of each."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Numbers of connections that the rates are measured with.
CONNECTIONS = (64, 256)


@dataclass
class RateRow:
    key: str
    what: str
    #: The route of the ceiling that it is compared with.
    against: str
    store: str
    client: str
    #: The least ratio, by connections. A row is measured with the numbers of connections that are here.
    goals: dict[int, float | None] = field(default_factory=lambda: {64: None})
    #: Tokens to ask about: "" (none: a token request), "once", "elsewhere" (once, at another node), "again", "batch".
    tokens: str = ""


RATE_ROWS = [
    RateRow("durable-postgres", "durable PASETO, Postgres", "mint", "postgres", "bench-p", {64: 0.70, 256: 0.80}),
    RateRow("durable-sqlite", "durable PASETO, SQLite", "mint", "sqlite", "bench-p", {64: 0.70, 256: 0.75}),
    RateRow("stateless", "stateless PASETO", "mint", "postgres", "bench-s", {64: 0.93, 256: 0.93}),
    RateRow("durable-jwt", "durable JWT (EdDSA), Postgres", "mint", "postgres", "bench-j"),
    RateRow("durable-opaque", "durable opaque, Postgres", "bare", "postgres", "bench-o", {64: 0.40, 256: 0.45}),
    RateRow("introspect-new", "introspection, own tokens never seen before", "bare", "postgres", "bench-u",
            {64: 0.60, 256: 0.60}, "once"),
    RateRow("introspect-elsewhere", "introspection, another node's tokens never seen before", "verify", "postgres",
            "bench-u", {64: None}, "elsewhere"),
    RateRow("introspect-again", "introspection, 1 000 tokens again and again", "bare", "postgres", "bench-u",
            {64: None}, "again"),
]
#: Tokens a second and core of the server that batch introspection must reach.
BATCH_GOAL = 150_000
OTHER_ROWS = ["introspect-batch", "p99", "single", "cost", "queries", "memory", "start", "clients", "limits", "auth-failures", "import",
              "scaling"]
ALL_ROWS = [row.key for row in RATE_ROWS] + OTHER_ROWS
