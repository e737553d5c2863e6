"""Shared by the check programs: an HTTP client for the server, checks of claims, forged tokens, and the exit code.

Each program exits with 0 and prints one line `ok: …`, or exits with 1 and prints the check that failed. Neither line contains
a token or a secret.
"""

from __future__ import annotations

import argparse
import base64
import string
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from urllib.parse import quote_plus

import requests

Json = dict[str, Any]

INACTIVE: Json = {"active": False}
CLAIMS = {"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope"}
TIMES = ("exp", "nbf", "iat")

BATCH_TOKENS = 1_000
BATCH_BYTES = 1_000_000
"""The size of a batch introspection. The server accepts 1 MiB, including the JSON around the tokens."""

BASE64URL = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"

SINGLE_EVERY = 61
"""All forgeries are introspected in batches, and one in this many also in a single request."""

CLOCK_LEEWAY = 2
"""Seconds by which `iat` may differ from the time of the request: ids generated faster than one per clock tick run ahead."""

TIMEOUT = 30
"""Request timeout, seconds."""


class CheckFailed(Exception):
    """A failed check; its text describes the failure."""


def check(condition: bool, failure: str) -> None:
    if not condition:
        raise CheckFailed(failure)


@dataclass(frozen=True)
class Client:
    id: str
    secret: str = field(repr=False)

    @property
    def basic(self) -> tuple[str, str]:
        """Id and secret for Basic authentication, form-encoded (RFC 6749 section 2.3.1)."""
        return quote_plus(self.id), quote_plus(self.secret)


class Issued(NamedTuple):
    """An access token, its token response, and the Unix times of request and response."""

    token: str
    response: Json
    requested_at: float
    received_at: float


class Forgery(NamedTuple):
    """A token that must be rejected, with a description."""

    what: str
    token: str


class Server:
    """A running server, discovered by its issuer URL."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self._http = requests.Session()
        self._http.trust_env = False
        self.metadata = self.get(f"{issuer.rstrip('/')}/.well-known/oauth-authorization-server")
        check(self.metadata.get("issuer") == issuer, "the issuer in the metadata is not the issuer URL")

    def get(self, url: str) -> Json:
        response = self._http.get(url, timeout=TIMEOUT)
        check(response.status_code == 200, f"GET {url} returned {response.status_code}")
        document: Json = response.json()
        return document

    def keys(self, uri_field: str) -> dict[str, Json]:
        """The published keys by `kid`, from the URL in the metadata field `uri_field`."""
        check(uri_field in self.metadata, f"the metadata has no {uri_field}")
        keys: list[Json] = self.get(self.metadata[uri_field])["keys"]
        by_id = {key["kid"]: key for key in keys}
        check(len(by_id) == len(keys) > 0, f"{uri_field} has no keys, or a duplicate kid")
        return by_id

    def issue(self, client: Client) -> Issued:
        requested_at = time.time()
        response = self._post("token_endpoint", client, data={"grant_type": "client_credentials"})
        body: Json = response.json()
        check(body.get("token_type") == "Bearer", "token_type is not Bearer")
        check(response.headers.get("Cache-Control") == "no-store", "a token response lacks Cache-Control: no-store")
        return Issued(body["access_token"], body, requested_at, time.time())

    def introspect(self, client: Client, token: str) -> Json:
        result: Json = self._post("introspection_endpoint", client, data={"token": token}).json()
        return result

    def check_rejected(self, client: Client, forgeries: Sequence[Forgery]) -> None:
        """Checks that every forgery is inactive: all of them in batches, and a sample of them in single requests."""
        size = min(BATCH_TOKENS, BATCH_BYTES // (max(len(forgery.token) for forgery in forgeries) + 16))
        for start in range(0, len(forgeries), size):
            batch = forgeries[start : start + size]
            tokens = [forgery.token for forgery in batch]
            results = self._post("introspection_endpoint", client, "/batch", json={"tokens": tokens}).json()
            check(len(results) == len(batch), "a batch response has the wrong number of results")
            for forgery, result in zip(batch, results, strict=True):
                check(result == INACTIVE, f"batch introspection accepts {forgery.what}")
        for forgery in forgeries[::SINGLE_EVERY]:
            check(self.introspect(client, forgery.token) == INACTIVE, f"introspection accepts {forgery.what}")

    def _post(self, endpoint: str, client: Client, subpath: str = "", **body: Any) -> requests.Response:
        response = self._http.post(self.metadata[endpoint] + subpath, auth=client.basic, timeout=TIMEOUT, **body)
        check(response.status_code == 200, f"{endpoint}{subpath} returned {response.status_code}")
        return response


def check_claims(claims: Json, issued: Issued, server: Server, client: Client, audience: str) -> None:
    """Compares the claims of a verified token, with times as Unix seconds, with the request and with introspection."""
    check(claims.keys() == CLAIMS, "the claims are not exactly the documented ones")
    check(all(type(claims[name]) is int for name in TIMES), "exp, nbf and iat are not all integers")
    check(claims["iss"] == server.issuer, "iss is not the issuer")
    check(claims["sub"] == claims["client_id"] == client.id, "sub or client_id is not the client")
    check(claims["aud"] == audience, "aud is not the expected audience")
    check(claims["scope"] == issued.response.get("scope", ""), "scope is not the scope of the token response")
    check(claims["exp"] - claims["iat"] == issued.response["expires_in"] > 0, "exp - iat is not expires_in")
    check(claims["nbf"] == claims["iat"], "nbf is not iat")
    earliest, latest = issued.requested_at - 1 - CLOCK_LEEWAY, issued.received_at + CLOCK_LEEWAY
    check(earliest <= claims["iat"] <= latest, "iat is not the time of the request")

    jti = uuid.UUID(claims["jti"])
    check(str(jti) == claims["jti"], "jti is not a UUID in canonical form")
    check(jti.version == 7, "jti is not a UUIDv7")
    check((jti.int >> 80) // 1_000 == claims["iat"], "the timestamp of jti is not iat")

    result = server.introspect(client, issued.token)
    check(result == {"active": True, "token_type": "Bearer", **claims}, "introspection and the claims of the token differ")


def check_unique(jtis: Sequence[str]) -> None:
    check(len(set(jtis)) == len(jtis), "two tokens have the same jti")


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def flipped(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields each bit position, and `data` with that bit flipped."""
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bit, bytes(changed)


def with_part(token: str, index: int, part: str) -> str:
    parts = token.split(".")
    parts[index] = part
    return ".".join(parts)


def flipped_part(token: str, index: int, name: str) -> Iterator[Forgery]:
    """Flips each bit of the decoded bytes of one part of a dotted token."""
    for bit, data in flipped(decode(token.split(".")[index])):
        yield Forgery(f"a token with bit {bit} of its {name} flipped", with_part(token, index, encode(data)))


def flipped_text(token: str, positions: Iterable[int]) -> Iterator[Forgery]:
    """Flips each of the lower seven bits of the characters at these positions."""
    for position in positions:
        for bit in range(7):
            changed = token[:position] + chr(ord(token[position]) ^ 1 << bit) + token[position + 1 :]
            yield Forgery(f"a token with bit {bit} of character {position} flipped", changed)


def alternative_encodings(token: str) -> Iterator[Forgery]:
    """Variants of the token that a lenient decoder would accept. Only one encoding of a token is valid."""
    for index, part in enumerate(token.split(".")):
        unused_bits = {2: 4, 3: 2}.get(len(part) % 4, 0)
        for unused in range(1, 1 << unused_bits):
            last = BASE64URL[BASE64URL.find(part[-1]) ^ unused]
            yield Forgery(f"a token with unused bits set in part {index}", with_part(token, index, part[:-1] + last))
        padding = "=" * (-len(part) % 4 or 4)
        yield Forgery(f"a token with padding in part {index}", with_part(token, index, part + padding))
    yield Forgery("a token after a space", f" {token}")
    yield Forgery("a token before a newline", f"{token}\n")
    yield Forgery("a token before a dot", f"{token}.")


def arguments(description: str | None, *clients: str) -> argparse.Namespace:
    """Parses the arguments of every program, and a client id and secret for each prefix in `clients`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--issuer", required=True, metavar="URL")
    parser.add_argument("--count", type=int, default=20, metavar="N", help="request N tokens, at least 2 (default 20)")
    parser.add_argument("--audience", metavar="URI", help="expect this audience (default: the issuer)")
    for prefix in clients:
        parser.add_argument(f"--{prefix}client", required=True, metavar="ID")
        parser.add_argument(f"--{prefix}secret", required=True, metavar="SECRET")
    parsed = parser.parse_args()
    if parsed.count < 2:
        parser.error("--count must be at least 2")
    parsed.audience = parsed.audience or parsed.issuer
    return parsed


def run_and_exit(program: Callable[[], str]) -> NoReturn:
    """Runs a program, prints its result and exits. Of an unexpected exception only the location is printed: its text may contain a
    token."""
    try:
        print(f"ok: {program()}")
    except (CheckFailed, requests.RequestException) as error:
        sys.exit(f"failed: {error}")
    except Exception as error:
        here = str(Path(__file__).parent)
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(here)]
        frame = frames[-1]
        sys.exit(f"failed: {type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}: {frame.line}")
    sys.exit(0)
