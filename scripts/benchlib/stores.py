"""The stores: a private Postgres, SQLite files, and functions that fill either with clients and tokens."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from .http_client import basic_authorization
from .processes import BenchError, Processes, free_port

BINARIES = Path(os.environ.get("PG_BINARIES", "/usr/lib/postgresql/15/bin"))
#: The secret of all clients that are registered in bulk.
SECRET = "oas_cs_" + "x" * 48
#: Timeout for filling a ledger, seconds.
FILLING = 1800.0


#: Preallocated files of the write-ahead log, 16 MiB each.
LOG_FILES = 64
CONFIGURATION = """listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
fsync = on
synchronous_commit = on
min_wal_size = {size}MB
"""


class Postgres:
    """A private Postgres server. fsync and synchronous_commit are on, as by default, and set explicitly. The files of its
    write-ahead log exist from the beginning, as on a server that has run for a while: creating one under load delays commits."""

    def __init__(self, processes: Processes, directory: Path, log_files: int = LOG_FILES) -> None:
        if not (BINARIES / "initdb").exists():
            raise BenchError(f"no Postgres 15 in {BINARIES}; install postgresql-15 or set PG_BINARIES")
        self.processes = processes
        self.user: str | None = "postgres" if os.geteuid() == 0 else None
        self.data = directory / "postgres"
        self.data.mkdir()
        if self.user:
            shutil.chown(self.data, self.user, self.user)
        self.port = free_port()
        processes.run(
            [str(BINARIES / "initdb"), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-D",
             str(self.data)], timeout=60, user=self.user, cwd=Path("/"))
        with open(self.data / "postgresql.conf", "a", encoding="ascii") as conf:
            conf.write(CONFIGURATION.format(port=self.port, size=log_files * 16))
        # Opened by this process: the user `postgres` may not be able to write here.
        self.log = directory / "postgres.log"
        self.start()
        for _ in range(log_files):
            self.sql("SELECT pg_logical_emit_message(true, '', '')", "postgres")
            self.sql("SELECT pg_switch_wal()", "postgres")
        self.sql("CHECKPOINT", "postgres")

    def start(self) -> None:
        self.process = self.processes.start([str(BINARIES / "postgres"), "-D", str(self.data)], self.log, user=self.user,
                                            cwd=Path("/"))
        deadline = time.monotonic() + 20
        while True:
            try:
                self.sql("SELECT 1", "postgres")
                return
            except BenchError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def restart(self, settings: str) -> None:
        """Restarts the server with additional lines of configuration."""
        self.processes.stop(self.process, signal.SIGINT)
        with open(self.data / "postgresql.conf", "a", encoding="ascii") as conf:
            conf.write(settings)
        self.start()

    def crash(self) -> None:
        """Stops the server as a crash does: without a checkpoint, and without a farewell to its clients."""
        self.processes.run([str(BINARIES / "pg_ctl"), "stop", "-D", str(self.data), "-m", "immediate"], timeout=30, user=self.user,
                           cwd=Path("/"))
        self.processes.stop(self.process)

    @property
    def pid(self) -> int:
        return self.process.pid

    def version(self) -> str:
        return self.sql("SHOW server_version", "postgres").split()[0]

    def sql(self, sql: str, database: str, timeout: float = 60) -> str:
        return self.processes.run(
            [str(BINARIES / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p",
             str(self.port), "-U", "postgres", "-d", database, "-c", sql], timeout=timeout).strip()

    def create(self, database: str) -> str:
        """Creates a database and returns its URL."""
        self.sql(f'CREATE DATABASE "{database}"', "postgres")
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def register(self, database: str, clients: int) -> None:
        """Inserts clients with the ids of `bulk_authorizations`, all with the same secret."""
        self.sql(
            f"""INSERT INTO clients (client_id, grant_types, scope, audience, resource_server, disabled, created_at,
                updated_at, version)
            SELECT 'many-' || lpad(i::text, 6, '0'), ARRAY['client_credentials'], 'read write', '{{}}', '{{}}', false, now(),
                now(), 1 FROM generate_series(0, {clients - 1}) AS i;
            INSERT INTO client_secrets (client_id, hash)
            SELECT client_id, sha256('{SECRET}') FROM clients WHERE client_id LIKE 'many-%'""", database, FILLING)

    def fill(self, database: str, client: str, tokens: int, revocations: int) -> None:
        """Inserts live tokens, ordered by id, that expire in one to two hours. The random bits of the ids come from a hash."""
        step = 1_000_000
        for start in range(0, tokens, step):
            stop = min(start + step, tokens)
            self.sql(
                f"""INSERT INTO tokens (jti, expires_at, client_id, scope, aud, format)
                SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - 1200000 + i * 1200000 / {tokens}),
                        12, '0') || '7' || substr(h, 1, 3) || '8' || substr(h, 4, 15))::uuid,
                    date_trunc('second', now()) + interval '1 hour' + i * interval '1 hour' / {tokens},
                    '{client}', 'read write', 'http://127.0.0.1:8080', 1
                FROM (SELECT i, md5(i::text) AS h FROM generate_series({start}::bigint, {stop - 1}) AS i) AS s""",
                database, FILLING)
        if revocations:
            self.sql(
                f"""INSERT INTO revocations (target_kind, target_id, cutoff_ms, expires_at)
                SELECT 'token', jti::text, (extract(epoch FROM now()) * 1000)::bigint, expires_at
                FROM tokens LIMIT {revocations}""", database, FILLING)
        # A ledger that grew over time would have been vacuumed and checkpointed.
        self.sql("VACUUM ANALYZE tokens", database, FILLING)
        self.sql("CHECKPOINT", database, FILLING)


def bulk_authorizations(clients: int, active: int) -> list[str]:
    """The Authorization values of `active` of the clients that `register` inserts, evenly spaced."""
    step = clients // active
    return [basic_authorization(f"many-{i * step:06}", SECRET) for i in range(active)]


def register_sqlite(file: Path, clients: int) -> None:
    """Like `Postgres.register`. The server must be stopped."""
    now, digest = int(time.time()), hashlib.sha256(SECRET.encode()).digest()
    connection = sqlite3.connect(file)
    with connection:
        connection.executemany(
            """INSERT INTO clients (client_id, grant_types, scope, audience, resource_server, disabled, created_at,
                updated_at, version) VALUES (?, '["client_credentials"]', 'read write', '[]', '[]', 0, ?, ?, 1)""",
            ((f"many-{i:06}", now, now) for i in range(clients)))
        connection.executemany("INSERT INTO client_secrets (client_id, hash) VALUES (?, ?)",
                               ((f"many-{i:06}", digest) for i in range(clients)))
    connection.close()


def fill_sqlite(file: Path, client: str, tokens: int, revocations: int) -> None:
    """Like `Postgres.fill`. The server must be stopped."""
    now = int(time.time())
    generator = random.Random(1)

    def rows() -> Iterator[tuple[bytes, int, str, str, str, int]]:
        for i in range(tokens):
            stamp = now * 1000 - 1_200_000 + i * 1_200_000 // tokens
            tail = (7 << 76) | (generator.getrandbits(12) << 64) | (2 << 62) | generator.getrandbits(62)
            jti = ((stamp << 80) | tail).to_bytes(16, "big")
            yield (jti, now + 3600 + i * 3600 // tokens, client, "read write", "http://127.0.0.1:8080", 1)

    connection = sqlite3.connect(file)
    with connection:
        connection.executemany(
            "INSERT INTO tokens (jti, expires_at, client_id, scope, aud, format) VALUES (?, ?, ?, ?, ?, ?)", rows())
        connection.execute(
            """INSERT INTO revocations (target_kind, target_id, cutoff_ms, expires_at)
            SELECT 'token', lower(substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-' || substr(h, 13, 4) || '-'
                || substr(h, 17, 4) || '-' || substr(h, 21)), ?, expires_at
            FROM (SELECT hex(jti) AS h, expires_at FROM tokens LIMIT ?)""", (now * 1000, revocations))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
