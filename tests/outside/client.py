"""Uses authlib's OAuth 2.0 client with a running server: discovery, token request, introspection, revocation."""

from __future__ import annotations

import os

# authlib rejects plain http by default; the server under test is on loopback.
os.environ.setdefault("AUTHLIB_INSECURE_TRANSPORT", "1")

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url

from common import INACTIVE, TIMEOUT, CheckFailed, Json, arguments, check, run_and_exit

METHODS = ["client_secret_basic", "client_secret_post"]


def discover(issuer: str) -> Json:
    response = requests.get(get_well_known_url(issuer, external=True), timeout=TIMEOUT)
    check(response.status_code == 200, f"the metadata request returned {response.status_code}")
    metadata: Json = response.json()
    validate(metadata)
    check(metadata["issuer"] == issuer, "the issuer in the metadata is not the issuer URL")
    check("client_credentials" in metadata["grant_types_supported"], "the metadata does not offer client_credentials")
    for endpoint in ["token", "introspection", "revocation"]:
        offered = metadata[f"{endpoint}_endpoint_auth_methods_supported"]
        check(set(METHODS) <= set(offered), f"the {endpoint} endpoint does not offer both client authentication methods")
    return metadata


def validate(metadata: Json) -> None:
    """Validates every field with authlib, with one exception: a server without an authorization endpoint has no response types.

    RFC 8414 section 2 requires the field even then, but authlib treats an empty list as missing.
    """
    response_types = metadata.get("response_types_supported")
    check(isinstance(response_types, list), "response_types_supported is not a list")
    if not metadata.get("authorization_endpoint"):
        metadata = {**metadata, "response_types_supported": response_types or ["none"]}
    try:
        AuthorizationServerMetadata(metadata).validate()
    except ValueError as error:
        raise CheckFailed(f"authlib rejects the metadata: {error}") from error


def check_token_lifecycle(client: OAuth2Session, metadata: Json, client_id: str) -> None:
    def introspect() -> Json:
        response = client.introspect_token(metadata["introspection_endpoint"], token=token)
        check(response.status_code == 200, f"introspection returned {response.status_code}")
        result: Json = response.json()
        return result

    try:
        token = client.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")["access_token"]
    except OAuthError as error:
        raise CheckFailed(f"authlib got no token: {error.error}") from error
    result = introspect()
    check(result.get("active") is True, "a new token is not active")
    check(result.get("client_id") == client_id, "introspection returns another client_id")
    for attempt in ["the first", "a repeated"]:
        revoked = client.revoke_token(metadata["revocation_endpoint"], token=token, token_type_hint="access_token")
        check(revoked.status_code == 200, f"{attempt} revocation returned {revoked.status_code}")
        check(introspect() == INACTIVE, f"the token is still active after {attempt} revocation")


def main() -> str:
    args = arguments(__doc__, "")
    metadata = discover(args.issuer)
    for method in METHODS:
        with OAuth2Session(
            args.client,
            args.secret,
            token_endpoint_auth_method=method,
            revocation_endpoint_auth_method=method,
            default_timeout=TIMEOUT,
        ) as client:
            for _ in range(args.count):
                check_token_lifecycle(client, metadata, args.client)
    return f"{args.count * len(METHODS)} tokens issued, introspected and revoked with {' and '.join(METHODS)}"


if __name__ == "__main__":
    run_and_exit(main)
