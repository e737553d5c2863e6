"""Lets schemathesis hold a running server against its own API document.

First whole lives of clients, tokens and keys, since what is made up at random is hardly ever a token that holds; then both
listeners with what schemathesis makes of the document: no answer is a 5xx, and every answer is as the document says.
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

from common import TIMEOUT, CheckFailed, Client, check, conclude

MANAGEMENT = r"^/(admin/|metrics|openapi\.json|health|ready)"
PUBLIC = r"^/(oauth/|\.well-known/|health|ready)"

EXAMPLES = 10
"""What is made up for each operation, beside what is sent for each of its parameters in turn."""

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
"""All but whether good data is taken: which cursor, name or secret is good, no document can say."""

FORM = "application/x-www-form-urlencoded"


class Operations:
    """Requests by the document's names for them, each answer held against it."""

    def __init__(self, document: Any, base_url: str) -> None:
        self._document = document
        self._base_url = base_url

    def __call__(self, name: str, status: int, *, auth: tuple[str, str] | str | None = None, **parts: Any) -> Any:
        case = self._document.find_operation_by_id(name).Case(**parts)
        headers = {"Authorization": f"Bearer {auth}"} if isinstance(auth, str) else None
        basic = auth if isinstance(auth, tuple) else None
        response = case.call(base_url=self._base_url, headers=headers, auth=basic, timeout=TIMEOUT)
        check(response.status_code == status, f"{name} answered {response.status_code}")
        try:
            # All but the check that asks again without credentials, which would do what was asked twice.
            case.validate_response(response, excluded_checks=[schemathesis.checks.CHECKS.get_one("ignored_auth")])
        except Exception as error:
            raise CheckFailed(f"{name} is not as the document says: {error}") from error
        return response.json() if response.content else None


def lives(public: Operations, admin: Operations, token: str) -> None:
    """Clients of every format and what may be said of one, their tokens, and the keys."""
    settings: dict[str, dict[str, Any]] = {
        "paseto": {},
        "jwt": {"signing_alg": "PS256"},
        "opaque": {"token_ledger": "durable"},
    }
    for number, (form, more) in enumerate(settings.items()):
        client_id = f"life-{number}"
        body = {
            "client_id": client_id,
            "scope": "read write",
            "audience": ["https://api.example.com"],
            "token_format": form,
            "claims": {"tenant": {"name": "acme", "tiers": [1, None]}},
            "rate_limits": {"token": "1000/s:2000"},
            "quotas": {"day": 1000},
        } | more
        made = admin("createClient", 201, auth=token, body=body)
        client = Client(client_id, made["client_secret"])
        asked = {"grant_type": "client_credentials", "scope": "read"}
        issued = public("issueToken", 200, auth=client.basic, body=asked, media_type=FORM)["access_token"]
        told = public("introspectToken", 200, auth=client.basic, body={"token": issued}, media_type=FORM)
        check(told["active"] is True, f"a fresh {form} token is not active")
        batch = public("introspectTokens", 200, auth=client.basic, body={"tokens": [issued, "no token"]})
        check([one["active"] for one in batch] == [True, False], "a batch is not told in its order")
        path = {"client_id": client_id}
        listed = admin("listTokens", 200, auth=token, path_parameters=path)["items"]
        check([one["active"] for one in listed] == [True], "a token is not listed")
        jti = {"jti": listed[0]["jti"]}
        admin("getToken", 200, auth=token, path_parameters=jti)
        public("revokeToken", 200, auth=client.basic, body={"token": issued}, media_type=FORM)
        admin("revokeTokenById", 200, auth=token, path_parameters=jti)
        ordered = {"client_id": client_id, "count": 2}
        check(len(admin("issueTokens", 200, auth=token, body=ordered)["tokens"]) == 2, "two tokens are not two")
        admin("getClientUsage", 200, auth=token, path_parameters=path)
        admin("updateClient", 200, auth=token, path_parameters=path, body={"client_name": "Life", "claims": None})
        for operation in ["disableClient", "enableClient", "getClient", "revokeTokensOfClient"]:
            admin(operation, 200, auth=token, path_parameters=path)
        admin("rotateClientSecret", 200, auth=token, path_parameters=path, body={"overlap_seconds": 0})
    admin("createClient", 409, auth=token, body={"client_id": "life-0"})
    admin("topClients", 200, auth=token)
    check(len(admin("listClients", 200, auth=token, query={"prefix": "life-"})["items"]) == 3, "three clients are not three")
    kid = admin("rotateKeys", 200, auth=token, body={"algorithm": "ES256"})["items"][0]["kid"]
    for operation in ["getJwks", "getPasetoKeys", "getMetadata"]:
        public(operation, 200)
        public(operation, 304, headers={"If-None-Match": "*"})
    check(len(admin("listKeys", 200, auth=token)["items"]) > 2, "the keys are not listed")
    admin("revokeKey", 200, auth=token, path_parameters={"kid": kid})
    check(bool(admin("listAudit", 200, auth=token)["next_cursor"] is None), "the audit log has no end")
    refused(public, admin, token)
    for number in range(len(settings)):
        admin("deleteClient", 204, auth=token, path_parameters={"client_id": f"life-{number}"})


def refused(public: Operations, admin: Operations, token: str) -> None:
    """A client that may ask once an hour, and bodies that are too large."""
    body = {"client_id": "life-limited", "rate_limits": {"token": "1/h", "introspection": "1/h", "revocation": "1/h"}}
    limited = Client(body["client_id"], admin("createClient", 201, auth=token, body=body)["client_secret"])
    asked = {"token": "no token"}
    for status in [200, 429]:
        public("issueToken", status, auth=limited.basic, body={"grant_type": "client_credentials"}, media_type=FORM)
        public("introspectToken", status, auth=limited.basic, body=asked, media_type=FORM)
        public("revokeToken", status, auth=limited.basic, body=asked, media_type=FORM)
    public("introspectTokens", 429, auth=limited.basic, body={"tokens": ["no token"]})
    large = "x" * 20_000
    public("introspectToken", 413, auth=limited.basic, body={"token": large}, media_type=FORM)
    admin("createClient", 413, auth=token, body={"client_name": large})
    admin("deleteClient", 204, auth=token, path_parameters={"client_id": "life-limited"})


def made_up(document: str, base_url: str, paths: str, *auth: str) -> None:
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
    check(done.returncode == 0, f"schemathesis says of {paths}:\n{done.stdout}")


def main() -> str:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ["issuer", "management", "client", "secret", "admin-token"]:
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    url = f"{given.management}/openapi.json"
    document = schemathesis.openapi.from_dict(requests.get(url, timeout=TIMEOUT).json())
    public, admin = Operations(document, given.issuer), Operations(document, given.management)
    lives(public, admin, given.admin_token)
    made_up(url, given.issuer, PUBLIC, "--auth", f"{given.client}:{given.secret}")
    made_up(url, given.management, MANAGEMENT, "--header", f"Authorization: Bearer {given.admin_token}")
    return "every answer is as the document says"


if __name__ == "__main__":
    conclude(main)
