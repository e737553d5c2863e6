"""Verifies tokens as a resource server does, during key rotations, until its standard input closes.

The first line of standard input is a JSON list of clients: `kind` (paseto, EdDSA, Ed25519, ES256, RS256, PS256, HS256), `id`, `secret`, and
for HS256 `shared`, the secret of the HMAC. Published keys are cached for max-age, and fetched again for an unknown `kid`. Each
token is verified when it is issued and again shortly before it expires.
"""

from __future__ import annotations

import json
import math
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import pyseto
import requests
from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from pyseto import Key, PysetoError

from common import TIMEOUT, CheckFailed, Client, Json, Server, check, decode

# RFC 9864 deprecates the name EdDSA in favour of Ed25519 for this curve; most verifiers know the former only.
warnings.simplefilter("ignore", SecurityWarning)

CLOCK = time.time() - time.monotonic()
"""Difference of this machine's clocks at the start, in seconds."""

LAST_CHECK = 0.5
"""Seconds before its expiry at which a token is verified for the last time."""


class Keys:
    """The keys of a document, cached like an HTTP cache does."""

    def __init__(self, url: str, read: Callable[[Json], Any]) -> None:
        self._url, self._read = url, read
        self._http = requests.Session()
        self._http.trust_env = False
        self._keys: dict[str, Any] = {}
        self._until = 0.0
        self.unknown = 0
        self.seen: set[str] = set()

    def _fetch(self) -> None:
        asked = time.monotonic()
        response = self._http.get(self._url, timeout=TIMEOUT)
        check(response.status_code == 200, f"GET {self._url} returned {response.status_code}")
        age = re.search(r"max-age=(\d+)", response.headers.get("Cache-Control", ""))
        check(age is not None, "the keys have no max-age")
        assert age is not None
        # The latest time that max-age allows: what the response took is part of its age (RFC 9111 section 4.2.3).
        self._until = asked + int(age[1])
        self._keys = {key["kid"]: self._read(key) for key in response.json()["keys"]}
        self.seen.update(self._keys)

    def get(self, kid: str) -> Any:
        if time.monotonic() >= self._until:
            self._fetch()
        if kid not in self._keys:
            self.unknown += 1
            self._fetch()
        check(kid in self._keys, "the kid of a token is not published")
        return self._keys[kid]


def jwk(key: Json) -> Any:
    types: dict[str, Any] = {"EC": ECKey, "OKP": OKPKey, "RSA": RSAKey}
    return types[key["kty"]].import_key(key)


def verify(algorithm: str, token: str, keys: Keys, shared: str | None) -> None:
    try:
        if algorithm == "paseto":
            pyseto.decode(keys.get(json.loads(decode(token.split(".")[3]))["kid"]), token, deserializer=json)
            return
        header = json.loads(decode(token.split(".")[0]))
        check(header["alg"] == algorithm, f"alg of a token is not {algorithm}")
        key = OctKey.import_key(shared) if shared is not None else keys.get(header["kid"])
        claims = jwt.decode(token, key, algorithms=[algorithm]).claims
        # No leeway, unless this machine's clock was set back: then a token of the moment before is in the future for every verifier.
        jwt.JWTClaimsRegistry(leeway=math.ceil(set_back())).validate(claims)
    except (JoseError, PysetoError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}, at {time.time():.3f}"
        raise CheckFailed(f"verification of a {algorithm} token fails: {reason}") from error


def set_back() -> float:
    """By how much this machine's clock was set back since the program began, in seconds, if by more than a millisecond."""
    seconds = CLOCK - (time.time() - time.monotonic())
    return seconds if seconds > 0.001 else 0


def wait_for_stdin(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def main() -> None:
    issuer = sys.argv[1]
    clients: list[Json] = json.loads(sys.stdin.readline())
    ended = threading.Event()
    threading.Thread(target=wait_for_stdin, args=(ended,), daemon=True).start()
    server = Server(issuer)
    paseto = Keys(server.metadata["paseto_keys_uri"], lambda key: Key.from_paserk(key["paserk"]))
    jwks = Keys(server.metadata["jwks_uri"], jwk)
    waiting: list[tuple[float, str, str, str | None]] = []
    verified = 0
    # At least two rounds, however soon the test ends: libraries load slowly on a busy machine.
    while not ended.is_set() or verified < 2 * len(clients):
        for client in clients:
            algorithm, shared = client["kind"], client.get("shared")
            issued = server.issue(Client(client["id"], client["secret"]))
            keys = paseto if algorithm == "paseto" else jwks
            verify(algorithm, issued.token, keys, shared)
            waiting.append((issued.requested_at + issued.response["expires_in"] - LAST_CHECK, algorithm, issued.token, shared))
            verified += 1
        # Claims are whole seconds, so a token may expire up to a second earlier than its lifetime suggests.
        while waiting and waiting[0][0] - 1 <= time.time():
            due, algorithm, token, shared = waiting.pop(0)
            if time.time() < due:
                verify(algorithm, token, paseto if algorithm == "paseto" else jwks, shared)
                verified += 1
    print(json.dumps({"verified": verified, "unknown": paseto.unknown + jwks.unknown, "keys": len(paseto.seen | jwks.seen)}))


try:
    main()
except CheckFailed as failed:
    print(f"failed: {failed}")
    sys.exit(1)
