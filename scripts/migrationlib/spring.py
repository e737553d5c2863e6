"""Spring Authorization Server, built with Maven, with its clients in Postgres."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import ClassVar

from edge.postgres import initdb_path, start_postgres
from edge.programs import ROOT, run, wait_until_listening
from edge.report import NotRun

from .products import Product

SOURCE = ROOT / "scripts/migrationlib/spring"
#: The table of clients, as the library ships it.
SCHEMA = "classpath:org/springframework/security/oauth2/server/authorization/client/oauth2-registered-client-schema.sql"


class Spring(Product):
    name = "spring"
    importer = "spring"
    token_path = "/oauth2/token"
    parameters = {"scope": "read"}
    settings = ["--set-default", "access_token_lifetime=300"]
    #: Version 1.5 of the authorization server.
    boot: ClassVar[str] = "3.5.7"
    #: A client per encoder.
    encoders: ClassVar[dict[str, str]] = {"billing": "bcrypt", "reports": "pbkdf2@SpringSecurity_v5_8", "worker": "argon2@SpringSecurity_v5_8",
                                          "archive": "scrypt@SpringSecurity_v5_8", "legacy": "pbkdf2", "probe": "noop"}
    clients = {name: f"{name}-secret-with-enough-characters" for name in encoders}
    # A verification takes a tenth of a second of a core.
    pause = 0.5
    # Spring writes scopes as a list, and grants none without the parameter.
    accepted = ["discovery.token_endpoint", "discovery.introspection_endpoint", "discovery.jwks_uri", "discovery.revocation_endpoint",
                "introspection.old_token_at_new", "without_scope.scope", "token.claim.scope.type"]

    def start(self) -> None:
        if not shutil.which("mvn") or not shutil.which("java"):
            raise NotRun("there is no Maven or no Java: run scripts/setup --clients")
        if initdb_path() is None:
            raise NotRun("there is no Postgres")
        classes = self.build()
        self.postgres = start_postgres(self.programs, self.home)
        lines = [f"{name} {self.encoders[name]} {secret}" for name, secret in self.clients.items()]
        (self.home / "clients").write_text("\n".join(lines))
        properties = {
            "server.port": self.port, "server.address": "127.0.0.1", "spring.security.oauth2.authorizationserver.issuer": self.public,
            "spring.datasource.url": f"jdbc:postgresql://127.0.0.1:{self.postgres.port}/{self.postgres.database}",
            "spring.datasource.username": self.postgres.user, "spring.datasource.password": self.postgres.password,
            "spring.sql.init.mode": "always", "spring.sql.init.schema-locations": SCHEMA,
            "clients": self.home / "clients", "jwks": self.home / "jwks.json",
        }
        (self.home / "application.properties").write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        command = ["java", "-Xmx384m", "-cp", classes, "issuer.Issuer"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home)}
        process = self.programs.start([*command], self.home / "log", env=environment, cwd=self.home)
        wait_until_listening(process, self.port, self.home / "log", 120)
        self.key = (self.home / "jwks.json", "spring-2025")

    def build(self) -> str:
        """The class path of the application."""
        output = ROOT / "target/migration" / f"spring-boot-{self.boot}"
        code, text = run(["mvn", "-q", "-B", "-Dstyle.color=never", f"-Dboot={self.boot}", f"-Doutput={output}", "-f", SOURCE / "pom.xml",
                          "compile"], timeout=400, cwd=SOURCE)
        if code:
            raise RuntimeError(f"mvn: {text[-400:]}")
        return f"{output}/classes:{(output / 'classpath').read_text().strip()}"

    def export(self) -> Path:
        """By the page's command."""
        target = self.home / "oauth2_registered_client.csv"
        code, text = run([self.postgres.binaries / "psql", self.postgres.url, "-c",
                          "\\copy (SELECT * FROM oauth2_registered_client) TO oauth2_registered_client.csv CSV HEADER"], cwd=self.home)
        if code:
            raise RuntimeError(text[-400:])
        return target


class Spring7(Spring):
    """The authorization server as a part of Spring Security 7, which writes settings with another version of Jackson."""

    name = "spring-7"
    boot = "4.0.7"
