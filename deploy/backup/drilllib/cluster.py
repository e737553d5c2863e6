"""A private Postgres on loopback, set up with the files of deploy/postgres."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

from .scratch import Failed, Scratch, free_port, last_lines

HOST = "localhost"
ROLES = ("oauth2_owner", "oauth2_server", "oauth2_readonly", "oauth2_backup", "oauth2_replication")


def debian_binaries() -> Path | None:
    """The newest Postgres of Debian's packages, or the one of PG_BINARIES."""
    if os.environ.get("PG_BINARIES"):
        return Path(os.environ["PG_BINARIES"])
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Cluster:
    """One Postgres. `server_binaries` run it; `tools` are psql, pg_dump and so on, which a package of the server alone lacks."""

    def __init__(self, scratch: Scratch, name: str, server_binaries: Path, tools: Path, settings: dict | None = None, group: str = "") -> None:
        self.scratch, self.name, self.server_binaries, self.tools = scratch, name, server_binaries, tools
        self.data = scratch.path / name / "data"
        self.log = scratch.path / name / "log"
        self.sockets = scratch.directory(f"{name}/s")
        # Clusters of one group, such as a primary and its standby, have the same passwords and certificate authority.
        self.secrets = scratch.path / (group or name) / "secrets"
        self.certificates = scratch.path / (group or name) / "certificates"
        self.port = free_port()
        self.settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.sockets), "max_connections": "60"} | (settings or {})
        self.process: subprocess.Popen | None = None

    def create(self, hba: str | None = None, conf: tuple[str, ...] = ("oauth2.conf", "primary.conf")) -> None:
        """Initializes the cluster with the configuration of deploy/postgres, and a certificate for the name `localhost`."""
        self.scratch.must([self.server_binaries / "initdb", "--pgdata", self.data, "--username", "postgres", "--auth", "scram-sha-256", "--auth-local",
                           "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"])
        self.scratch.must([self.scratch.deploy / "postgres/make-certificates", self.certificates, HOST])
        for source, target in ((f"{HOST}.crt", "server.crt"), (f"{HOST}.key", "server.key")):
            self.scratch.must(["cp", "-p", self.certificates / source, self.data / target])
        for name in conf:
            self.scratch.must(["cp", self.scratch.deploy / "postgres/conf" / name, self.data / name])
        with open(self.data / "postgresql.conf", "a") as file:
            file.writelines(f"include '{name}'\n" for name in conf)
        self.write_hba(hba)

    def write_hba(self, text: str | None = None) -> None:
        """pg_hba.conf of deploy/postgres, with the networks of the example replaced by loopback, and `peer` by `trust`: the check runs as root."""
        shipped = (self.scratch.deploy / "postgres/conf/pg_hba.conf").read_text()
        text = text or re.sub(r"10\.0\.\d\.0/24", "127.0.0.1/32", shipped).replace("peer", "trust")
        (self.data / "pg_hba.conf").write_text(text)

    def start(self, seconds: float = 60) -> None:
        options = [part for key, value in self.settings.items() for part in ("-c", f"{key}={value}")]
        self.process = self.scratch.start([self.server_binaries / "postgres", "-D", self.data, "-p", self.port, *options], self.log)
        self.wait(seconds)

    def wait(self, seconds: float = 60) -> None:
        """Waits until the cluster answers."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process is not None and self.process.poll() is not None:
                raise Failed(f"Postgres {self.name} ended: {last_lines(self.log.read_text())}")
            if self.run("SELECT 1").returncode == 0:
                return
            time.sleep(0.05)
        raise Failed(f"Postgres {self.name} does not answer: {last_lines(self.log.read_text())}")

    def stop(self, how: int = signal.SIGINT) -> None:
        if self.process is not None:
            self.scratch.end(self.process, how)

    def libpq(self, role: str = "postgres", database: str = "postgres", **more: str) -> dict:
        """Variables of libpq. Roles connect over TLS with the whole check of the certificate; the superuser by the socket."""
        base = {"PGPORT": str(self.port), "PGUSER": role, "PGDATABASE": database, "PG_BINARIES": str(self.tools), "PGCONNECT_TIMEOUT": "5",
                "PATH": f"{self.tools}:{os.environ.get('PATH', '/usr/bin:/bin')}"}
        if role == "postgres":
            base["PGHOST"] = str(self.sockets)
        else:
            base |= {"PGHOST": HOST, "PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(self.certificates / "ca.crt"), "PGPASSFILE": str(self.passfile())}
        return base | more

    def passfile(self) -> Path:
        """Written each time: a password may have been changed."""
        return self.scratch.file(f"{self.name}/pgpass", "".join(f"*:*:*:{role}:{self.password(role)}\n" for role in ROLES))

    def password(self, role: str) -> str:
        return (self.secrets / role).read_text().strip()

    def run(self, sql: str, role: str = "postgres", database: str = "postgres", **more: str) -> subprocess.CompletedProcess:
        return self.scratch.run([self.tools / "psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", sql], self.libpq(role, database, **more))

    def ask(self, sql: str, role: str = "postgres", database: str = "postgres") -> str:
        done = self.run(sql, role, database)
        if done.returncode != 0:
            raise Failed(f"{sql[:80]}: {last_lines(done.stderr)}")
        return done.stdout.strip()

    def file(self, path: Path, role: str = "postgres", database: str = "oauth2") -> str:
        return self.scratch.must([self.tools / "psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-f", path], self.libpq(role, database))

    def create_roles(self, database: str = "oauth2") -> None:
        self.scratch.must([self.scratch.deploy / "postgres/create-roles", self.secrets, database], self.libpq())

    def grant(self, database: str = "oauth2", role: str = "oauth2_owner") -> None:
        self.file(self.scratch.deploy / "postgres/privileges.sql", role, database)

    def url(self, role: str, database: str = "oauth2", hosts: str = "", parameters: str = "") -> str:
        """A URL without a password: it comes from OAUTH2_DATABASE_PASSWORD_FILE."""
        tls = f"sslmode=verify-full&sslrootcert={self.certificates / 'ca.crt'}"
        return f"postgres://{role}@{hosts or f'{HOST}:{self.port}'}/{database}?{parameters or tls}"
