"""A private Postgres and Redis, with TLS, for the sandbox."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import time
from pathlib import Path

from report import CheckError
from tools import output, run


class Databases:
    """Both listen on the loopback of the sandbox, on their usual ports."""

    def __init__(self, directory: Path, certificates: Path, max_connections: int) -> None:
        self.directory = directory
        self.certificates = certificates
        self.max_connections = max_connections
        self.database_password = secrets.token_hex(16)
        self.redis_password = secrets.token_hex(16)
        self.programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))[-1]

    def start(self) -> None:
        self._start_postgres()
        self._start_redis()

    def _start_postgres(self) -> None:
        user = pwd.getpwnam("postgres")
        home = self.directory / "postgres"
        home.mkdir()
        for name in ("server.key", "server.crt"):
            shutil.copy(self.certificates / name, home / name)
            (home / name).chmod(0o600)
        (home / "password").write_text(secrets.token_hex(16))
        for path in [home, *home.iterdir()]:
            os.chown(path, user.pw_uid, user.pw_gid)
        as_owner = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        output(
            [self.programs / "initdb", "-D", home / "data", "-U", "owner", "--pwfile", home / "password", "-E", "UTF8", "--locale=C.UTF-8",
             "--auth-local=trust", "--auth-host=scram-sha-256"], **as_owner,
        )
        options = {
            "listen_addresses": "127.0.0.1", "port": "5432", "unix_socket_directories": str(home), "ssl": "on",
            "ssl_cert_file": str(home / "server.crt"), "ssl_key_file": str(home / "server.key"), "max_connections": str(self.max_connections),
        }
        command = [str(self.programs / "postgres"), "-D", str(home / "data")]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with open(self.directory / "postgres.log", "wb") as log:
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **as_owner)
        self._wait(lambda: run([self.programs / "pg_isready", "-q", "-h", home, "-p", "5432"]).returncode == 0, "postgres")
        self.sql(f"CREATE ROLE oauth2 LOGIN PASSWORD '{self.database_password}'")

    def _start_redis(self) -> None:
        key = self.directory / "redis.key"
        shutil.copy(self.certificates / "server.key", key)
        # The rights of docs/nodes.md.
        rights = ("~oauth2_server:* &oauth2_server:* -@all +publish +subscribe +ping +info +select +hello +eval +evalsha +script|load "
                  "+get +set +unlink +time")
        (self.directory / "redis.conf").write_text(
            f"bind 127.0.0.1\nport 0\ntls-port 6379\ntls-auth-clients no\nsave \"\"\ndir {self.directory}\n"
            f"tls-cert-file {self.certificates}/server.crt\ntls-key-file {key}\ntls-ca-cert-file {self.certificates}/ca.pem\n"
            f"user default off\nuser oauth2 on >{self.redis_password} resetkeys resetchannels {rights}\n"
        )
        with open(self.directory / "redis.log", "wb") as log:
            subprocess.Popen(["redis-server", str(self.directory / "redis.conf")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait(lambda: "Ready to accept" in (self.directory / "redis.log").read_text(), "redis")

    def sql(self, statement: str, database: str = "postgres") -> str:
        return output(
            [self.programs / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.directory / "postgres", "-U", "owner",
             "-d", database, "-c", statement]
        ).strip()

    def new_database(self) -> None:
        """An empty database `oauth2`, owned by the server's role."""
        self.sql("DROP DATABASE IF EXISTS oauth2 WITH (FORCE)")
        self.sql("CREATE DATABASE oauth2 OWNER oauth2")

    def _wait(self, ready: object, name: str) -> None:
        for _ in range(300):
            if ready():  # type: ignore[operator]
                return
            time.sleep(0.1)
        raise CheckError(f"{name} did not start: {(self.directory / f'{name}.log').read_text()[-300:]}")
