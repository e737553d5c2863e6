"""The issuers that are migrated. Each starts the real product and exports its clients as docs/migrating.md says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from edge.programs import ROOT, Programs, listens, run, wait_for, wait_until_listening
from edge.report import NotRun
from edge.wire import basic

#: The clients of most rehearsals, and their secrets.
CLIENTS = {"billing": "billing-secret-with-enough-characters", "reports": "reports-secret-with-enough-characters",
           "worker": "worker-secret-with-enough-characters-2"}


def ask(url: str, body: object = None, token: str = "", method: str = "") -> object:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method or ("POST" if data else "GET"))
    with urllib.request.urlopen(request, timeout=20) as response:
        text = response.read()
    return json.loads(text) if text else None


@dataclass
class Product:
    """An issuer of today behind `public`, the URL that clients use."""

    programs: Programs
    public: str
    port: int
    home: Path
    #: The name of the rehearsal.
    name: ClassVar[str]
    #: The name of the importer, as `--from` takes it.
    importer: ClassVar[str]
    token_path: ClassVar[str]
    #: The path of the issuer identifier below `public`.
    issuer_path: ClassVar[str] = ""
    #: Parameters of every token request.
    parameters: ClassVar[dict[str, str]] = {}
    #: Its clients, and their secrets.
    clients: ClassVar[dict[str, str]] = CLIENTS
    #: Seconds between two requests of a client.
    pause: ClassVar[float] = 0.02
    #: Flags of the import.
    settings: ClassVar[list[str]] = []
    #: Differences that are known and accepted before the switch, by their full codes.
    accepted: ClassVar[list[str]] = []
    #: The file with the private keys of the issuer and a kid, if it can export them.
    key: tuple[Path, str] | None = field(default=None, init=False)

    @property
    def issuer(self) -> str:
        return self.public + self.issuer_path

    def start(self) -> None:
        raise NotImplementedError

    def export(self) -> Path:
        raise NotImplementedError


class OidcProvider(Product):
    name = "oidc-provider"
    importer = "oidc-provider"
    token_path = "/token"
    parameters = {"scope": "read", "resource": "https://api.example"}
    settings = ["--set", "token_format=jwt", "--set", "token_typ=at+jwt", "--set", "signing_alg=RS256", "--set", "access_token_lifetime=600",
                "--set", 'audience=["https://api.example"]']
    # It ignores scopes that it does not know, and grants none without the parameter.
    accepted = ["discovery.token_endpoint", "discovery.introspection_endpoint", "discovery.jwks_uri", "without_scope.scope",
                "error.invalid_scope.status", "error.invalid_scope.error", "error.invalid_scope.access_token.missing",
                "error.invalid_scope.expires_in.missing", "error.invalid_scope.token_type.missing"]

    def start(self) -> None:
        packages = Path(os.environ.get("OIDC_PROVIDER_PACKAGES", ROOT / "target/peers"))
        node = shutil.which("node") or packages / "node"
        if not (packages / "node_modules/oidc-provider").is_dir():
            raise NotRun(f"{packages} has no oidc-provider: run scripts/setup")
        clients = [{"client_id": name, "client_secret": secret, "grant_types": ["client_credentials"], "redirect_uris": [],
                    "response_types": [], "scope": "read write", "token_endpoint_auth_method": method}
                   for (name, secret), method in zip(CLIENTS.items(), ["client_secret_basic"] * 3, strict=True)]
        (self.home / "clients.json").write_text(json.dumps({"clients": clients}))
        environment = {"PATH": os.environ["PATH"], "ISSUER": self.public, "PORT": str(self.port), "CLIENTS": str(self.home / "clients.json"),
                       "JWKS": str(self.home / "jwks.json"), "PACKAGES": str(packages)}
        program = ROOT / "scripts/migrationlib/oidc-provider.mjs"
        process = self.programs.start([node, program], self.home / "log", env=environment, cwd=self.home)
        wait_until_listening(process, self.port, self.home / "log")
        self.key = (self.home / "jwks.json", "provider-2025")

    def export(self) -> Path:
        # The configuration that the provider reads is the export.
        return self.home / "clients.json"


class Hydra(Product):
    name = "hydra"
    importer = "hydra"
    token_path = "/oauth2/token"
    parameters = {"scope": "read", "audience": "https://api.example"}
    settings = ["--set-default", "access_token_lifetime=3600", "--set-default", "token_format=jwt", "--set-default", "signing_alg=RS256",
                "--set-default", "token_typ=JWT"]
    # Hydra writes scopes as the list `scp`, and an empty object `ext`. Its introspection is an endpoint of the administrator.
    accepted = ["discovery.token_endpoint", "discovery.revocation_endpoint", "token.claim.scp.missing", "token.claim.ext.missing",
                "without_scope.scope", "error.unsupported_grant.error", "introspection.old_token_at_new"]

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    def start(self) -> None:
        binary = os.environ.get("HYDRA_BINARY") or shutil.which("hydra")
        if not binary:
            raise NotRun("HYDRA_BINARY does not name a hydra")
        self.admin_port = self.programs.free_port()
        self.database = self.home / "hydra.db"
        config = {"dsn": f"sqlite://{self.database}?_fk=true", "urls": {"self": {"issuer": self.public, "public": self.public}},
                  "serve": {"public": {"port": self.port, "host": "127.0.0.1"}, "admin": {"port": self.admin_port, "host": "127.0.0.1"}},
                  "secrets": {"system": ["a-system-secret-of-the-rehearsal"]}, "strategies": {"access_token": "jwt"}}
        # YAML is a superset of JSON.
        (self.home / "hydra.yml").write_text(json.dumps(config))
        code, output = run([binary, "migrate", "sql", "up", "-c", self.home / "hydra.yml", "--yes", "-e"], timeout=120, cwd=self.home)
        if code:
            code, output = run([binary, "migrate", "sql", "-e", "-c", self.home / "hydra.yml", "--yes"], timeout=120, cwd=self.home)
        if code:
            raise RuntimeError(output[-400:])
        process = self.programs.start([binary, "serve", "all", "--dev", "-c", self.home / "hydra.yml"], self.home / "log", cwd=self.home)
        wait_until_listening(process, self.admin_port, self.home / "log")
        wait_for("Hydra being open", lambda: listens(self.port))
        for name, secret in CLIENTS.items():
            ask(f"{self.admin}/admin/clients", {"client_id": name, "client_secret": secret, "grant_types": ["client_credentials"],
                "scope": "read write", "audience": ["https://api.example"], "access_token_strategy": "jwt"})
        # Hydra makes the key set with the first JWT.
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": "read"}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/oauth2/token", form, basic("billing", CLIENTS["billing"]))
        with urllib.request.urlopen(request, timeout=20):
            pass
        keys = ask(f"{self.admin}/admin/keys/hydra.jwt.access-token")
        assert isinstance(keys, dict)
        (self.home / "jwks.json").write_text(json.dumps(keys))
        (self.home / "jwks.json").chmod(0o600)
        # The key of ID tokens, which Hydra makes with the first read of its keys, signs no access token.
        ask(f"http://127.0.0.1:{self.port}/.well-known/jwks.json")
        of_ids = ask(f"{self.admin}/admin/keys/hydra.openid.id-token")
        assert isinstance(of_ids, dict)
        type(self).accepted = [*self.accepted, *(f"jwks.missing_kid.{key['kid']}" for key in of_ids["keys"])]
        self.key = (self.home / "jwks.json", keys["keys"][0]["kid"])

    def export(self) -> Path:
        target = self.home / "hydra_client.csv"
        with open(target, "wb") as file:
            subprocess.run(["sqlite3", "-cmd", ".timeout 5000", "-header", "-csv", str(self.database), "SELECT * FROM hydra_client"], stdout=file, check=True, timeout=30)
        return target


class Keycloak(Product):
    name = "keycloak"
    importer = "keycloak"
    issuer_path = "/realms/acme"
    token_path = "/realms/acme/protocol/openid-connect/token"
    parameters = {"scope": "read"}
    # Claims about users and the session, and members of the response that only Keycloak has.
    accepted = ["discovery.token_endpoint", "discovery.introspection_endpoint", "discovery.jwks_uri", "discovery.revocation_endpoint",
                "token.claim.typ.missing", "token.claim.azp.missing", "token.claim.clientHost.missing", "token.claim.clientAddress.missing",
                "token.claim.sub.value", "response.not-before-policy.missing", "response.refresh_expires_in.missing", "without_scope.scope",
                "error.wrong_secret.error", "introspection.azp.missing", "introspection.typ.missing", "introspection.username.missing",
                "introspection.sub.value", "introspection.old_token_at_new"]

    def start(self) -> None:
        home = os.environ.get("KEYCLOAK_HOME")
        if not home or not shutil.which("java"):
            raise NotRun("KEYCLOAK_HOME does not name a Keycloak, or there is no java")
        # A copy, so that its database is of this run.
        self.installation = self.home / "keycloak"
        shutil.copytree(home, self.installation, ignore=shutil.ignore_patterns("h2"))
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "KC_BOOTSTRAP_ADMIN_USERNAME": "admin",
                            "KC_BOOTSTRAP_ADMIN_PASSWORD": "admin", "JAVA_OPTS_KC_HEAP": "-Xms128m -Xmx512m"}
        self.launch()
        base = f"http://127.0.0.1:{self.port}"
        form = urllib.parse.urlencode({"grant_type": "password", "client_id": "admin-cli", "username": "admin", "password": "admin"})
        with urllib.request.urlopen(f"{base}/realms/master/protocol/openid-connect/token", form.encode(), timeout=20) as response:
            token = json.load(response)["access_token"]
        ask(f"{base}/admin/realms", {"realm": "acme", "enabled": True, "accessTokenLifespan": 600}, token)
        mapper = {"name": "audience", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
                  "config": {"included.custom.audience": "https://api.example", "access.token.claim": "true"}}
        for scope in ("read", "write"):
            ask(f"{base}/admin/realms/acme/client-scopes", {"name": scope, "protocol": "openid-connect", "protocolMappers": [mapper],
                "attributes": {"include.in.token.scope": "true"}}, token)
        for name, secret in CLIENTS.items():
            ask(f"{base}/admin/realms/acme/clients", {"clientId": name, "secret": secret, "serviceAccountsEnabled": True,
                "standardFlowEnabled": False, "publicClient": False, "fullScopeAllowed": False, "defaultClientScopes": ["basic"],
                "optionalClientScopes": ["read", "write"]}, token)
        certs = ask(f"{base}/realms/acme/protocol/openid-connect/certs")
        assert isinstance(certs, dict)
        kid = next(key["kid"] for key in certs["keys"] if key["alg"] == "RS256")
        # With H2, the export needs Keycloak to be stopped.
        self.programs.stop(self.process)
        code, output = run([self.installation / "bin/kc.sh", "export", "--realm", "acme", "--file", self.home / "realm.json"], timeout=120,
                           env=self.environment, cwd=self.home)
        if code:
            raise RuntimeError(output[-400:])
        self.write_key(kid)
        self.launch()

    def launch(self) -> None:
        management = self.programs.free_port()
        command = [self.installation / "bin/kc.sh", "start-dev", f"--http-port={self.port}", "--http-host=127.0.0.1",
                   f"--http-management-port={management}", "--cache=local", f"--hostname={self.public}"]
        self.process = self.programs.start(list(command), self.home / "log", env=self.environment, cwd=self.home)
        wait_for("Keycloak being open", lambda: self.is_up(), 180)

    def write_key(self, kid: str) -> None:
        """The page's command: the signing key of the export as a JWK set."""
        node = shutil.which("node") or str(ROOT / "target/peers/node")
        realm = json.loads((self.home / "realm.json").read_text())
        providers = realm["components"]["org.keycloak.keys.KeyProvider"]
        private = next(key["config"]["privateKey"][0] for key in providers if key["providerId"] == "rsa-generated")
        code = ('const key = require("crypto").createPrivateKey({ key: Buffer.from(process.env.KEY, "base64"), format: "der", type: "pkcs1" });'
                'console.log(JSON.stringify({ ...key.export({ format: "jwk" }), kid: process.env.KID, alg: "RS256", use: "sig" }))')
        jwk = subprocess.run([node, "-e", code], env={"KEY": private, "KID": kid}, check=True, capture_output=True, timeout=30).stdout
        (self.home / "jwks.json").write_text(json.dumps({"keys": [json.loads(jwk)]}))
        (self.home / "jwks.json").chmod(0o600)
        self.key = (self.home / "jwks.json", kid)

    def is_up(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError((self.home / "log").read_text(errors="replace")[-400:])
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/realms/master", timeout=2):
                return True
        except OSError:
            return False

    def export(self) -> Path:
        return self.home / "realm.json"

