"""Lets authlib's OAuth 2.0 client find a running server by discovery, take a token, introspect it and revoke it."""

from __future__ import annotations

import os

# authlib refuses plain http as a rule; the server under test is on loopback.
os.environ.setdefault("AUTHLIB_INSECURE_TRANSPORT", "1")

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url

from common import INACTIVE, TIMEOUT, CheckFailed, Json, arguments, check, conclude

METHODS = ["client_secret_basic", "client_secret_post"]


def discover(issuer: str) -> Json:
    response = requests.get(get_well_known_url(issuer, external=True), timeout=TIMEOUT)
    check(response.status_code == 200, f"the metadata was answered {response.status_code}")
    metadata: Json = response.json()
    validate(metadata)
    check(metadata["issuer"] == issuer, "the metadata names another issuer")
    check("client_credentials" in metadata["grant_types_supported"], "the metadata does not offer client_credentials")
    for endpoint in ["token", "introspection", "revocation"]:
        offered = metadata[f"{endpoint}_endpoint_auth_methods_supported"]
        check(set(METHODS) <= set(offered), f"the {endpoint} endpoint does not offer both methods of authentication")
    return metadata


def validate(metadata: Json) -> None:
    """Every field as authlib wants it, but for one: a server without an authorization endpoint has no response types.

    RFC 8414 requires the field all the same (section 2). authlib takes an empty list for a missing one.
    """
    response_types = metadata.get("response_types_supported")
    check(isinstance(response_types, list), "response_types_supported is not a list")
    if not metadata.get("authorization_endpoint"):
        metadata = {**metadata, "response_types_supported": response_types or ["none"]}
    try:
        AuthorizationServerMetadata(metadata).validate()
    except ValueError as error:
        raise CheckFailed(f"authlib refuses the metadata: {error}") from error


def life_of_a_token(client: OAuth2Session, metadata: Json, client_id: str) -> None:
    def introspect() -> Json:
        response = client.introspect_token(metadata["introspection_endpoint"], token=token)
        check(response.status_code == 200, f"introspection answered {response.status_code}")
        answer: Json = response.json()
        return answer

    try:
        token = client.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")["access_token"]
    except OAuthError as error:
        raise CheckFailed(f"authlib got no token: {error.error}") from error
    told = introspect()
    check(told.get("active") is True, "a fresh token is not active")
    check(told.get("client_id") == client_id, "introspection names another client")
    for attempt in ["the first", "a repeated"]:
        revoked = client.revoke_token(metadata["revocation_endpoint"], token=token, token_type_hint="access_token")
        check(revoked.status_code == 200, f"{attempt} revocation answered {revoked.status_code}")
        check(introspect() == INACTIVE, f"the token is not inactive after {attempt} revocation")


def main() -> str:
    given = arguments(__doc__, "")
    metadata = discover(given.issuer)
    for method in METHODS:
        with OAuth2Session(
            given.client,
            given.secret,
            token_endpoint_auth_method=method,
            revocation_endpoint_auth_method=method,
            default_timeout=TIMEOUT,
        ) as client:
            for _ in range(given.count):
                life_of_a_token(client, metadata, given.client)
    return f"{given.count * len(METHODS)} tokens taken, introspected and revoked by {' and '.join(METHODS)}"


if __name__ == "__main__":
    conclude(main)
