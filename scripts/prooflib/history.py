"""The ledger of the clients: tokens, answers and faults, with times of the same monotonic clock. It contains no token value."""

from __future__ import annotations

from dataclasses import dataclass, field

KILL, PAUSE, STORE_CRASH = "kill", "pause", "store crash"


@dataclass
class Token:
    """An access token whose issuance was acknowledged with 200."""

    number: int
    #: Format and ledger mode, for the page.
    kind: str
    issued_on: str
    issued_at: float
    expires_at: float
    #: When the first revocation request was sent, whether or not it was acknowledged.
    revoke_began: float | None = None
    #: When a 200 of the revocation endpoint was received, and from which node.
    revoked_at: float | None = None
    revoked_on: str = ""


@dataclass(frozen=True)
class Answer:
    """An introspection that was answered with 200."""

    token: int
    node: str
    began: float
    ended: float
    active: bool
    #: Part of the check of every token after the last recovery.
    final: bool = False


@dataclass
class Fault:
    """A fault that was caused. Of a pause, the times are those between which the process is known to be stopped."""

    kind: str
    nodes: tuple[str, ...]
    began: float
    #: When the killed process, or Postgres, was started again.
    restarted: float | None = None
    #: When the nodes were ready again; of a pause, just before the process was continued.
    ended: float | None = None
    #: When the nodes were ready again; differs from `ended` after a pause.
    recovered: float | None = None

    def disturbs(self, start: float, stop: float) -> bool:
        """Whether requests of this time may fail because of the fault."""
        return self.began <= stop and (self.recovered is None or self.recovered >= start)

    def overlaps(self, start: float, stop: float) -> bool:
        return self.began <= stop and (self.ended is None or self.ended >= start)


@dataclass(frozen=True)
class Request:
    """The outcome of any request: `ok`, `unavailable` (503), `other` (another status) or `connection` (no response)."""

    operation: str
    node: str
    began: float
    ended: float
    outcome: str
    #: The status of `other`, or the kind of connection failure.
    detail: str = ""


@dataclass
class History:
    began: float = 0.0
    ended: float = 0.0
    tokens: list[Token] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    #: Tokens that could not be introspected on a node in the final check, because it never answered 200.
    unverified: int = 0
