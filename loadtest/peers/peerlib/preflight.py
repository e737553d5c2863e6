"""Checks a side before the load begins: its responses, and those declared properties that can be checked. A side with a false
declaration is not measured."""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass, replace
from typing import Any

from . import web
from .errors import MeasurementError, UsageError
from .sides import Side

#: Acceptable responses to a wrong secret (RFC 6749 section 5.2 has 400 and 401).
REJECTED = (400, 401, 403)


@dataclass
class Check:
    """A property of a side. `how` it is known: "checked" with requests, "set" by this run, or only "declared"."""

    what: str
    value: str
    how: str


def decode_json(part: str) -> Any:
    """Base64url-encoded JSON; None if it is not."""
    try:
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return None


def format_of(token: str) -> tuple[str, str]:
    """The format and, if the token contains it, the signature algorithm."""
    parts = token.split(".")
    if len(parts) in (3, 4) and parts[0] in ("v1", "v2", "v3", "v4") and parts[1] in ("public", "local"):
        return "paseto", {"v4.public": "Ed25519", "v3.public": "ECDSA P-384"}.get(".".join(parts[:2]), "")
    header = decode_json(parts[0]) if len(parts) in (3, 5) else None
    if isinstance(header, dict) and "alg" in header:
        return "jwt", str(header["alg"])
    return "opaque", ""


def describe(response: web.Response) -> str:
    """The status and the OAuth error code of a response."""
    code = web.json_field(response.json(), "error")
    return f"{response.status}{f' {code}' if isinstance(code, str) and len(code) < 60 else ''}"


class Preflight:
    def __init__(self, side: Side) -> None:
        self.side, self.checks = side, list[Check]()

    def note(self, what: str, value: str, checked: bool) -> None:
        self.checks.append(Check(what, value, "checked" if checked else "declared"))

    def note_set(self, what: str, value: str) -> None:
        self.checks.append(Check(what, value, "set" if self.side.key == "ours" else "declared"))

    def issue(self) -> dict[str, Any]:
        """Requests a token and returns the checked response."""
        side = self.side
        response = web.post_form(side.token, side.client, side.parameters())
        if response.status in REJECTED:
            raise MeasurementError(f"{side.product} issues no token for the client, it returned {describe(response)}; check "
                                   "its id and secret, and that it may use client_credentials with this scope")
        document = response.json()
        if response.status != 200 or not isinstance(document, dict):
            raise MeasurementError(f"{side.product} returned {describe(response)} to a token request; check that "
                                   f"{side.token.url} is its token endpoint")
        token, lifetime = document.get("access_token"), document.get("expires_in")
        if not isinstance(token, str) or len(token) < 20 or str(document.get("token_type")).lower() != "bearer":
            raise MeasurementError(f"{side.product} returned a token response without a bearer token")
        # Some servers return numbers as strings.
        if not str(lifetime).isdigit() or int(str(lifetime)) < 1:
            raise MeasurementError(f"{side.product} returned a token response without a valid expires_in")
        return document

    def token(self) -> str:
        side, declared = self.side, self.side.declared
        first, second = self.issue(), self.issue()
        token: str = first["access_token"]
        if token == second["access_token"]:
            raise MeasurementError(f"{side.product} returns the same token twice: issuing cannot be measured")
        side.lifetime = int(first["expires_in"])
        found, algorithm = format_of(token)
        if found != declared.format:
            raise UsageError(f"{side.product} is declared to issue {declared.format} tokens, but issues {found} tokens")
        if algorithm and algorithm != declared.algorithm:
            raise UsageError(f"{side.product} is declared to sign with {declared.algorithm}, but its token has alg {algorithm}")
        if algorithm.lower() == "none":
            raise UsageError(f"{side.product} does not sign its tokens")
        side.format, side.algorithm = found, declared.algorithm
        self.note("Token format", found, True)
        self.note("Signature algorithm", declared.algorithm, bool(algorithm))
        self.note("Token lifetime", f"{side.lifetime} s", True)
        granted = first.get("scope")
        if isinstance(granted, str) and not set(side.scope.split()) <= set(granted.split()):
            raise MeasurementError(f"{side.product} grants less than the requested scope")
        if side.scope:
            self.note("Scope", side.scope, isinstance(granted, str))
        return token

    def is_active(self, token: str) -> bool:
        side = self.side
        assert side.introspection
        response = web.post_form(side.introspection, side.introspection_client, {"token": token})
        document = response.json()
        if response.status != 200 or not isinstance(document, dict) or not isinstance(document.get("active"), bool):
            raise MeasurementError(f"{side.product} returned {describe(response)} to an introspection request; check that the "
                                   f"client may introspect at {side.introspection.url}")
        if document["active"] and side.client_field and document.get(side.client_field) != side.client.id:
            raise MeasurementError(f"{side.product} reports a token for another client ({side.client_field})")
        active: bool = document["active"]
        return active

    def introspection(self, token: str) -> None:
        side = self.side
        if not side.introspection:
            self.note("Introspection", "not offered for these tokens", False)
            return
        if not self.is_active(token):
            raise MeasurementError(f"{side.product} reports a new token inactive; check that the client may introspect it")
        if self.is_active(secrets.token_urlsafe(32)):
            raise MeasurementError(f"{side.product} reports an invalid token active")
        self.note("Introspection", "a valid token is active, an invalid token is not", True)
        if not side.revocation:
            self.note("Revocation", "not offered for these tokens", False)
            return
        response = web.post_form(side.revocation, side.client, {"token": token})
        if response.status != 200:
            raise MeasurementError(f"{side.product} returned {describe(response)} to a revocation request")
        deadline = time.monotonic() + 5
        while self.is_active(token):
            if time.monotonic() > deadline:
                raise MeasurementError(f"{side.product} reports a token active 5 s after its revocation")
            time.sleep(0.2)
        self.note("Revocation", "a revoked token is inactive", True)

    def wrong_secret(self) -> None:
        side = self.side
        secret = side.client.secret
        # Of the same length, and different in the first byte: some hashes, such as bcrypt, ignore the end of a long secret.
        wrong = ("a" if secret[:1] != "a" else "b") + secret[1:]
        response = web.post_form(side.token, replace(side.client, secret=wrong), side.parameters())
        if response.status not in REJECTED or web.json_field(response.json(), "access_token"):
            raise MeasurementError(f"{side.product} returned {response.status} to a wrong secret: it does not check secrets")
        self.note("Wrong secret", f"rejected with {response.status}", True)

    def version(self) -> None:
        side, source = self.side, self.side.declared.read_version
        side.version = side.declared.version
        if source:
            response = web.request("GET", source["url"], {})
            found = (response.headers.get(source["header"]) if "header" in source
                     else web.json_field(response.json(), source["field"]))
            if response.status != 200 or not isinstance(found, str) or not 0 < len(found) < 80:
                raise MeasurementError(f"{side.product} does not return its version at {source['url']}")
            side.version = found.removeprefix("v")
        self.note("Version", side.version, bool(source) or side.key == "ours")

    def run(self) -> list[Check]:
        declared = self.side.declared
        self.version()
        token = self.token()
        self.introspection(token)
        self.wrong_secret()
        self.note_set("Durable before the response", declared.durable)
        self.note_set("Storage", declared.storage)
        self.note("Hash of secrets", declared.secret_hash, False)
        return self.checks


def run(side: Side) -> list[Check]:
    return Preflight(side).run()


def issue_tokens(side: Side, count: int) -> list[str]:
    preflight = Preflight(side)
    return [preflight.issue()["access_token"] for _ in range(count)]


def count_active(side: Side, tokens: list[str]) -> int:
    preflight = Preflight(side)
    return sum(preflight.is_active(token) for token in tokens)
