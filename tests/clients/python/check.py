"""Runs verifier and client libraries for Python against a server. The suite's own programs in tests/outside use others.

usage: check.py FIXTURE
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

# These libraries reject plain http by default; the server under test is on loopback.
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
warnings.simplefilter("ignore")

import httpx
import jwt
import requests
from fastapi.testclient import TestClient

with warnings.catch_warnings(record=True):  # of authlib about this module, which programs use all the same
    from authlib.jose import JsonWebKey, JsonWebToken

from jose import jwt as python_jose
from oic.oauth2 import Client as PyoidcClient
from oic.oauth2.message import AccessTokenResponse, ASConfigurationResponse, CCAccessTokenRequest
from oic.oic import Client as PyoidcOpenIDClient
from oic.utils.authn.client import CLIENT_AUTHN_METHOD

from apis import api_with_authlib, api_with_fastapi
from django_api import api_with_django
from pages import token_with_authlib, token_with_requests_oauthlib, verify_with_joserfc, verify_with_pyjwt

Json = dict[str, Any]
failed = False


def check(library: str, what: str, run: Callable[[], object]) -> None:
    """Runs a check. `library`: its name; `what`: what holds if it returns."""
    global failed
    try:
        run()
    except Exception as error:
        failed = True
        print(f"FAILED python {library}: {what}: {type(error).__name__}: {error}")
    else:
        print(f"ok python {library}: {what}")


def rejected(what: str, call: Callable[[], object]) -> None:
    try:
        call()
    except Exception:
        return
    raise AssertionError(f"{what} is accepted")


def require(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def forged(token: str) -> str:
    start = token.rindex(".") + 1 if "." in token else len(token) - 1
    return token[:start] + ("B" if token[start] == "A" else "A") + token[start + 1 :]


class Fixture:
    def __init__(self, file: str) -> None:
        json_text: Json = json.loads(Path(file).read_text())
        self.json = json_text
        self.issuer: str = json_text["issuer"]
        self.audience: str = json_text["audience"]
        self.clients: dict[str, dict[str, str]] = json_text["clients"]

    def token(self, name: str) -> str:
        form = {"grant_type": "client_credentials", **self.clients[name]}
        response = requests.post(f"{self.issuer}/oauth/token", data=form, timeout=30)
        require(response.status_code == 200, f"the token endpoint answers {response.status_code}")
        token: str = response.json()["access_token"]
        return token

    def verifies(self, library: str, clients: list[str], verify: Callable[[str], object]) -> None:
        for client in clients:
            check(library, f"verifies {client}", lambda: self._verifies(client, verify))

    def _verifies(self, client: str, verify: Callable[[str], object]) -> None:
        token = self.token(client)
        verify(token)
        rejected("a changed signature", lambda: verify(forged(token)))


def pyjwt(issuer: str, audience: str, token: str) -> Json:
    keys = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json")
    algorithms = ["ES256", "EdDSA", "RS256", "PS256"]
    claims: Json = jwt.decode(token, keys.get_signing_key_from_jwt(token), algorithms=algorithms, issuer=issuer, audience=audience)
    return claims


def check_verifiers(fixture: Fixture) -> None:
    issuer, audience = fixture.issuer, fixture.audience

    def key_set() -> Json:
        keys: Json = requests.get(f"{issuer}/.well-known/jwks.json", timeout=30).json()
        return keys

    fixture.verifies("PyJWT", ["es256-jwt", "es256"], lambda token: verify_with_pyjwt(issuer, token))
    fixture.verifies("PyJWT", ["eddsa", "rs256", "ps256"], lambda token: pyjwt(issuer, audience, token))
    check(
        "PyJWT",
        "rejects a token for another audience",
        lambda: rejected("it", lambda: verify_with_pyjwt(issuer, fixture.token("other-audience"))),
    )
    shared: str = fixture.json["shared_secret"]
    fixture.verifies("PyJWT", ["hs256"], lambda token: jwt.decode(token, shared, algorithms=["HS256"], audience=audience))
    fixture.verifies("joserfc", ["default-alg", "es256", "rs256"], lambda token: verify_with_joserfc(issuer, token))
    fixture.verifies(
        "python-jose",
        ["es256-jwt", "es256"],
        lambda token: python_jose.decode(token, key_set(), algorithms=["ES256"], audience=audience, issuer=issuer),
    )

    def python_jose_by_kid(token: str) -> None:
        kid = python_jose.get_unverified_header(token)["kid"]
        key = next(key for key in key_set()["keys"] if key["kid"] == kid)
        python_jose.decode(token, key, algorithms=["RS256", "PS256"], audience=audience, issuer=issuer)

    fixture.verifies("python-jose", ["rs256"], python_jose_by_kid)

    def authlib(token: str) -> None:
        options = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": audience}}
        keys = JsonWebKey.import_key_set(key_set())
        JsonWebToken(["ES256", "EdDSA", "RS256", "PS256"]).decode(token, keys, claims_options=options).validate()

    fixture.verifies("Authlib", ["es256", "eddsa", "rs256", "ps256"], authlib)
    for key in fixture.json["imported"]:
        if key["language"] in ["python", "openssl"]:
            what = f"verifies a token by the imported key {key['name']} ({key['language']})"
            check("PyJWT", what, lambda: pyjwt(fixture.json["import_issuer"], audience, key["token"]))


def check_apis(fixture: Fixture) -> None:
    issuer, api = fixture.issuer, fixture.clients["api"]
    fastapi = TestClient(api_with_fastapi(issuer))
    protects(fixture, "FastAPI with PyJWT", ["es256-jwt", "es256"], lambda headers: fastapi.get("/claims", headers=headers))
    for library, wsgi, clients in [
        ("Django REST framework with Simple JWT", api_with_django(issuer), ["es256-jwt", "es256"]),
        ("Flask with Authlib", api_with_authlib(issuer, api["client_id"], api["client_secret"]), ["opaque", "es256"]),
    ]:
        client = httpx.Client(transport=httpx.WSGITransport(app=wsgi), base_url="http://127.0.0.1")
        protects(fixture, library, clients, lambda headers: client.get("/claims", headers=headers))


def protects(fixture: Fixture, library: str, clients: list[str], get: Callable[[dict[str, str]], httpx.Response]) -> None:
    """Checks an API. `get` requests its claims with headers."""

    def verify(token: str) -> None:
        response = get({"Authorization": f"Bearer {token}"})
        require(response.status_code == 200, f"it answers {response.status_code}: {response.text}")
        require(response.json()["aud"] == fixture.audience, "the claims lack the audience")

    def rejects() -> None:
        for headers in [{}, {"Authorization": f"Bearer {fixture.token('other-audience')}"}]:
            require(get(headers).status_code in [401, 403], "it is accepted")

    fixture.verifies(library, clients, verify)
    check(library, "rejects no token and a token for another audience", rejects)


def check_clients(fixture: Fixture) -> None:
    client = fixture.clients["es256"]
    issuer, client_id, secret = fixture.issuer, client["client_id"], client["client_secret"]
    check(
        "requests-oauthlib",
        "gets a token as the page does",
        lambda: verify_with_pyjwt(issuer, token_with_requests_oauthlib(issuer, client_id, secret)),
    )
    check(
        "Authlib",
        "gets a token with httpx as the page does",
        lambda: verify_with_pyjwt(issuer, token_with_authlib(issuer, client_id, secret)),
    )
    for method in ["client_secret_basic", "client_secret_post"]:
        check("pyoidc", f"gets a token by discovery with {method}", lambda: pyoidc(fixture, method))


def pyoidc(fixture: Fixture, method: str) -> None:
    client = fixture.clients["es256"]
    discovered = PyoidcOpenIDClient(client_authn_method=CLIENT_AUTHN_METHOD).provider_config(fixture.issuer)
    require(discovered["issuer"] == fixture.issuer, "another issuer")
    party = PyoidcClient(client_id=client["client_id"], client_authn_method=CLIENT_AUTHN_METHOD)
    party.client_secret = client["client_secret"]
    party.handle_provider_config(ASConfigurationResponse(**discovered.to_dict()), fixture.issuer)
    # Its method for token requests demands an authorization code; this is what that calls.
    url, body, http_arguments, _ = party.request_info(
        CCAccessTokenRequest,
        request_args={"grant_type": "client_credentials"},
        authn_method=method,
        authn_endpoint="token",
        endpoint=party.token_endpoint,
    )
    answer = party.request_and_return(url, AccessTokenResponse, "POST", body, http_args=http_arguments)
    verify_with_pyjwt(fixture.issuer, answer["access_token"])


def main() -> int:
    fixture = Fixture(sys.argv[1])
    check_verifiers(fixture)
    check_apis(fixture)
    check_clients(fixture)
    return 1 if failed else 0


sys.exit(main())
