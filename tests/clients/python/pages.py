"""The functions of docs/frameworks/python.md."""

from typing import Any

import jwt
import requests
from authlib.integrations.httpx_client import OAuth2Client
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet
from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session


def verify_with_pyjwt(issuer: str, token: str) -> dict[str, Any]:
    keys = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json")  # once, at the start: it caches the keys
    return jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token),
        algorithms=["ES256"],
        issuer=issuer,
        audience="https://api.example",
        options={"require": ["exp", "iss", "aud"]},
    )


def verify_with_joserfc(issuer: str, token: str) -> dict[str, Any]:
    keys = KeySet.import_key_set(requests.get(f"{issuer}/.well-known/jwks.json", timeout=5).json())
    claims = joserfc_jwt.decode(token, keys).claims  # ES256 is among the default algorithms, EdDSA is not
    joserfc_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": "https://api.example"},
        exp={"essential": True},
    ).validate(claims)
    return claims


def token_with_requests_oauthlib(issuer: str, client_id: str, client_secret: str) -> str:
    session = OAuth2Session(client=BackendApplicationClient(client_id=client_id, scope=["read"]))
    answer = session.fetch_token(f"{issuer}/oauth/token", client_id=client_id, client_secret=client_secret)
    return answer["access_token"]


def token_with_authlib(issuer: str, client_id: str, client_secret: str) -> str:
    # It gets another token when this one expires. AsyncOAuth2Client is the same for asyncio.
    with OAuth2Client(client_id, client_secret, scope="read", token_endpoint=f"{issuer}/oauth/token") as session:
        return session.fetch_token()["access_token"]
