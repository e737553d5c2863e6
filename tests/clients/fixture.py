"""Registers the clients of the checks with two running servers, imports the keys that the languages generated, and writes what the
checks need to a JSON file that only its owner can read. Standard library only.

usage: fixture.py BINARY MAIN_SERVER IMPORT_SERVER KEYS OUTPUT

MAIN_SERVER and IMPORT_SERVER: the working directories of the servers, each with a file `environment` of KEY=VALUE lines. KEYS: a
directory of private keys in files named LANGUAGE.ALG.NAME.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

Json = dict[str, Any]

AUDIENCE = "https://api.example"
JWT: Json = {"scope": "read write", "token_format": "jwt", "audience": [AUDIENCE]}

CLIENTS: dict[str, Json] = {
    "es256-jwt": JWT | {"signing_alg": "ES256", "token_typ": "JWT"},
    "rs256-jwt": JWT | {"signing_alg": "RS256", "token_typ": "JWT"},
    "es256": JWT | {"signing_alg": "ES256"},
    "eddsa": JWT | {"signing_alg": "EdDSA"},
    "ed25519": JWT | {"signing_alg": "Ed25519"},
    "rs256": JWT | {"signing_alg": "RS256"},
    "ps256": JWT | {"signing_alg": "PS256"},
    "hs256": JWT | {"signing_alg": "HS256"},
    # Neither has a signing_alg, so they show which one is the default.
    "default-alg": JWT,
    "stateless": JWT | {"token_ledger": "stateless", "token_typ": "JWT"},
    "other-audience": JWT | {"token_typ": "JWT", "audience": ["https://other.example"]},
    "opaque": {"scope": "read write", "token_format": "opaque", "audience": [AUDIENCE]},
    "api": {"introspection_audiences": [AUDIENCE]},
}

PASSPHRASE = "correct horse"
"""Of the keys whose names end with `-encrypted`."""

IMPORT_DEADLINE = 10.0
"""Seconds after which a running server must sign with a key that was imported as published. It follows within a second."""


class Server:
    def __init__(self, binary: str, directory: Path) -> None:
        self.binary, self.directory = binary, directory
        lines = (directory / "environment").read_text().splitlines()
        self.environment = dict(line.split("=", 1) for line in lines)
        self.issuer = f"http://127.0.0.1:{self.environment['OAUTH2_SERVER_PORT']}"
        self.management = f"http://127.0.0.1:{self.environment['OAUTH2_MANAGEMENT_PORT']}"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def _send(self, url: str, body: bytes, headers: dict[str, str]) -> Json:
        with self._opener.open(urllib.request.Request(url, body, headers), timeout=30) as response:
            answer: Json = json.load(response)
        return answer

    def register(self, client_id: str, metadata: Json) -> Json:
        token = (self.directory / "data/admin_token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        body = json.dumps({"client_id": client_id, **metadata}).encode()
        answer = self._send(f"{self.management}/admin/v1/clients", body, headers)
        return {name: answer[name] for name in ["client_id", "client_secret"]}

    def token(self, client: Json) -> str:
        form = urllib.parse.urlencode({"grant_type": "client_credentials", **client}).encode()
        answer = self._send(f"{self.issuer}/oauth/token", form, {"Content-Type": "application/x-www-form-urlencoded"})
        token: str = answer["access_token"]
        return token

    def import_key(self, file: Path, algorithm: str) -> str:
        """Imports a key with the command line, next to the running server, and returns its kid."""
        command = [self.binary, "key", "import", str(file), "--published", "--json"]
        if algorithm in ["EdDSA", "RS256"]:
            command += ["--alg", algorithm]
        if file.name.endswith("-encrypted"):
            passphrase = self.directory / "passphrase"
            passphrase.write_text(f"{PASSPHRASE}\n")
            passphrase.chmod(0o600)
            command += ["--passphrase-file", str(passphrase)]
        done = subprocess.run(command, cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise ValueError(f"exit code {done.returncode}: {done.stderr.strip()}")
        kid: str = json.loads(done.stdout)["items"][0]["kid"]
        return kid


def kid_in(token: str) -> str:
    header = token.split(".")[0]
    kid: str = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]
    return kid


def sign_with_imported(server: Server, file: Path, clients: dict[str, Json]) -> Json:
    """Imports a key, and returns a token that it signed."""
    language, algorithm, name = file.name.split(".", 2)
    kid = server.import_key(file, algorithm)
    deadline = time.monotonic() + IMPORT_DEADLINE
    while time.monotonic() < deadline:
        token = server.token(clients[algorithm])
        if kid_in(token) == kid:
            return {"language": language, "name": f"{algorithm} {name}", "alg": algorithm, "kid": kid, "token": token}
        time.sleep(0.02)
    raise ValueError("the server does not sign with the imported key")


def main() -> int:
    binary, main_directory, import_directory, keys, output = sys.argv[1:]
    server, importer = Server(binary, Path(main_directory)), Server(binary, Path(import_directory))
    clients = {name: server.register(name, metadata) for name, metadata in CLIENTS.items()}
    signers = {alg: importer.register(alg.lower(), JWT | {"signing_alg": alg}) for alg in ["ES256", "EdDSA", "RS256"]}
    imported, failed = [], False
    for file in sorted(Path(keys).iterdir()):
        language, algorithm, name = file.name.split(".", 2)
        try:
            imported.append(sign_with_imported(importer, file, signers))
        except ValueError as error:
            failed = True
            print(f"FAILED {language} key: key import takes {algorithm} {name}: {error}")
        else:
            print(f"ok {language} key: key import takes {algorithm} {name}")
    fixture = {
        "issuer": server.issuer,
        "audience": AUDIENCE,
        "shared_secret": server.environment["OAUTH2_JWT_SECRET"],
        "clients": clients,
        "import_issuer": importer.issuer,
        "imported": imported,
    }
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(fixture, file, indent=1)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
