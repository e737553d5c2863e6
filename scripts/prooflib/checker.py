"""Counts the wrong answers of a history.

An answer is judged by the acknowledgements that its client had received before it sent the request. Where the order is not known,
because requests overlapped in time or a revocation was not acknowledged, the answer is undecided, not wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

from .history import KILL, PAUSE, STORE_CRASH, Answer, Fault, History, Token

#: Seconds until a node that reaches the store knows the revocations of other nodes.
OTHER_NODE = 1.0
#: Seconds after which a node that is paused or cut off from the store no longer answers from its view.
STALENESS = 5.0
#: How many wrong answers of each kind are described on the page.
EXAMPLES = 5

LOST, REVIVED, FALSE_ACTIVE, FALSE_INACTIVE = "lost", "revived", "false active", "false inactive"
MEANINGS = {
    LOST: "tokens whose issuance was acknowledged, never revoked and unexpired, but inactive on a node after recovery",
    REVIVED: "tokens whose revocation was acknowledged, but active after a restart of the node or of its store",
    FALSE_ACTIVE: "answers of active after an acknowledged revocation: on the same node at once, on others after "
                  f"{OTHER_NODE:.0f} s, on a node that was paused or cut off from the store after {STALENESS:.0f} s",
    FALSE_INACTIVE: "answers of inactive about a token that was issued, unexpired and not being revoked",
}


@dataclass
class Judgement:
    """Wrong answers by kind, with the number of tokens (lost, revived) or answers (false ...) that could have been wrong."""

    wrong: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MEANINGS, 0))
    checked: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MEANINGS, 0))
    undecided: int = 0
    examples: list[str] = field(default_factory=list)

    def total(self) -> int:
        return sum(self.wrong.values())

    def unchecked(self) -> list[str]:
        """The kinds of wrong answers of which the history contains no opportunity."""
        return [kind for kind, count in self.checked.items() if count == 0]


def produced_at(faults: list[Fault], answer: Answer) -> float:
    """The earliest time at which the node can have produced the answer: a stopped process produces none."""
    at = answer.began
    for fault in faults:
        if fault.kind == PAUSE and answer.node in fault.nodes and fault.ended is not None and fault.began <= at <= fault.ended:
            at = fault.ended
    return at


def restarts_between(faults: list[Fault], node: str, start: float, stop: float) -> list[Fault]:
    return [fault for fault in faults if fault.restarted is not None and node in fault.nodes and start <= fault.restarted <= stop]


def bound(faults: list[Fault], token: Token, answer: Answer, produced: float) -> float:
    """Seconds after the acknowledgement of the revocation from which on the node must answer that the token is inactive."""
    assert token.revoked_at is not None
    restarts = restarts_between(faults, answer.node, token.revoked_at, produced)
    if answer.node == token.revoked_on or any(fault.kind == KILL for fault in restarts):
        return 0.0
    cut_off = any(fault.kind in (PAUSE, STORE_CRASH) and answer.node in fault.nodes and fault.overlaps(token.revoked_at, produced)
                  for fault in faults)
    return STALENESS if cut_off else OTHER_NODE


def judge(history: History) -> Judgement:
    """Judges each answer once, and counts."""
    result = Judgement()
    tokens = {token.number: token for token in history.tokens}
    lost: dict[int, bool] = {}
    revived: dict[int, bool] = {}
    for answer in history.answers:
        token = tokens.get(answer.token)
        if token is None:
            result.undecided += 1
            continue
        produced = produced_at(history.faults, answer)
        if token.revoked_at is not None and answer.began > token.revoked_at:
            if produced - token.revoked_at <= bound(history.faults, token, answer, produced):
                result.undecided += 1
            elif restarts_between(history.faults, answer.node, token.revoked_at, produced):
                note(result, REVIVED, revived.get(token.number, False), token, answer, produced)
                revived[token.number] = revived.get(token.number, False) or answer.active
            else:
                result.checked[FALSE_ACTIVE] += 1
                result.wrong[FALSE_ACTIVE] += answer.active
                note(result, FALSE_ACTIVE, False, token, answer, produced)
        elif answer.began >= token.issued_at and answer.ended < token.expires_at and (
                token.revoke_began is None or answer.ended < token.revoke_began):
            if answer.final:
                note(result, LOST, lost.get(token.number, False), token, answer, produced)
                lost[token.number] = lost.get(token.number, False) or not answer.active
            else:
                result.checked[FALSE_INACTIVE] += 1
                result.wrong[FALSE_INACTIVE] += not answer.active
                note(result, FALSE_INACTIVE, False, token, answer, produced)
        else:
            result.undecided += 1
    for kind, found in ((LOST, lost), (REVIVED, revived)):
        result.checked[kind], result.wrong[kind] = len(found), sum(found.values())
    return result


def note(result: Judgement, kind: str, is_known: bool, token: Token, answer: Answer, produced: float) -> None:
    """Describes a wrong answer, unless it is right, its token is described already, or there are enough examples."""
    is_wrong = answer.active == (kind in (REVIVED, FALSE_ACTIVE))
    if not is_wrong or is_known or sum(example.startswith(f"{kind}:") for example in result.examples) >= EXAMPLES:
        return
    if token.revoked_at is not None and kind in (REVIVED, FALSE_ACTIVE):
        since = f"revoked on node {token.revoked_on}, active on node {answer.node} {produced - token.revoked_at:.3f} s later"
    else:
        since = f"issued on node {token.issued_on}, inactive on node {answer.node} {produced - token.issued_at:.3f} s later"
    result.examples.append(f"{kind}: token {token.number} ({token.kind}), {since}")
