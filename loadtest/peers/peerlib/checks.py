"""A side is looked over before there is load: what can be checked of what is stated of it is checked. Whoever states what is
not so is not measured."""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass, replace
from typing import Any

from . import web
from .errors import CannotMeasure, Wrong
from .sides import Side

#: A right answer to a wrong secret (RFC 6749 section 5.2 has 400 and 401).
REFUSALS = (400, 401, 403)


@dataclass
class Check:
    """A statement of a side. `how`: "checked" by asking the side, "set" by this run, or only "stated"."""

    what: str
    value: str
    how: str


def decoded(part: str) -> Any:
    try:
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return None


def form_of_token(token: str) -> tuple[str, str]:
    """Format and, where the token says it, signature algorithm."""
    parts = token.split(".")
    if len(parts) in (3, 4) and parts[0] in ("v1", "v2", "v3", "v4") and parts[1] in ("public", "local"):
        return "paseto", {"v4.public": "Ed25519", "v3.public": "ECDSA P-384"}.get(".".join(parts[:2]), "")
    header = decoded(parts[0]) if len(parts) in (3, 5) else None
    if isinstance(header, dict) and "alg" in header:
        return "jwt", str(header["alg"])
    return "opaque", ""


def refusal(side: Side, answer: web.Answer) -> str:
    document = answer.json()
    said = document.get("error") if isinstance(document, dict) else None
    return f"{answer.status}{f' {said}' if isinstance(said, str) and len(said) < 60 else ''}"


class LookOver:
    def __init__(self, side: Side) -> None:
        self.side, self.checks = side, list[Check]()

    def note(self, what: str, value: str, checked: bool) -> None:
        self.checks.append(Check(what, value, "checked" if checked else "stated"))

    def note_set(self, what: str, value: str) -> None:
        self.checks.append(Check(what, value, "set" if self.side.key == "ours" else "stated"))

    def issue(self) -> dict[str, Any]:
        """A token response that is one."""
        side = self.side
        answer = web.ask(side.token, side.client, side.parameters())
        if answer.status in REFUSALS:
            raise CannotMeasure(f"{side.product} issues no token for the client: it answers {refusal(side, answer)}; are "
                                "its id and secret right, and may it use client_credentials with this scope?")
        document = answer.json()
        if answer.status != 200 or not isinstance(document, dict):
            raise CannotMeasure(f"{side.product} answers a token request with {refusal(side, answer)}: is "
                                f"{side.token.url} its token endpoint?")
        token, lifetime = document.get("access_token"), document.get("expires_in")
        if not isinstance(token, str) or len(token) < 20 or str(document.get("token_type")).lower() != "bearer":
            raise CannotMeasure(f"{side.product} answers a token request without a bearer token")
        # Some write numbers as strings.
        if not str(lifetime).isdigit() or int(str(lifetime)) < 1:
            raise CannotMeasure(f"{side.product} does not say how long a token lives (expires_in)")
        return document

    def token(self) -> str:
        side, stated = self.side, self.side.stated
        first, second = self.issue(), self.issue()
        token: str = first["access_token"]
        if token == second["access_token"]:
            raise CannotMeasure(f"{side.product} answers two requests with one token: that is not issuing")
        side.lifetime = int(first["expires_in"])
        found, algorithm = form_of_token(token)
        if found != stated.format:
            raise Wrong(f"{side.product} is stated to issue {stated.format} tokens, and issues {found} ones")
        if algorithm and algorithm != stated.algorithm:
            raise Wrong(f"{side.product} is stated to sign with {stated.algorithm}, and its token says {algorithm}")
        if algorithm.lower() == "none":
            raise Wrong(f"{side.product} does not sign its tokens")
        side.format, side.algorithm = found, stated.algorithm
        self.note("Token format", found, True)
        self.note("Signature algorithm", stated.algorithm, bool(algorithm))
        self.note("Token lifetime", f"{side.lifetime} s", True)
        granted = first.get("scope")
        if isinstance(granted, str) and not set(side.scope.split()) <= set(granted.split()):
            raise CannotMeasure(f"{side.product} grants less than the scope that is asked for")
        if side.scope:
            self.note("Scope", side.scope, isinstance(granted, str))
        return token

    def active(self, token: str) -> bool:
        side = self.side
        assert side.introspection
        answer = web.ask(side.introspection, side.asker, {"token": token})
        document = answer.json()
        if answer.status != 200 or not isinstance(document, dict) or not isinstance(document.get("active"), bool):
            raise CannotMeasure(f"{side.product} answers an introspection with {refusal(side, answer)}: may the client ask "
                                f"at {side.introspection.url}?")
        if document["active"] and side.client_field and document.get(side.client_field) != side.client.id:
            raise CannotMeasure(f"{side.product} says of a token that it is another client's ({side.client_field})")
        active: bool = document["active"]
        return active

    def introspection(self, token: str) -> None:
        side = self.side
        if not side.introspection:
            self.note("Introspection", "not offered for these tokens", False)
            return
        if not self.active(token):
            raise CannotMeasure(f"{side.product} calls a token inactive that it has just issued: may the client ask about it?")
        if self.active(secrets.token_urlsafe(32)):
            raise CannotMeasure(f"{side.product} calls garbage an active token")
        self.note("Introspection", "a valid token is active, garbage is not", True)
        if not side.revocation:
            self.note("Revocation", "not offered for these tokens", False)
            return
        answer = web.ask(side.revocation, side.client, {"token": token})
        if answer.status != 200:
            raise CannotMeasure(f"{side.product} answers a revocation with {refusal(side, answer)}")
        patience = time.monotonic() + 5
        while self.active(token):
            if time.monotonic() > patience:
                raise CannotMeasure(f"{side.product} calls a token active that was revoked 5 s ago")
            time.sleep(0.2)
        self.note("Revocation", "a revoked token is inactive", True)

    def wrong_secret(self) -> None:
        side = self.side
        secret = side.client.secret
        # As long as the right one, and not in what a hash such as bcrypt leaves out of a long one.
        wrong = ("a" if secret[:1] != "a" else "b") + secret[1:]
        answer = web.ask(side.token, replace(side.client, secret=wrong), side.parameters())
        if answer.status not in REFUSALS or web.field(answer.json(), "access_token"):
            raise CannotMeasure(f"{side.product} answers a wrong secret with {answer.status}: it does not look at secrets")
        self.note("A wrong secret", f"refused with {answer.status}", True)

    def version(self) -> None:
        side, source = self.side, self.side.stated.read_version
        side.version = side.stated.version
        if source:
            answer = web.request("GET", source["url"], {})
            found = answer.headers.get(source["header"]) if "header" in source else web.field(answer.json(), source["field"])
            if answer.status != 200 or not isinstance(found, str) or not 0 < len(found) < 80:
                raise CannotMeasure(f"{side.product} does not say its version at {source['url']}")
            side.version = found.removeprefix("v")
        self.note("Version", side.version, bool(source) or side.key == "ours")

    def all(self) -> list[Check]:
        stated = self.side.stated
        self.version()
        token = self.token()
        self.introspection(token)
        self.wrong_secret()
        self.note_set("Durable before answered", stated.durable)
        self.note_set("Storage", stated.storage)
        self.note("Kept of a secret", stated.secret_hash, False)
        return self.checks


def look_over(side: Side) -> list[Check]:
    return LookOver(side).all()


def mint(side: Side, count: int) -> list[str]:
    """Tokens to ask about."""
    over = LookOver(side)
    return [over.issue()["access_token"] for _ in range(count)]


def still_active(side: Side, tokens: list[str]) -> int:
    over = LookOver(side)
    return sum(over.active(token) for token in tokens)
