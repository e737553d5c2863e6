"""Checks a running server against its own OpenAPI document with schemathesis.

First the lifecycles of clients, tokens and keys, since random data hardly ever contains a valid token; then generated requests to
both listeners: no response is a 5xx, and every response conforms to the document.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import requests
import schemathesis

from common import TIMEOUT, CheckFailed, Client, check, run_and_exit

MANAGEMENT = r"^/(admin/|metrics|openapi\.json|health|ready)"
PUBLIC = r"^/(oauth/|\.well-known/|health|ready)"

EXAMPLES = 10
"""Random requests per operation, in addition to those generated for each parameter."""

CHECKS = ",".join(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "missing_required_header",
        "unsupported_method",
        "allow_header_conformance",
        "ignored_auth",
    ]
)
"""All checks except that valid data is accepted: a document cannot say which cursor, name or secret is valid."""

FORM = "application/x-www-form-urlencoded"


class Operations:
    """Sends requests by operation id and validates each response."""

    def __init__(self, document: Any, base_url: str) -> None:
        self._document = document
        self._base_url = base_url

    def __call__(self, name: str, status: int, *, auth: tuple[str, str] | str | None = None, **parts: Any) -> Any:
        case = self._document.find_operation_by_id(name).Case(**parts)
        headers = {"Authorization": f"Bearer {auth}"} if isinstance(auth, str) else None
        basic = auth if isinstance(auth, tuple) else None
        response = case.call(base_url=self._base_url, headers=headers, auth=basic, timeout=TIMEOUT)
        check(response.status_code == status, f"{name} returned {response.status_code}")
        try:
            # Without the check that repeats the request without credentials, which would execute it twice.
            case.validate_response(response, excluded_checks=[schemathesis.checks.CHECKS.get_one("ignored_auth")])
        except Exception as error:
            raise CheckFailed(f"{name} does not conform to the document: {error}") from error
        return response.json() if response.content else None


def check_lifecycles(public: Operations, admin: Operations, token: str) -> None:
    """Clients of every token format with all settings, their tokens, and the keys."""
    settings: dict[str, dict[str, Any]] = {
        "paseto": {},
        "jwt": {"signing_alg": "PS256"},
        "opaque": {"token_ledger": "durable"},
    }
    for number, (token_format, more) in enumerate(settings.items()):
        client_id = f"life-{number}"
        body = {
            "client_id": client_id,
            "scope": "read write",
            "audience": ["https://api.example.com"],
            "token_format": token_format,
            "claims": {"tenant": {"name": "acme", "tiers": [1, None]}},
            "rate_limits": {"token": "1000/s:2000"},
            "quotas": {"day": 1000},
        } | more
        created = admin("createClient", 201, auth=token, body=body)
        client = Client(client_id, created["client_secret"])
        request = {"grant_type": "client_credentials", "scope": "read"}
        issued = public("issueToken", 200, auth=client.basic, body=request, media_type=FORM)["access_token"]
        result = public("introspectToken", 200, auth=client.basic, body={"token": issued}, media_type=FORM)
        check(result["active"] is True, f"a new {token_format} token is not active")
        batch = public("introspectTokens", 200, auth=client.basic, body={"tokens": [issued, "no token"]})
        check([one["active"] for one in batch] == [True, False], "batch results are not in the order of the request")
        path = {"client_id": client_id}
        listed = admin("listTokens", 200, auth=token, path_parameters=path)["items"]
        check([one["active"] for one in listed] == [True], "the list of tokens does not contain exactly the active token")
        jti = {"jti": listed[0]["jti"]}
        admin("getToken", 200, auth=token, path_parameters=jti)
        public("revokeToken", 200, auth=client.basic, body={"token": issued}, media_type=FORM)
        admin("revokeTokenById", 200, auth=token, path_parameters=jti)
        bulk = {"client_id": client_id, "count": 2}
        check(len(admin("issueTokens", 200, auth=token, body=bulk)["tokens"]) == 2, "bulk issuance did not return two tokens")
        admin("getClientUsage", 200, auth=token, path_parameters=path)
        admin("updateClient", 200, auth=token, path_parameters=path, body={"client_name": "Life", "claims": None})
        for operation in ["disableClient", "enableClient", "getClient", "revokeTokensOfClient"]:
            admin(operation, 200, auth=token, path_parameters=path)
        admin("rotateClientSecret", 200, auth=token, path_parameters=path, body={"overlap_seconds": 0})
    admin("createClient", 409, auth=token, body={"client_id": "life-0"})
    admin("topClients", 200, auth=token)
    listed_clients = admin("listClients", 200, auth=token, query={"prefix": "life-"})["items"]
    check(len(listed_clients) == 3, "the list of clients does not contain three clients")
    kid = admin("rotateKeys", 200, auth=token, body={"algorithm": "ES256"})["items"][0]["kid"]
    for operation in ["getJwks", "getPasetoKeys", "getMetadata"]:
        public(operation, 200)
        public(operation, 304, headers={"If-None-Match": "*"})
    check(len(admin("listKeys", 200, auth=token)["items"]) > 2, "the list of keys is incomplete")
    admin("revokeKey", 200, auth=token, path_parameters={"kid": kid})
    check(bool(admin("listAudit", 200, auth=token)["next_cursor"] is None), "the only page of the audit log has a next_cursor")
    check_rejections(public, admin, token)
    for number in range(len(settings)):
        admin("deleteClient", 204, auth=token, path_parameters={"client_id": f"life-{number}"})


def check_rejections(public: Operations, admin: Operations, token: str) -> None:
    """A client with a rate limit of one request per hour, and request bodies that are too large."""
    client_id = "life-limited"
    body = {"client_id": client_id, "rate_limits": {"token": "1/h", "introspection": "1/h", "revocation": "1/h"}}
    limited = Client(client_id, admin("createClient", 201, auth=token, body=body)["client_secret"])
    request = {"token": "no token"}
    for status in [200, 429]:
        public("issueToken", status, auth=limited.basic, body={"grant_type": "client_credentials"}, media_type=FORM)
        public("introspectToken", status, auth=limited.basic, body=request, media_type=FORM)
        public("revokeToken", status, auth=limited.basic, body=request, media_type=FORM)
    public("introspectTokens", 429, auth=limited.basic, body={"tokens": ["no token"]})
    large = "x" * 20_000
    public("introspectToken", 413, auth=limited.basic, body={"token": large}, media_type=FORM)
    admin("createClient", 413, auth=token, body={"client_name": large})
    admin("deleteClient", 204, auth=token, path_parameters={"client_id": client_id})


def check_generated_requests(document: str, base_url: str, paths: str, *auth: str) -> None:
    program = str(Path(sys.executable).with_name("schemathesis"))
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            [program, "run", document, "--url", base_url, "--include-path-regex", paths, *auth]
            + ["--checks", CHECKS, "--max-examples", str(EXAMPLES), "--phases", "examples,coverage,fuzzing"]
            + ["--seed", "1", "--generation-deterministic"]
            + ["--request-timeout", str(TIMEOUT), "--warnings", "off", "--no-color"],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    check(done.returncode == 0, f"schemathesis fails for {paths}:\n{done.stdout}")


def main() -> str:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ["issuer", "management", "client", "secret", "admin-token"]:
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    url = f"{args.management}/openapi.json"
    document = schemathesis.openapi.from_dict(requests.get(url, timeout=TIMEOUT).json())
    public, admin = Operations(document, args.issuer), Operations(document, args.management)
    check_lifecycles(public, admin, args.admin_token)
    check_generated_requests(url, args.issuer, PUBLIC, "--auth", f"{args.client}:{args.secret}")
    check_generated_requests(url, args.management, MANAGEMENT, "--header", f"Authorization: Bearer {args.admin_token}")
    return "every response conforms to the document"


if __name__ == "__main__":
    run_and_exit(main)
