"""backup-postgres and restore-postgres: what they keep, what they refuse, retention, object storage, recovery from each."""

import shutil
import time
from pathlib import Path

from backup_store import Store, clients_path, is_usable
from hostlib import doc
from postgres_report import Report, expect, refusal

from drilllib.cluster import Cluster
from drilllib.scratch import Failed, Scratch, last_lines
from drilllib.server import Server

# The name that pg_hba.conf of deploy/postgres allows beside `oauth2`.
RESTORED = "oauth2_restored"


class Backups:
    """A cluster with a server and some tokens, and a place for its backups."""

    def __init__(self, scratch: Scratch, binaries: Path, binary: Path) -> None:
        self.scratch, self.binary = scratch, binary
        self.cluster = Cluster(scratch, "source", binaries, binaries)
        self.server = Server(scratch, binary, self.cluster, "source-server")
        home = scratch.directory("home")
        self.directory = home / "backups"
        self.identity = home / "identity"
        scratch.must(["age-keygen", "-o", self.identity])
        self.recipients = scratch.file("home/recipients", scratch.must(["age-keygen", "-y", self.identity]))

    def start(self) -> None:
        self.cluster.create()
        self.cluster.start()
        self.cluster.create_roles()
        self.server.must("migrate")
        self.cluster.grant()
        self.client = self.server.register("ci", "--format", "opaque")
        self.server.start()
        self.tokens = [self.server.token(self.client) for _ in range(5)]

    def environment(self, **more: object) -> dict:
        return self.cluster.libpq("oauth2_backup", "oauth2") | {
            "BACKUP_DIRECTORY": self.directory,
            "BACKUP_RECIPIENTS": self.recipients,
            "BACKUP_IDENTITY": self.identity,
            "PATH": f"{self.cluster.tools}:{clients_path()}",
        } | more

    def program(self, name: str) -> Path:
        return self.scratch.deploy / "backup" / name

    def run(self, command: list, environment: dict):
        # As the caller: clients of object storage may be installed where the user of Postgres cannot read.
        return self.scratch.run(command, environment, user={})

    def back_up(self, **more: object) -> Path:
        # A backup has the name of its second: one of the same second would take the place of the other.
        while any(self.directory.glob(f"*{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}*")):
            time.sleep(0.05)
        return Path(self.scratch.must([self.program("backup-postgres")], self.environment(**more), user={}).strip())

    def restore(self, backup: object, database: str, **more: object):
        environment = self.environment() | self.cluster.libpq() | {
            "PATH": f"{self.cluster.tools}:{clients_path()}",
            "BACKUP_PROGRAM": self.binary,
            "RESTORE_OWNER_URL": self.cluster.url("oauth2_owner", database),
            "RESTORE_OWNER_PASSWORD_FILE": self.cluster.secrets / "oauth2_owner",
            "OAUTH2_KEY_ENCRYPTION_KEY_FILE": self.server.variables["OAUTH2_KEY_ENCRYPTION_KEY_FILE"],
            "OAUTH2_ISSUER": self.server.variables["OAUTH2_ISSUER"],
        } | more
        return self.run([self.program("restore-postgres"), backup, database], environment)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir() if path.suffix in (".age", ".sha256"))

    def age(self, file: Path, days: int) -> Path:
        """A copy of a good backup under the name that it would have had some days ago."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - days * 86400))
        old = file.with_name(f"oauth2-postgres-{stamp}.dump.age")
        shutil.copy(file, old)
        checksum = file.with_name(file.name + ".sha256").read_text().replace(file.name, old.name)
        old.with_name(old.name + ".sha256").write_text(checksum)
        return old


def creates(report: Report, backups: Backups) -> Path:
    with report.check("backup-postgres: as oauth2_backup over verify-full, of a running server") as seen:
        file = backups.back_up()
        expect(backups.names() == [file.name, file.name + ".sha256"], backups.names())
        expect((file.stat().st_mode & 0o777) == 0o600, f"mode {oct(file.stat().st_mode)}")
        raw = file.read_bytes()
        expect(raw.startswith(b"age-encryption.org/v1") and b"PGDMP" not in raw and b"clients" not in raw, "the file is not encrypted")
        expect(not list(backups.directory.glob(".partial*")), "a plain dump was left")
        expect("oauth2_backup_last_success_timestamp_seconds" in (backups.directory / "oauth2-backup-postgres.prom").read_text(), "no metrics")
        # The directory of backups is private: node_exporter reads another one, as another user.
        metrics = backups.scratch.directory("metrics")
        backups.back_up(BACKUP_METRICS_DIRECTORY=metrics)
        written = metrics / "oauth2-backup-postgres.prom"
        expect(written.stat().st_mode & 0o777 == 0o644, f"mode of the metrics: {oct(written.stat().st_mode)}")
        for kept in backups.names():
            if not kept.startswith(file.name):
                (backups.directory / kept).unlink()
        seen.append("encrypted, mode 0600, checksum, metrics, no plain dump left")
    return file


def keeps_nothing_bad(report: Report, backups: Backups) -> None:
    before = backups.names()
    with report.check("backup-postgres: a dump that fails") as seen:
        done = backups.run([backups.program("backup-postgres")], backups.environment(PGPASSFILE="/nonexistent"))
        expect(done.returncode == 3 and backups.names() == before, f"exit code {done.returncode}, files {backups.names()}")
        old = backups.run(["bash", "-c", f"pg_dump --no-password | gzip >{backups.scratch.path}/old.gz && gzip -t {backups.scratch.path}/old.gz"],
                                  backups.environment(PGPASSFILE="/nonexistent"))
        expect(old.returncode == 0, "the old form failed")
        seen.append("exit code 3, nothing kept; the old form `pg_dump | gzip` exits with 0 and leaves a valid, empty archive")
    with report.check("backup-postgres: a dump that was cut off") as seen:
        # The real pg_dump, on a disk that loses the end of the file.
        cutting = backups.scratch.file("cutting/pg_dump", f"#!/bin/bash\n{backups.cluster.tools}/pg_dump \"$@\" && for a; do case $a in --file=*) truncate -s -2000 "
                                       "\"${a#--file=}\";; esac; done\n", 0o755)
        path = f"{cutting.parent}:{backups.cluster.tools}:{clients_path()}"
        done = backups.run([backups.program("backup-postgres")], backups.environment(PATH=path, PG_BINARIES=""))
        expect(done.returncode == 3 and backups.names() == before, f"exit code {done.returncode}, files {backups.names()}")
        expect("cannot read the data" in done.stderr, last_lines(done.stderr))
        seen.append("found by reading all data; `pg_restore --list` alone accepted it")
    with report.check("backup-postgres: two at the same time"):
        done = backups.run(["flock", backups.directory / ".lock", backups.program("backup-postgres")], backups.environment())
        expect(done.returncode == 3 and "is running" in done.stderr, f"exit code {done.returncode}: {last_lines(done.stderr)}")


def retention(report: Report, backups: Backups, good: Path) -> None:
    with report.check("retention: the newest good backups are never deleted") as seen:
        old = {days: backups.age(good, days) for days in (20, 40, 50, 60)}
        damaged = backups.age(good, 10)
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
        done = backups.run([backups.program("backup-postgres")], backups.environment(PGPASSFILE="/nonexistent"))
        expect(done.returncode == 3 and all(path.exists() for path in old.values()), "a backup that failed deleted others")
        seen.append("a failed backup deletes nothing")
        good.unlink()
        good.with_name(good.name + ".sha256").unlink()
        old[20].unlink()
        old[20].with_name(old[20].name + ".sha256").unlink()
        newest = backups.back_up(BACKUP_KEEP_LAST="2")
        kept = {path.name for path in backups.directory.glob("*.age")}
        expect(kept == {newest.name, damaged.name, old[40].name}, f"kept {sorted(kept)}")
        seen.append("KEEP_LAST=2 keeps the new one and one of 40 days, since the one of 10 days is damaged; those of 50 and 60 days are deleted")
        for path in backups.directory.glob("*.age*"):
            if newest.name not in path.name:
                path.unlink()


def by_the_page(backups: Backups, client: str, settings: dict) -> Path:
    """A backup to object storage by the command of the page, with another client, bucket and endpoint."""
    command = doc.replace(doc.block("backup.md", "BACKUP_S3_URL="), ("BACKUP_S3_CLIENT=rclone", f"BACKUP_S3_CLIENT={client}"),
                          ("s3://BUCKET/oauth2", settings["BACKUP_S3_URL"]), ("https://s3.internal", settings["BACKUP_S3_ENDPOINT"]))
    keys = {name: value for name, value in settings.items() if name.startswith("AWS_")}
    return Path(backups.scratch.must(["bash", "-ec", command], backups.environment(**keys), user={}).strip())


def objects(report: Report, backups: Backups, store: Store) -> None:
    for client in ("aws", "rclone", "s5cmd"):
        if not is_usable(client):
            report.not_run(f"object storage by {client}", "it is not installed, or does not start")
            continue
        with report.check(f"object storage by {client}, on versitygw") as seen:
            settings = store.settings(client)
            file = by_the_page(backups, client, settings)
            expect(store.names(client) == {file.name, file.name + ".sha256"}, store.names(client))
            seen.append("uploaded and read back")
            stamp = "20200101T000000Z"
            for name in (file.name, file.name + ".sha256"):
                shutil.copy(store.objects / client / name, store.objects / client / name.replace(file.name.split("-")[2].split(".")[0], stamp))
            time.sleep(1)
            second = backups.back_up(BACKUP_KEEP_LAST="2", **settings)
            expect(store.names(client) == {n for f in (file, second) for n in (f.name, f.name + ".sha256")}, store.names(client))
            seen.append("the object that was too old is deleted, the last two are kept")
            for path in backups.directory.glob("*.age*"):
                path.unlink()
            done = backups.restore(second.name, RESTORED, **settings)
            expect(done.returncode == 0, last_lines(done.stderr))
            seen.append("restored from the object with no local file left")
            backups.cluster.ask(f"DROP DATABASE {RESTORED}")
        with report.check(f"object storage by {client}: an upload that is refused"):
            done = backups.run([backups.program("backup-postgres")], backups.environment(**settings | {"AWS_SECRET_ACCESS_KEY": "wrong"}))
            expect(done.returncode != 0, "the backup succeeded")
            time.sleep(1)


def restores(report: Report, backups: Backups) -> None:
    server, revoked, kept = backups.server, backups.tokens[0], backups.tokens[1]
    file = backups.back_up()
    server.revoke(backups.client, revoked)
    with report.check("restore-postgres: a database in use") as seen:
        refusal(backups.restore(file, "oauth2"), 'database "oauth2" already exists')
        expect(server.is_active(backups.client, kept), "the server's database was changed")
        seen.append("refused, and not touched")
        plain = f"pg_dump -d oauth2 -Fp | gzip >{backups.scratch.path}/plain.sql.gz; gunzip <{backups.scratch.path}/plain.sql.gz | psql -X -q -d oauth2 >/dev/null"
        old = backups.run(["bash", "-c", plain], backups.environment() | backups.cluster.libpq())
        errors = old.stderr.count("ERROR:")
        expect(old.returncode == 0 and errors > 10, f"exit code {old.returncode} with {errors} errors")
        seen.append(f"the old form `gunzip | psql` into it exits with 0 after {errors} errors")
    with report.check("restore-postgres: a file that is damaged, without a checksum, or for another key"):
        damaged = backups.age(file, 1)
        damaged.write_bytes(damaged.read_bytes()[:-10])
        refusal(backups.restore(damaged, RESTORED), "it is damaged")
        damaged.with_name(damaged.name + ".sha256").unlink()
        refusal(backups.restore(damaged, RESTORED), "no checksum")
        damaged.unlink()
        other = backups.scratch.path / "home/other"
        backups.scratch.must(["age-keygen", "-o", other])
        refusal(backups.restore(file, RESTORED, BACKUP_IDENTITY=other), "no identity matched")
        expect(backups.cluster.ask("SELECT count(*) FROM pg_database WHERE datname = 'oauth2_restored'") == "0", "the database was created")
    with report.check("restore-postgres: a RESTORE_AUDIT_LOG that is missing"):
        refusal(backups.restore(file, RESTORED, RESTORE_AUDIT_LOG=f"{file}:/nowhere/server.jsonl"), '"/nowhere/server.jsonl" is not a file')
        expect(backups.cluster.ask("SELECT count(*) FROM pg_database WHERE datname = 'oauth2_restored'") == "0", "the database was created")
    with report.check("restore-postgres: a dump with an error, an extension that its owner may not create") as seen:
        backups.cluster.ask("CREATE EXTENSION pg_stat_statements", database="oauth2")
        bad = backups.back_up()
        backups.cluster.ask("DROP EXTENSION pg_stat_statements", database="oauth2")
        refusal(backups.restore(bad, RESTORED), "was rolled back")
        left = backups.cluster.ask("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace", database=RESTORED)
        expect(left == "0", f"{left} relations are left")
        backups.cluster.ask(f"DROP DATABASE {RESTORED}")
        bad.unlink()
        seen.append("exit code 3, and nothing of it is left in the new database")
    with report.check("restore-postgres: after-restore fails"):
        done = backups.restore(file, RESTORED, BACKUP_PROGRAM="/bin/false")
        expect(done.returncode == 3 and "do not use it" in done.stderr, f"exit code {done.returncode}: {last_lines(done.stderr)}")
        can = backups.cluster.ask(f"SELECT has_database_privilege('oauth2_server', '{RESTORED}', 'CONNECT')")
        expect(can == "f", "oauth2_server may connect to it")
        backups.cluster.ask(f"DROP DATABASE {RESTORED}")
    with report.check("restore-postgres: into a new database") as seen:
        done = backups.restore(file, RESTORED)
        expect(done.returncode == 0, last_lines(done.stderr))
        expect("WARNING: RESTORE_AUDIT_LOG is not set" in done.stderr, "no warning that changes are undone")
        seen.append(last_lines(done.stderr, 1).split(": ", 1)[1])
        server.stop()
        # As an operator would put it into place.
        backups.cluster.ask("ALTER DATABASE oauth2 RENAME TO oauth2_lost")
        backups.cluster.ask(f"ALTER DATABASE {RESTORED} RENAME TO oauth2")
        server.start()
        expect(not server.is_active(backups.client, revoked), "the token that was revoked after the backup is active again")
        expect(server.is_active(backups.client, server.token(backups.client)), "a new token is not active")
        known = int(backups.cluster.ask("SELECT count(*) FROM tokens", database="oauth2"))
        expect(known >= len(backups.tokens), f"{known} tokens")
        doctor = server.command("doctor", role="oauth2_server")
        expect(doctor.returncode == 0, last_lines(doctor.stdout, 30))
        seen.append("renamed to oauth2, the server starts on it as oauth2_server, what was revoked after the backup is inactive, doctor passes")


def check(report: Report, scratch: Scratch, binaries: Path, binary: Path) -> None:
    backups, store = Backups(scratch, binaries, binary), Store(scratch)
    try:
        backups.start()
        file = creates(report, backups)
        keeps_nothing_bad(report, backups)
        retention(report, backups, file)
        if store.is_installed():
            store.start()
            objects(report, backups, store)
        else:
            report.not_run("object storage", "versitygw is not installed; scripts/setup --deploy installs it")
        restores(report, backups)
    except Failed as error:
        report.failed("backup-postgres", error)
    finally:
        backups.server.stop()
        backups.cluster.stop()
        store.stop()
