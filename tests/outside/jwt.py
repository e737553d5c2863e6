"""Verifies the JWTs of a running server (RFC 9068, EdDSA and ES256) with joserfc, and checks that forged ones are rejected.

Keys are looked up as by a resource server: metadata, `jwks_uri`, the `kid` in the token's header.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import warnings
from collections.abc import Iterator

from joserfc import jws, jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, KeySet, OKPKey

from common import (
    CheckFailed,
    Client,
    Forgery,
    Issued,
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

# RFC 9864 deprecates the name EdDSA in favour of Ed25519 for this curve; most verifiers know the former only.
warnings.simplefilter("ignore", SecurityWarning)

PublicKey = ECKey | OKPKey


def published_keys(server: Server) -> dict[str, PublicKey]:
    keys: dict[str, PublicKey] = {}
    for kid, jwk in server.keys("jwks_uri").items():
        check(jwk.get("use") == "sig", "a published key is not for signatures")
        check("d" not in jwk, "a published key contains its private part")
        keys[kid] = ECKey.import_key(jwk) if jwk["kty"] == "EC" else OKPKey.import_key(jwk)
        check(keys[kid].thumbprint() == kid, "a published kid is not the thumbprint of its key")
    return keys


def header_of(token: str) -> Json:
    header: Json = json.loads(decode(token.split(".")[0]))
    return header


def verified_claims(token: str, algorithm: str, keys: dict[str, PublicKey]) -> Json:
    header = header_of(token)
    check(header.keys() == {"alg", "typ", "kid"}, "the header parameters are not exactly alg, typ and kid")
    check(header["typ"] == "at+jwt", "typ is not at+jwt")
    check(header["alg"] == algorithm, f"alg is not {algorithm}")
    check(header["kid"] in keys, "kid is not the id of a published key")
    try:
        claims = jwt.decode(token, KeySet(list(keys.values())), algorithms=[algorithm]).claims
        jwt.JWTClaimsRegistry(leeway=0).validate(claims)
    except (JoseError, ValueError) as error:
        raise CheckFailed("joserfc rejects a token that the server issued") from error
    return claims


def check_joserfc_rejects(key: PublicKey, algorithm: str, forgery: Forgery) -> None:
    """Verifies it as a JWS over arbitrary bytes, so that only the signature can be the reason for the rejection."""
    try:
        jws.deserialize_compact(forgery.token, key, algorithms=[algorithm])
    except (JoseError, ValueError):
        return
    check(False, f"joserfc accepts {forgery.what}")


def compact(header: Json, claims_part: str) -> str:
    return f"{encode(json.dumps(header, separators=(',', ':')).encode())}.{claims_part}"


def algorithm_confusions(token: str, key: PublicKey) -> Iterator[Forgery]:
    """The token's claims with a header that makes a careless verifier skip the check or use the wrong key."""
    header, claims_part = header_of(token), token.split(".")[1]
    for alg in ["none", "None", "NONE", ""]:
        for kid in [{"kid": header["kid"]}, {}]:
            unsigned = compact({"alg": alg, "typ": "at+jwt", **kid}, claims_part)
            yield Forgery(f"alg {alg!r} without a signature", f"{unsigned}.")
            yield Forgery(f"alg {alg!r} with the signature", f"{unsigned}.{token.split('.')[2]}")
    jwk = key.as_dict(private=False)
    public_forms = {
        "PEM": key.as_pem(private=False),
        "DER": key.as_der(private=False),
        "JWK": json.dumps(jwk).encode(),
        "x": decode(str(jwk["x"])),
        "x as text": str(jwk["x"]).encode(),
        "empty key": b"",
    }
    for name, secret in public_forms.items():
        for alg in ["HS256", header["alg"]]:
            unsigned = compact({**header, "alg": alg}, claims_part)
            signature = hmac.digest(secret, unsigned.encode(), hashlib.sha256)
            yield Forgery(f"alg {alg} with an HMAC under the public key ({name})", f"{unsigned}.{encode(signature)}")


def signed_by_other_key(token: str, algorithm: str) -> Iterator[Forgery]:
    """The token's claims with a valid signature of another key."""
    own: PublicKey = ECKey.generate_key("P-256") if algorithm == "ES256" else OKPKey.generate_key("Ed25519")
    header, claims = header_of(token), decode(token.split(".")[1])
    for what, extra in [("with the server's kid", {}), ("in the jwk header", {"jwk": own.as_dict(private=False)})]:
        signed = jws.serialize_compact({**header, **extra}, claims, own, algorithms=[algorithm])
        yield Forgery(f"a token signed by another key {what}", signed)


def forgeries(token: str, others: list[str]) -> list[Forgery]:
    """Modified tokens. `others`: tokens of the same and of another algorithm, for exchanging headers and signatures."""
    dots = [position for position, character in enumerate(token) if character == "."]
    header, claims, signature = token.split(".")
    exchanged = [
        spliced
        for other in others
        for other_header, _, other_signature in [other.split(".")]
        for spliced in [f"{header}.{claims}.{other_signature}", f"{other_header}.{claims}.{other_signature}"]
    ]
    return [
        *flipped_part(token, 0, "header"),
        *flipped_part(token, 1, "claims"),
        *flipped_part(token, 2, "signature"),
        *flipped_text(token, dots),
        *(Forgery("a token with the signature of another token", spliced) for spliced in exchanged),
        Forgery("a token without its signature", f"{header}.{claims}."),
        Forgery("a token of two parts", f"{header}.{claims}"),
        Forgery("a token with half a signature", token[: -len(signature) // 2]),
    ]


def main() -> str:
    args = arguments(__doc__, "eddsa-", "es256-")
    server = Server(args.issuer)
    keys = published_keys(server)
    clients = {
        "EdDSA": Client(args.eddsa_client, args.eddsa_secret),
        "ES256": Client(args.es256_client, args.es256_secret),
    }

    issued: dict[str, list[Issued]] = {}
    jtis = []
    for algorithm, client in clients.items():
        issued[algorithm] = [server.issue(client) for _ in range(args.count)]
        for one in issued[algorithm]:
            claims = verified_claims(one.token, algorithm, keys)
            check_claims(claims, one, server, client, args.audience)
            jtis.append(claims["jti"])
    check_unique(jtis)

    forged_count = encoding_count = 0
    for algorithm, client in clients.items():
        token, same = (one.token for one in issued[algorithm][:2])
        other_algorithms = [tokens[0].token for name, tokens in issued.items() if name != algorithm]
        key = keys[header_of(token)["kid"]]
        forged = [
            *forgeries(token, [same, *other_algorithms]),
            *algorithm_confusions(token, key),
            *signed_by_other_key(token, algorithm),
        ]
        for forgery in forged:
            check_joserfc_rejects(key, algorithm, forgery)
        encodings = list(alternative_encodings(token))
        server.check_rejected(client, forged + encodings)
        check(server.introspect(client, token)["active"] is True, "the original token is no longer active")
        forged_count += len(forged)
        encoding_count += len(encodings)
    return f"{len(jtis)} JWTs verified, {forged_count} forgeries and {encoding_count} alternative encodings rejected"


if __name__ == "__main__":
    run_and_exit(main)
