"""What the checks share: the server as its clients see it, the claims of every token, forgeries and the verdict.

A check is a program: it exits 0 and prints one line `ok: …`, or exits 1 and prints which check failed. Neither line
holds a token or a secret.
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
"""Limits of one batch introspection; the server takes 1 MiB, of which the JSON around the tokens needs a little."""

BASE64URL = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"

SINGLE_EVERY = 61
"""Every forgery is introspected in a batch, each one of this many also by itself."""

CLOCK_LEEWAY = 2
"""Seconds by which `iat` may lie outside the time of the request: ids made faster than the clock ticks run ahead."""

TIMEOUT = 30
"""Seconds that the server may take for an answer."""


class CheckFailed(Exception):
    """A check that did not hold; the text names it."""


def check(holds: bool, what: str) -> None:
    if not holds:
        raise CheckFailed(what)


@dataclass(frozen=True)
class Client:
    id: str
    secret: str = field(repr=False)

    @property
    def basic(self) -> tuple[str, str]:
        """For the `Authorization` header: form-encoded first (RFC 6749 section 2.3.1)."""
        return quote_plus(self.id), quote_plus(self.secret)


class Issued(NamedTuple):
    """A token, what the token endpoint said of it, and the Unix times between which it was asked for."""

    token: str
    answer: Json
    asked: float
    answered: float


class Forgery(NamedTuple):
    what: str
    token: str


class Server:
    """A running server, found by its issuer URL."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self._http = requests.Session()
        self._http.trust_env = False
        self.metadata = self.get(f"{issuer.rstrip('/')}/.well-known/oauth-authorization-server")
        check(self.metadata.get("issuer") == issuer, "the metadata names another issuer")

    def get(self, url: str) -> Json:
        response = self._http.get(url, timeout=TIMEOUT)
        check(response.status_code == 200, f"GET {url} answered {response.status_code}")
        document: Json = response.json()
        return document

    def keys(self, uri_field: str) -> dict[str, Json]:
        """The published keys by their id; `uri_field` is the metadata field that says where they are."""
        check(uri_field in self.metadata, f"the metadata has no {uri_field}")
        keys: list[Json] = self.get(self.metadata[uri_field])["keys"]
        by_id = {key["kid"]: key for key in keys}
        check(len(by_id) == len(keys) > 0, f"{uri_field} has no keys, or two with one kid")
        return by_id

    def issue(self, client: Client) -> Issued:
        asked = time.time()
        response = self._post("token_endpoint", client, data={"grant_type": "client_credentials"})
        answer: Json = response.json()
        check(answer.get("token_type") == "Bearer", "token_type is not Bearer")
        check(response.headers.get("Cache-Control") == "no-store", "a token may be cached")
        return Issued(answer["access_token"], answer, asked, time.time())

    def introspect(self, client: Client, token: str) -> Json:
        answer: Json = self._post("introspection_endpoint", client, data={"token": token}).json()
        return answer

    def check_refused(self, client: Client, forgeries: Sequence[Forgery]) -> None:
        """Every forgery is inactive, asked about in batches, and a sample of them also one by one."""
        size = min(BATCH_TOKENS, BATCH_BYTES // (max(len(forgery.token) for forgery in forgeries) + 16))
        for start in range(0, len(forgeries), size):
            batch = forgeries[start : start + size]
            tokens = [forgery.token for forgery in batch]
            answers = self._post("introspection_endpoint", client, "/batch", json={"tokens": tokens}).json()
            check(len(answers) == len(batch), "a batch was answered with another number of answers")
            for forgery, answer in zip(batch, answers, strict=True):
                check(answer == INACTIVE, f"batch introspection takes {forgery.what} for a token")
        for forgery in forgeries[::SINGLE_EVERY]:
            check(self.introspect(client, forgery.token) == INACTIVE, f"introspection takes {forgery.what} for a token")

    def _post(self, endpoint: str, client: Client, below: str = "", **body: Any) -> requests.Response:
        response = self._http.post(self.metadata[endpoint] + below, auth=client.basic, timeout=TIMEOUT, **body)
        check(response.status_code == 200, f"{endpoint}{below} answered {response.status_code}")
        return response


def check_claims(claims: Json, issued: Issued, server: Server, client: Client, audience: str) -> None:
    """Holds the claims of a verified token, times as Unix seconds, against the request and against introspection."""
    check(claims.keys() == CLAIMS, "the claims are not the documented ones")
    check(all(type(claims[name]) is int for name in TIMES), "exp, nbf and iat are not all whole seconds")
    check(claims["iss"] == server.issuer, "iss is not the issuer")
    check(claims["sub"] == claims["client_id"] == client.id, "sub or client_id is not the client")
    check(claims["aud"] == audience, "aud is not the expected audience")
    check(claims["scope"] == issued.answer.get("scope", ""), "scope is not the one that the token endpoint answered")
    check(claims["exp"] - claims["iat"] == issued.answer["expires_in"] > 0, "exp - iat is not expires_in")
    check(claims["nbf"] == claims["iat"], "nbf is not iat")
    earliest, latest = issued.asked - 1 - CLOCK_LEEWAY, issued.answered + CLOCK_LEEWAY
    check(earliest <= claims["iat"] <= latest, "iat is not the time of the request")

    jti = uuid.UUID(claims["jti"])
    check(str(jti) == claims["jti"], "jti is not a UUID in its usual spelling")
    check(jti.version == 7, "jti is not a UUIDv7")
    check((jti.int >> 80) // 1_000 == claims["iat"], "the milliseconds of jti do not agree with iat")

    told = server.introspect(client, issued.token)
    check(told == {"active": True, "token_type": "Bearer", **claims}, "introspection and the token differ")


def check_unique(jtis: Sequence[str]) -> None:
    check(len(set(jtis)) == len(jtis), "two tokens have one jti")


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def flipped(data: bytes) -> Iterator[tuple[int, bytes]]:
    """`data` once for each of its bits, with that bit flipped."""
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bit, bytes(changed)


def with_part(token: str, index: int, part: str) -> str:
    parts = token.split(".")
    parts[index] = part
    return ".".join(parts)


def flipped_part(token: str, index: int, name: str) -> Iterator[Forgery]:
    """Each bit of one part of a dotted token, as the bytes that it encodes."""
    for bit, data in flipped(decode(token.split(".")[index])):
        yield Forgery(f"a token with bit {bit} of its {name} flipped", with_part(token, index, encode(data)))


def flipped_text(token: str, positions: Iterable[int]) -> Iterator[Forgery]:
    """Each bit that leaves these characters of a token ASCII."""
    for position in positions:
        for bit in range(7):
            changed = token[:position] + chr(ord(token[position]) ^ 1 << bit) + token[position + 1 :]
            yield Forgery(f"a token with bit {bit} of character {position} flipped", changed)


def respelled(token: str) -> Iterator[Forgery]:
    """The token as a lenient decoder would still read it. A token has one spelling only."""
    for index, part in enumerate(token.split(".")):
        unused_bits = {2: 4, 3: 2}.get(len(part) % 4, 0)
        for stray in range(1, 1 << unused_bits):
            last = BASE64URL[BASE64URL.find(part[-1]) ^ stray]
            yield Forgery(f"a token with stray bits in part {index}", with_part(token, index, part[:-1] + last))
        padding = "=" * (-len(part) % 4 or 4)
        yield Forgery(f"a token with padding in part {index}", with_part(token, index, part + padding))
    yield Forgery("a token behind a space", f" {token}")
    yield Forgery("a token before a line end", f"{token}\n")
    yield Forgery("a token before a dot", f"{token}.")


def arguments(description: str | None, *clients: str) -> argparse.Namespace:
    """Parses what every check takes, and a client and its secret for each prefix in `clients`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--issuer", required=True, metavar="URL")
    parser.add_argument("--count", type=int, default=20, metavar="N", help="tokens to take, at least 2 (default 20)")
    parser.add_argument("--audience", metavar="URI", help="the audience the tokens must have (default: the issuer)")
    for prefix in clients:
        parser.add_argument(f"--{prefix}client", required=True, metavar="ID")
        parser.add_argument(f"--{prefix}secret", required=True, metavar="SECRET")
    parsed = parser.parse_args()
    if parsed.count < 2:
        parser.error("--count must be at least 2")
    parsed.audience = parsed.audience or parsed.issuer
    return parsed


def conclude(program: Callable[[], str]) -> NoReturn:
    """Runs a program, prints its verdict, exits. Of unforeseen errors only the place: their text could hold a token."""
    try:
        print(f"ok: {program()}")
    except (CheckFailed, requests.RequestException) as error:
        sys.exit(f"failed: {error}")
    except Exception as error:
        here = str(Path(__file__).parent)
        place = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(here)][-1]
        sys.exit(f"failed: {type(error).__name__} in {Path(place.filename).name}, line {place.lineno}: {place.line}")
    sys.exit(0)
