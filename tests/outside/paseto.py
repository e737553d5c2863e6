"""Verifies the PASETO tokens of a running server with pyseto, and checks that tokens with a flipped bit are rejected.

Keys are looked up as by a resource server: metadata, `paseto_keys_uri`, the `kid` in the token's footer.
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
    alternative_encodings,
    arguments,
    check,
    check_claims,
    check_unique,
    decode,
    encode,
    flipped_part,
    flipped_text,
    run_and_exit,
)

HEADER = "v4.public."
SIGNATURE_BYTES = 64


def published_keys(server: Server) -> dict[str, KeyInterface]:
    keys = {kid: Key.from_paserk(key["paserk"]) for kid, key in server.keys("paseto_keys_uri").items()}
    for kid, key in keys.items():
        check(key.to_paserk_id() == kid, "a published kid is not the PASERK id of its key")
    return keys


def key_of(token: str, keys: dict[str, KeyInterface]) -> KeyInterface:
    check(token.startswith(HEADER), f"the token does not begin with {HEADER}")
    parts = token.split(".")
    check(len(parts) == 4, "the token has no footer")
    footer = json.loads(decode(parts[3]))
    check(footer.keys() == {"kid"}, "the footer does not consist of kid only")
    check(footer["kid"] in keys, "kid is not the id of a published key")
    return keys[footer["kid"]]


def verified_claims(token: str, key: KeyInterface) -> Json:
    """The claims that pyseto returns, with times as Unix seconds."""
    try:
        claims = pyseto.decode(key, token, deserializer=json).payload
    except (PysetoError, ValueError) as error:
        raise CheckFailed("pyseto rejects a token that the server issued") from error
    assert isinstance(claims, dict)
    for name in TIMES:
        moment = datetime.fromisoformat(claims[name])
        check(moment.tzinfo is not None, f"{name} has no time zone")
        claims[name] = int(moment.timestamp())
    return claims


def check_pyseto_rejects(key: KeyInterface, forgery: Forgery) -> None:
    """Verifies it without a deserializer, so that only the signature can be the reason for the rejection."""
    try:
        pyseto.decode(key, forgery.token)
    except (PysetoError, ValueError):
        return
    check(False, f"pyseto accepts {forgery.what}")


def forgeries(token: str, other: str) -> list[Forgery]:
    """Modified tokens. `other`: a second token of the same key, for exchanging signatures."""
    footer_dot = token.rindex(".")
    body, other_body = decode(token.split(".")[2]), decode(other.split(".")[2])
    exchanged = encode(body[:-SIGNATURE_BYTES] + other_body[-SIGNATURE_BYTES:])
    return [
        *flipped_part(token, 2, "payload"),
        *flipped_part(token, 3, "footer"),
        *flipped_text(token, [*range(len(HEADER)), footer_dot]),
        Forgery("a token with the signature of another token", f"{HEADER}{exchanged}{token[footer_dot:]}"),
        Forgery("a token without its footer", token[:footer_dot]),
        Forgery("a token without its signature", f"{HEADER}{encode(body[:-SIGNATURE_BYTES])}{token[footer_dot:]}"),
    ]


def main() -> str:
    args = arguments(__doc__, "")
    server, client = Server(args.issuer), Client(args.client, args.secret)
    keys = published_keys(server)

    issued = [server.issue(client) for _ in range(args.count)]
    jtis = []
    for one in issued:
        claims = verified_claims(one.token, key_of(one.token, keys))
        check_claims(claims, one, server, client, args.audience)
        jtis.append(claims["jti"])
    check_unique(jtis)

    token, other = issued[0].token, issued[1].token
    forged = forgeries(token, other)
    for forgery in forged:
        check_pyseto_rejects(key_of(token, keys), forgery)
    encodings = list(alternative_encodings(token))
    server.check_rejected(client, forged + encodings)
    check(server.introspect(client, token)["active"] is True, "the original token is no longer active")
    return f"{len(jtis)} PASETOs verified, {len(forged)} forgeries and {len(encodings)} alternative encodings rejected"


if __name__ == "__main__":
    run_and_exit(main)
