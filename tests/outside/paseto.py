"""Verifies the PASETO tokens of a running server with pyseto, and has every one that differs in a bit refused.

Keys are found as a resource server finds them: metadata, `paseto_keys_uri`, the `kid` in the token's footer.
"""

from __future__ import annotations

import json
from datetime import datetime

import pyseto
from pyseto import Key, KeyInterface, PysetoError

from common import (
    TIMES,
    CheckFailed,
    Client,
    Forgery,
    Json,
    Server,
    arguments,
    check,
    check_claims,
    check_unique,
    conclude,
    decode,
    encode,
    flipped_part,
    flipped_text,
    respelled,
)

HEADER = "v4.public."
SIGNATURE_BYTES = 64


def published_keys(server: Server) -> dict[str, KeyInterface]:
    keys = {kid: Key.from_paserk(key["paserk"]) for kid, key in server.keys("paseto_keys_uri").items()}
    for kid, key in keys.items():
        check(key.to_paserk_id() == kid, "a published kid is not the PASERK id of its key")
    return keys


def key_of(token: str, keys: dict[str, KeyInterface]) -> KeyInterface:
    check(token.startswith(HEADER), f"a token does not begin with {HEADER}")
    parts = token.split(".")
    check(len(parts) == 4, "a token has no footer")
    footer = json.loads(decode(parts[3]))
    check(footer.keys() == {"kid"}, "the footer is not a kid alone")
    check(footer["kid"] in keys, "the footer names a key that is not published")
    return keys[footer["kid"]]


def verified_claims(token: str, key: KeyInterface) -> Json:
    """The claims as pyseto hands them out, with times as Unix seconds."""
    try:
        claims = pyseto.decode(key, token, deserializer=json).payload
    except (PysetoError, ValueError) as error:
        raise CheckFailed("pyseto refuses a token that the server issued") from error
    assert isinstance(claims, dict)
    for name in TIMES:
        moment = datetime.fromisoformat(claims[name])
        check(moment.tzinfo is not None, f"{name} has no time zone")
        claims[name] = int(moment.timestamp())
    return claims


def check_pyseto_refuses(key: KeyInterface, forgery: Forgery) -> None:
    """Without a deserializer, so that nothing but the signature can be at fault."""
    try:
        pyseto.decode(key, forgery.token)
    except (PysetoError, ValueError):
        return
    check(False, f"pyseto takes {forgery.what} for a token")


def forgeries(token: str, other: str) -> list[Forgery]:
    """`other` is a second token of the same key, to exchange signatures with."""
    footer_dot = token.rindex(".")
    body, other_body = decode(token.split(".")[2]), decode(other.split(".")[2])
    exchanged = encode(body[:-SIGNATURE_BYTES] + other_body[-SIGNATURE_BYTES:])
    return [
        *flipped_part(token, 2, "payload"),
        *flipped_part(token, 3, "footer"),
        *flipped_text(token, [*range(len(HEADER)), footer_dot]),
        Forgery("a token with another's signature", f"{HEADER}{exchanged}{token[footer_dot:]}"),
        Forgery("a token without its footer", token[:footer_dot]),
        Forgery("a token without its signature", f"{HEADER}{encode(body[:-SIGNATURE_BYTES])}{token[footer_dot:]}"),
    ]


def main() -> str:
    given = arguments(__doc__, "")
    server, client = Server(given.issuer), Client(given.client, given.secret)
    keys = published_keys(server)

    issued = [server.issue(client) for _ in range(given.count)]
    jtis = []
    for one in issued:
        claims = verified_claims(one.token, key_of(one.token, keys))
        check_claims(claims, one, server, client, given.audience)
        jtis.append(claims["jti"])
    check_unique(jtis)

    token, other = issued[0].token, issued[1].token
    forged = forgeries(token, other)
    for forgery in forged:
        check_pyseto_refuses(key_of(token, keys), forgery)
    other_spellings = list(respelled(token))
    server.check_refused(client, forged + other_spellings)
    check(server.introspect(client, token)["active"] is True, "the token itself is no longer active")
    return f"{len(jtis)} PASETOs verified, {len(forged)} forgeries and {len(other_spellings)} other spellings refused"


if __name__ == "__main__":
    conclude(main)
