"""A private Postgres."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from .programs import Programs, run, wait_for


@dataclass(frozen=True)
class Postgres:
    port: int
    password: str
    #: Where its programs are, such as psql.
    binaries: Path
    user = "oauth2"
    database = "postgres"

    @property
    def url(self) -> str:
        return f"postgres://{self.user}:{self.password}@127.0.0.1:{self.port}/{self.database}"


def initdb_path() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]) if path.parts[4].isdigit() else 0)
    program = str(found[-1]) if found else shutil.which("initdb")
    return Path(program).resolve() if program else None


def start_postgres(programs: Programs, directory: Path) -> Postgres:
    """Starts Postgres with its data in `directory`, which its user must be able to reach."""
    initdb = initdb_path()
    if initdb is None:
        raise SystemExit("Postgres is needed: install postgresql")
    home = directory / "postgres"
    home.mkdir()
    password = secrets.token_hex(16)
    (home / "password").write_text(password)
    user = None
    if os.geteuid() == 0:
        # Postgres refuses to run as root.
        user = "postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else "nobody"
        for path in (home, home / "password"):
            shutil.chown(path, user)
    code, output = run([initdb, "--pgdata", home / "data", "--username", Postgres.user, "--auth", "scram-sha-256", "--pwfile",
                        home / "password", "--encoding", "UTF8", "--locale", "C.UTF-8"],
                       user=user, group=user, extra_groups=[] if user else None, cwd=home)
    if code:
        raise RuntimeError(f"initdb failed: {output[-300:]}")
    port = programs.free_port()
    programs.start([initdb.parent / "postgres", "-D", home / "data", "-c", "listen_addresses=127.0.0.1", "-c", f"port={port}", "-c",
                    "unix_socket_directories=", "-c", "max_connections=200"], directory / "postgres.log", user=user, cwd=home)
    wait_for("the start of Postgres", lambda: run([initdb.parent / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)])[0] == 0)
    return Postgres(port, password, initdb.parent)
