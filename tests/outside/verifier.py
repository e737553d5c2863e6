"""Verifies tokens as a resource server does, while keys follow each other, until its stdin ends.

The first line of stdin is a JSON list of clients: `kind` (paseto, EdDSA, ES256, RS256, PS256, HS256), `id`, `secret`, and for HS256
`shared`, the secret that the codes are made with. Published keys are kept for as long as the answer allows, and fetched again
early for a key that is not known. Each token is verified when it is issued and again shortly before it expires.
"""

from __future__ import annotations

import json
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

# RFC 9864 renames the algorithm EdDSA, with this curve, to Ed25519; tokens have the name that verifiers know.
warnings.simplefilter("ignore", SecurityWarning)

LATE = 0.5
"""Seconds before its expiry that a token is verified for the last time."""


class Keys:
    """The keys of one document, kept as an HTTP cache keeps it."""

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
        check(response.status_code == 200, f"GET {self._url} answered {response.status_code}")
        age = re.search(r"max-age=(\d+)", response.headers.get("Cache-Control", ""))
        check(age is not None, "the keys say nothing of how long they may be kept")
        assert age is not None
        # As long as it may be kept at the very most: from when the answer came.
        self._until = max(asked, time.monotonic()) + int(age[1])
        self._keys = {key["kid"]: self._read(key) for key in response.json()["keys"]}
        self.seen.update(self._keys)

    def get(self, kid: str) -> Any:
        if time.monotonic() >= self._until:
            self._fetch()
        if kid not in self._keys:
            self.unknown += 1
            self._fetch()
        check(kid in self._keys, "a token names a key that is not published")
        return self._keys[kid]


def jwk(key: Json) -> Any:
    kinds: dict[str, Any] = {"EC": ECKey, "OKP": OKPKey, "RSA": RSAKey}
    return kinds[key["kty"]].import_key(key)


def verify(kind: str, token: str, keys: Keys, shared: str | None) -> None:
    try:
        if kind == "paseto":
            pyseto.decode(keys.get(json.loads(decode(token.split(".")[3]))["kid"]), token, deserializer=json)
            return
        header = json.loads(decode(token.split(".")[0]))
        check(header["alg"] == kind, f"a token for {kind} has another alg")
        key = OctKey.import_key(shared) if shared is not None else keys.get(header["kid"])
        jwt.JWTClaimsRegistry(leeway=0).validate(jwt.decode(token, key, algorithms=[kind]).claims)
    except (JoseError, PysetoError, ValueError) as error:
        raise CheckFailed(f"a token for {kind} does not verify: {type(error).__name__}") from error


def main() -> None:
    issuer = sys.argv[1]
    clients: list[Json] = json.loads(sys.stdin.readline())
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    server = Server(issuer)
    paseto = Keys(server.metadata["paseto_keys_uri"], lambda key: Key.from_paserk(key["paserk"]))
    jwks = Keys(server.metadata["jwks_uri"], jwk)
    waiting: list[tuple[float, str, str, str | None]] = []
    verified = 0
    while not ended.is_set():
        for client in clients:
            kind, shared = client["kind"], client.get("shared")
            issued = server.issue(Client(client["id"], client["secret"]))
            keys = paseto if kind == "paseto" else jwks
            verify(kind, issued.token, keys, shared)
            waiting.append((issued.asked + issued.answer["expires_in"] - LATE, kind, issued.token, shared))
            verified += 1
        # Claims count whole seconds, so a token is about to expire up to a second earlier than it was issued for.
        while waiting and waiting[0][0] - 1 <= time.time():
            due, kind, token, shared = waiting.pop(0)
            if time.time() < due:
                verify(kind, token, paseto if kind == "paseto" else jwks, shared)
                verified += 1
    print(json.dumps({"verified": verified, "unknown": paseto.unknown + jwks.unknown, "keys": len(paseto.seen | jwks.seen)}))


try:
    main()
except CheckFailed as failed:
    print(f"failed: {failed}")
    sys.exit(1)
