"""Feeds the checker fabricated histories: each has exactly one wrong answer, or none although it nearly has one."""

from __future__ import annotations

from .checker import FALSE_ACTIVE, FALSE_INACTIVE, LOST, REVIVED, judge
from .history import KILL, PAUSE, STORE_CRASH, Answer, Fault, History, Token

#: The end of the validity of all fabricated tokens but one.
EXPIRES = 1000.0


def live(expires: float = EXPIRES) -> Token:
    return Token(0, "opaque", "a", 1.0, expires)


def revoked(at: float = 10.0, on: str = "a") -> Token:
    return Token(0, "opaque", "a", 1.0, EXPIRES, at - 0.1, at, on)


def unacknowledged() -> Token:
    return Token(0, "opaque", "a", 1.0, EXPIRES, 10.0)


def answer(at: float, active: bool, node: str = "a", lasted: float = 0.01, final: bool = False) -> Answer:
    return Answer(0, node, at, at + lasted, active, final)


def kill(at: float, node: str = "a") -> Fault:
    return Fault(KILL, (node,), at, at + 0.5, at + 1)


def store_crash(at: float) -> Fault:
    return Fault(STORE_CRASH, ("a", "b"), at, at + 2, at + 3)


#: A fabricated fault, the kind of wrong answer that must be counted once (empty: none), and the history.
CASES: list[tuple[str, str, Token, list[Answer], list[Fault]]] = [
    ("inactive in the final check", LOST, live(), [answer(30, False, final=True)], [kill(5)]),
    ("inactive in the final checks of two nodes", LOST, live(),
     [answer(30, False, "a", final=True), answer(31, False, "b", final=True)], []),
    ("inactive on one of two nodes in the final check", LOST, live(),
     [answer(30, True, "a", final=True), answer(31, False, "b", final=True)], []),
    ("active in the final check", "", live(), [answer(30, True, final=True)], [kill(5)]),
    ("inactive after its expiry", "", live(20), [answer(30, False, final=True)], []),
    ("active after a kill of the same node", REVIVED, revoked(), [answer(12, True)], [kill(11)]),
    ("active twice after a kill", REVIVED, revoked(), [answer(12, True), answer(13, True)], [kill(11)]),
    ("active at once after a kill of another node", REVIVED, revoked(), [answer(10.6, True, "b")], [kill(10.02, "b")]),
    ("active after a crash of the store", REVIVED, revoked(), [answer(16, True, "b")], [store_crash(11)]),
    ("active after a restart, in the final check", REVIVED, revoked(), [answer(30, True, final=True)], [kill(11)]),
    ("inactive after a kill", "", revoked(), [answer(12, False)], [kill(11)]),
    ("active on the same node at once", FALSE_ACTIVE, revoked(), [answer(10.001, True)], []),
    ("active on another node after 1 s", FALSE_ACTIVE, revoked(), [answer(11.1, True, "b")], []),
    ("active on another node after 1 s, although an earlier node was killed", FALSE_ACTIVE, revoked(), [answer(11.1, True, "b")], [kill(10.1)]),
    ("active on another node within 1 s", "", revoked(), [answer(10.9, True, "b")], []),
    ("active in a request that overlaps the revocation", "", revoked(), [answer(9.95, True, lasted=2)], []),
    ("active on a node that was paused for longer than the staleness budget", FALSE_ACTIVE, revoked(), [answer(11, True, "b", 8)],
     [Fault(PAUSE, ("b",), 9.9, None, 17.0)]),
    ("active on a node that was paused for less", "", revoked(), [answer(11, True, "b", 3)], [Fault(PAUSE, ("b",), 9.9, None, 13.0)]),
    ("active on a node that was cut off from the store for 4 s", "", revoked(), [answer(14, True, "b")],
     [Fault(STORE_CRASH, ("a", "b"), 10.1, 18.0, 19.0)]),
    ("active on a node that was cut off from the store for 6 s", FALSE_ACTIVE, revoked(), [answer(16, True, "b")],
     [Fault(STORE_CRASH, ("a", "b"), 10.1, 18.0, 19.0)]),
    ("inactive although live", FALSE_INACTIVE, live(), [answer(5, False)], []),
    ("inactive on another node at once", FALSE_INACTIVE, live(), [answer(1.0, False, "b")], []),
    ("inactive before its revocation was sent", FALSE_INACTIVE, revoked(), [answer(5, False)], []),
    ("active although live", "", live(), [answer(5, True)], []),
    ("inactive while it is being revoked", "", revoked(), [answer(9.85, False, lasted=0.1)], []),
    ("inactive after a revocation without acknowledgement", "", unacknowledged(), [answer(12, False)], []),
    ("active after a revocation without acknowledgement", "", unacknowledged(), [answer(12, True)], [kill(11)]),
]


def run() -> list[str]:
    """Returns a sentence per case that is counted wrongly."""
    problems = []
    for name, expected, token, answers, faults in CASES:
        wrong = {kind: count for kind, count in judge(History(tokens=[token], answers=answers, faults=faults)).wrong.items() if count}
        if wrong != ({expected: 1} if expected else {}):
            problems.append(f"{name}: counted {wrong or 'nothing'}, expected {expected or 'nothing'}")
    for kind in (LOST, REVIVED, FALSE_ACTIVE, FALSE_INACTIVE):
        if not any(expected == kind for _, expected, *_ in CASES):
            problems.append(f"no case with the wrong answer {kind}")
    return problems
