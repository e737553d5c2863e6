"""The API server authenticates machine clients by access tokens of the real server, with the configuration of docs/frameworks/kubernetes.md."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

from cluster import Cluster, free_port
from report import CheckError, Report
from tools import ROOT, Object, binary, one_line, output

PAGE = ROOT / "tests/clients/kubernetes"
AUDIENCE = "https://kubernetes.example"
DEPLOYER = ["--scope", "deploy read", "--audience", AUDIENCE]
#: By id, the options of `client create`.
CLIENTS = {
    "deployer": DEPLOYER,
    "deployer-rs256": [*DEPLOYER, "--signing-alg", "RS256"],
    "deployer-jwt": [*DEPLOYER, "--token-typ", "JWT"],
    "deployer-eddsa": [*DEPLOYER, "--signing-alg", "EdDSA"],
    "no-scope": ["--audience", AUDIENCE],
    "other-audience": ["--scope", "deploy", "--audience", "https://other.example"],
}


class Issuer:
    """The server on SQLite, with https, and clients of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        port = free_port()
        self.url = f"https://127.0.0.1:{port}"
        self.certificate = directory / "certificate.pem"
        names = ["-subj", "/CN=auth.example", "-addext", "subjectAltName=IP:127.0.0.1"]
        output(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *names, "-keyout", directory / "key.pem", "-out", self.certificate])
        (directory / "key.pem").chmod(0o600)
        self.environment = {
            "PATH": os.environ["PATH"],
            "OAUTH2_ISSUER": self.url,
            "OAUTH2_SERVER_PORT": str(port),
            "OAUTH2_MANAGEMENT_PORT": str(free_port()),
            "OAUTH2_SERVER_TLS_CERTIFICATE_FILE": str(self.certificate),
            "OAUTH2_SERVER_TLS_KEY_FILE": str(directory / "key.pem"),
            "OAUTH2_SERVER_DRAIN_DELAY": "0",
        }
        self.trusted = ssl.create_default_context(cafile=str(self.certificate))
        with open(directory / "log", "wb") as log:
            self.process = subprocess.Popen(
                [str(binary())], env=self.environment, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )  # fmt: skip
        self._wait_ready()
        self.secrets = {name: self._create(name, options) for name, options in CLIENTS.items()}

    def _wait_ready(self) -> None:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{self.url}/ready", timeout=2, context=self.trusted):
                    return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        raise CheckError(f"the server is not ready: {one_line((self.directory / 'log').read_text()[-600:])}")

    def _create(self, name: str, options: list[str]) -> str:
        command: list[str | Path] = [binary(), "client", "create", "--id", name, "--grant", "client_credentials", "--format", "jwt", *options, "--json"]
        secret: str = json.loads(output(command, env=self.environment, cwd=self.directory))["client_secret"]
        return secret

    def token(self, name: str) -> str:
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "client_id": name, "client_secret": self.secrets[name]}).encode()
        with urllib.request.urlopen(f"{self.url}/oauth/token", form, timeout=10, context=self.trusted) as response:
            token: str = json.load(response)["access_token"]
        return token

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


class ByTokens:
    """An API server with options for authentication."""

    def __init__(self, issuer: Issuer, directory: Path, options: list[str]) -> None:
        self.issuer, self.cluster = issuer, Cluster(directory)
        directory.mkdir()
        self.cluster.start(*options, resources=False)
        # It fetches the metadata and the keys in the background, and is ready before.
        for _ in range(150):
            if self.groups("deployer") is not None:
                return
            time.sleep(0.2)
        log = (directory / "kube-apiserver.log").read_text()
        raise CheckError(f"tokens are not accepted within 30 s: {one_line(' '.join(line for line in log.splitlines() if 'oidc' in line)[-600:])}")

    def groups(self, client: str, token: str | None = None) -> list[str] | None:
        """The groups of the user that a token is for, whose name must be that of the client; None if it is rejected."""
        done = self.cluster.try_kubectl("--token", token or self.issuer.token(client), "auth", "whoami", "-o", "json")
        if done.returncode != 0:
            return None
        user: Object = json.loads(done.stdout)["status"]["userInfo"]
        if user["username"] != f"oauth2:{client}":
            raise CheckError(f"the user of {client} is {user['username']}")
        return [group for group in user["groups"] if group != "system:authenticated"]

    def require(self, client: str, wanted: list[str] | None, token: str | None = None) -> None:
        found = self.groups(client, token)
        if found != wanted:
            raise CheckError(f"the token of {client} gives the groups {found}, not {wanted} (None: rejected)")

    def require_rejections(self) -> None:
        self.require("deployer-eddsa", None)
        self.require("other-audience", None)
        token = self.issuer.token("deployer")
        start = token.rindex(".") + 1
        self.require("deployer", None, token[:start] + ("B" if token[start] == "A" else "A") + token[start + 1 :])

    def require_rights(self) -> None:
        """A RoleBinding for the user and one for a group, which a scope is, give their rights and no others."""
        kubectl = self.cluster.kubectl
        kubectl("create", "clusterrole", "pods", "--verb=create", "--resource=pods")
        kubectl("create", "clusterrole", "reader", "--verb=list", "--resource=services")
        kubectl("create", "rolebinding", "deployer", "--clusterrole=pods", "--user=oauth2:deployer")
        kubectl("create", "rolebinding", "readers", "--clusterrole=reader", "--group=oauth2:read")
        for client, verb, resource, allowed in [
            ("deployer", "create", "pods", True),
            ("deployer", "list", "services", True),
            ("deployer-jwt", "create", "pods", False),
            ("deployer-jwt", "list", "services", True),
            ("no-scope", "list", "services", False),
            ("deployer", "delete", "pods", False),
        ]:
            # Its exit code is 1 for no.
            answer = self.cluster.try_kubectl("--token", self.issuer.token(client), "auth", "can-i", verb, resource).stdout.strip()
            if (answer == "yes") != allowed:
                raise CheckError(f"may {client} {verb} {resource}? {answer or 'no answer'}")


def check_configuration(issuer: Issuer, directory: Path) -> str:
    configuration = yaml.safe_load((PAGE / "authentication.yaml").read_text())
    configuration["jwt"][0]["issuer"] |= {"url": issuer.url, "certificateAuthority": issuer.certificate.read_text()}
    file = directory.parent / "authentication.yaml"
    file.write_text(yaml.safe_dump(configuration))
    server = ByTokens(issuer, directory, [f"--authentication-config={file}"])
    try:
        for client in ["deployer", "deployer-rs256", "deployer-jwt"]:
            server.require(client, ["oauth2:deploy", "oauth2:read"])
        server.require("no-scope", [])
        server.require_rejections()
        server.require_rights()
    finally:
        server.cluster.stop()
    return "ES256 and RS256 tokens of either typ are users with their scopes as groups, which RoleBindings name; EdDSA, a changed signature and another audience are rejected"


def check_flags(issuer: Issuer, directory: Path) -> str:
    flags = (PAGE / "flags.txt").read_text().replace("https://auth.example", issuer.url).split()
    server = ByTokens(issuer, directory, [*flags, f"--oidc-ca-file={issuer.certificate}"])
    try:
        server.require("deployer", [])
        server.require("deployer-rs256", None)
        server.require_rejections()
    finally:
        server.cluster.stop()
    return "ES256 tokens are users; RS256, EdDSA, a changed signature and another audience are rejected"


def check_tokens(report: Report, directory: Path) -> None:
    """One line per form of the configuration."""
    try:
        issuer = Issuer(directory / "issuer")
        try:
            report.ok(f"access tokens by AuthenticationConfiguration: {check_configuration(issuer, directory / 'by-configuration')}")
            report.ok(f"access tokens by flags: {check_flags(issuer, directory / 'by-flags')}")
        finally:
            issuer.stop()
    except CheckError as error:
        report.failed("access tokens", str(error))
