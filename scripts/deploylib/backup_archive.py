"""The archive of the write-ahead log: archive-wal, restore-wal, base-backup's clean-up, and what restore-to-time refuses."""

import re
import shutil
import time
from pathlib import Path

from backup_store import Store, clients_path, is_usable
from hostlib import doc
from postgres_report import Report, expect, refusal

from drilllib.cluster import Cluster
from drilllib.scratch import Failed, Scratch, last_lines
from drilllib.server import Server

# Archiving runs as the user of Postgres, who may not be able to run the clients in target/tools. rclone is a package of Debian.
OBJECTS = "rclone"


class Archive:
    """A cluster that archives, and the configuration of the programs."""

    def __init__(self, scratch: Scratch, binaries: Path, store: Store | None) -> None:
        self.scratch, self.store = scratch, store
        home = scratch.directory("home")
        self.directory, self.wal = home / "backups", home / "backups/wal"
        self.identity = home / "identity"
        scratch.must(["age-keygen", "-o", self.identity])
        recipients = scratch.file("home/recipients", scratch.must(["age-keygen", "-y", self.identity]))
        self.configuration = scratch.file(
            "home/backup.conf", f"BACKUP_DIRECTORY={self.directory}\nBACKUP_RECIPIENTS={recipients}\nBACKUP_IDENTITY={self.identity}\n"
            f"PG_BINARIES={binaries}\nBACKUP_KEEP_DAYS=0\nBACKUP_KEEP_LAST=1\n"
        )
        self.uploading = self.configuration
        if store is not None:
            settings = "".join(f"{key}={value}\n" for key, value in store.settings(OBJECTS).items())
            self.uploading = scratch.file("home/uploading.conf", self.configuration.read_text() + settings)
        command = f"BACKUP_CONFIG={self.uploading} {scratch.deploy}/backup/archive-wal \"%p\" \"%f\""
        self.cluster = Cluster(scratch, "archiving", binaries, binaries, {"archive_mode": "on", "archive_command": command})

    def program(self, name: str, *words: object, user: dict | None = None, **more: object):
        environment = {"BACKUP_CONFIG": self.configuration, "PATH": clients_path()} | more
        return self.scratch.run([self.scratch.deploy / "backup" / name, *words], environment, user=user)

    def segments(self) -> list[str]:
        return sorted(path.name[:24] for path in self.wal.glob("*.age") if re.match(r"[0-9A-F]{24}\.gz", path.name))

    def objects(self) -> list[str]:
        return sorted(name[4:28] for name in self.store.names(OBJECTS) if re.match(r"wal-[0-9A-F]{24}\.gz", name))

    def switch(self, count: int) -> None:
        for _ in range(count):
            self.cluster.ask("SELECT pg_logical_emit_message(true, 'x', 'x')")
            self.cluster.ask("SELECT pg_switch_wal()")
        # The file before the one that is written now is the last that can be archived.
        last = previous(self.cluster.ask("SELECT pg_walfile_name(pg_current_wal_insert_lsn())"))
        deadline = time.monotonic() + 20
        while last not in self.segments():
            expect(time.monotonic() < deadline, f"{last} is not archived: {last_lines(self.cluster.log.read_text())}")
            time.sleep(0.1)


def previous(name: str) -> str:
    number = int(name[8:16], 16) * 256 + int(name[16:], 16) - 1
    return f"{name[:8]}{number // 256:08X}{number % 256:08X}"


def single_files(report: Report, archive: Archive) -> None:
    one, other = archive.scratch.file("one", "first content\n"), archive.scratch.file("other", "another content\n")
    name, back = "0000000100000000000000F0", archive.scratch.path / "home/back"
    with report.check("archive-wal and restore-wal") as seen:
        done = archive.program("archive-wal", one, name)
        expect(done.returncode == 0, last_lines(done.stderr))
        stored = archive.wal / f"{name}.gz.age"
        expect(stored.read_bytes().startswith(b"age-encryption.org/v1"), "it is not encrypted")
        done = archive.program("restore-wal", name, back)
        expect(done.returncode == 0 and back.read_text() == one.read_text(), last_lines(done.stderr))
        seen.append("encrypted, and the same after a round trip")
        expect(archive.program("archive-wal", one, name).returncode == 0, "a repetition failed")
        refusal(archive.program("archive-wal", other, name), "another content")
        seen.append("a repetition succeeds, another content under the same name is refused")
        expect(archive.program("restore-wal", name.replace("F0", "F1"), back).returncode == 1, "a missing file has another exit code than 1")
        stored.write_bytes(stored.read_bytes()[:-5])
        expect(archive.program("restore-wal", name, back).returncode == 200, "a damaged file has another exit code than 200")
        seen.append("exit code 1 for a missing file, 200 for a damaged one, which stops a recovery")
    for path in archive.wal.iterdir():
        path.unlink()


def by_objects(report: Report, archive: Archive, store: Store) -> None:
    with report.check("archive-wal and restore-wal by object storage (aws, on versitygw)"):
        settings = store.settings("aws")
        one, back = archive.scratch.file("one", "first content\n"), archive.scratch.path / "home/back"
        name = "0000000100000000000000F2"
        done = archive.program("archive-wal", one, name, user={}, **settings)
        expect(done.returncode == 0 and store.names("aws") == {f"wal-{name}.gz.age"}, last_lines(done.stderr))
        for path in archive.wal.iterdir():
            path.unlink()
        done = archive.program("restore-wal", name, back, user={}, **settings)
        expect(done.returncode == 0 and back.read_text() == one.read_text(), last_lines(done.stderr))
        expect(archive.program("restore-wal", name.replace("F2", "F3"), back, user={}, **settings).returncode == 1, "a missing object has another exit code than 1")
        done = archive.program("restore-wal", name, back, user={}, **settings | {"AWS_SECRET_ACCESS_KEY": "wrong"})
        expect(done.returncode == 200, f"a store that refuses ends the replay: exit code {done.returncode}")


def clean_up(report: Report, archive: Archive) -> None:
    cluster = archive.cluster
    with report.check("base-backup: deletes the log that no base backup needs, and nothing else") as seen:
        archive.switch(3)
        environment = cluster.libpq("oauth2_replication")
        first = archive.program("base-backup", BACKUP_CONFIG=archive.uploading, **environment)
        expect(first.returncode == 0, last_lines(first.stderr))
        archive.switch(3)
        before = archive.segments()
        time.sleep(1)
        second = archive.program("base-backup", BACKUP_CONFIG=archive.uploading, **environment)
        expect(second.returncode == 0, last_lines(second.stderr))
        bases = sorted(path.name for path in archive.directory.glob("oauth2-base-*.age"))
        expect(len(bases) == 1 and bases[0] in second.stdout, f"base backups: {bases}")
        start = bases[0].split(".")[1]
        # pg_basebackup does not wait until the archive has the first file that the base needs.
        deadline = time.monotonic() + 20
        while start not in (after := archive.segments()):
            expect(time.monotonic() < deadline, f"{start} is not archived")
            time.sleep(0.1)
        expect(after and min(after) >= start, f"the oldest is {min(after, default='none')}, the base begins at {start}")
        deleted = [name for name in before if name not in after]
        expect(deleted and all(name < start for name in deleted), f"deleted: {deleted}, the base begins at {start}")
        seen.append(f"{len(deleted)} files deleted, {len(after)} kept, BACKUP_KEEP_LAST=1")
        if archive.store is not None:
            # A file is uploaded after it was archived.
            deadline = time.monotonic() + 20
            while (objects := archive.objects()) != (files := archive.segments()):
                expect(time.monotonic() < deadline, f"objects: {objects}, files: {files}")
                time.sleep(0.2)
            seen.append("the same among the objects")


def refusals(report: Report, archive: Archive) -> None:
    base = next(archive.directory.glob("oauth2-base-*.age"))
    more = {"RESTORE_OWNER_PASSWORD_FILE": archive.cluster.secrets / "oauth2_owner"}
    with report.check("restore-to-time: a data directory in use, a time without a zone, a time before the base backup"):
        refusal(archive.program("restore-to-time", base, archive.cluster.data, **more), "is not empty")
        refusal(archive.program("restore-to-time", base, archive.scratch.path / "home/x", "2026-11-30 10:00:00", **more), "needs a zone")
        early = archive.program("restore-to-time", base, archive.scratch.path / "home/early", "2020-01-01 00:00:00+00", RESTORE_TIMEOUT="60", **more)
        refusal(early, "restore-to-time:")


def from_objects(report: Report, archive: Archive, binary: Path) -> None:
    """The machine is lost with its disk and its backups: only the object storage is left."""
    cluster = archive.cluster
    with report.check("restore-to-time: the base backup and the log from object storage (rclone, on versitygw), no local file") as seen:
        server = Server(archive.scratch, binary, cluster, "archived")
        server.must("migrate")
        cluster.grant()
        client = server.register("late")
        archive.switch(1)
        cluster.stop()
        shutil.rmtree(cluster.data)
        shutil.rmtree(archive.directory)
        base = next(name for name in archive.store.names(OBJECTS) if re.fullmatch(r"oauth2-base-.*\.age", name))
        # An empty cluster, as on a host that was set up again.
        cluster.data.mkdir()
        recovered = archive.scratch.path / "home/recovered"
        log = archive.scratch.file("home/node.jsonl", "")
        commands = doc.replace(
            doc.block("disaster-recovery.md", "deploy/backup/restore-to-time"),
            ("/run/restore/key_encryption_key", str(server.variables["OAUTH2_KEY_ENCRYPTION_KEY_FILE"])), ("https://auth.example", server.variables["OAUTH2_ISSUER"]),
            ("/run/restore/backup.identity", str(archive.identity)), ("/etc/oauth2_server/secrets/oauth2_owner", str(cluster.secrets / "oauth2_owner")),
            ("/run/restore/node-a.jsonl:/run/restore/node-b.jsonl", str(log)), ("/usr/lib/postgresql/15/bin", str(cluster.server_binaries)),
            ("oauth2-base-20261129T031500Z.000000010000000000000042.tar.gz.age", base), ("/var/lib/postgresql/15/recovered", str(recovered)))
        environment = {"BACKUP_CONFIG": archive.uploading, "PATH": clients_path(), "BACKUP_PROGRAM": binary, "RESTORE_TIMEOUT": "120"}
        done = archive.scratch.run(["bash", "-ec", commands], environment)
        expect(done.returncode == 0, last_lines(done.stderr))
        # Postgres is started below: there is no systemd.
        place = doc.replace(doc.block("disaster-recovery.md", "main.empty"), ("/var/lib/postgresql/15/main", str(cluster.data)), ("/var/lib/postgresql/15/recovered", str(recovered)))
        archive.scratch.must(["bash", "-ec", f"systemctl() {{ [[ $1 = st* && $2 = postgresql@15-main ]]; }}\n{place}"])
        cluster.settings = {key: value for key, value in cluster.settings.items() if not key.startswith("archive")}
        cluster.start()
        server.start()
        expect(server.token(client), "no token")
        seen.append("the client that was registered after the base backup gets a token")
        server.stop()


def check(report: Report, scratch: Scratch, binaries: Path, binary: Path) -> None:
    store = Store(scratch)
    has_objects = store.is_installed() and shutil.which(OBJECTS, path="/usr/bin:/usr/local/bin") is not None
    archive = Archive(scratch, binaries, store if has_objects else None)
    try:
        single_files(report, archive)
        if store.is_installed():
            store.start()
            if is_usable("aws"):
                by_objects(report, archive, store)
            else:
                report.not_run("the archive by aws", "it is not installed, or does not start")
        else:
            report.not_run("the archive by object storage", "versitygw is not installed; scripts/setup --deploy installs it")
        scratch.own(archive.directory)
        archive.cluster.create()
        archive.cluster.start()
        archive.cluster.create_roles()
        clean_up(report, archive)
        refusals(report, archive)
        if has_objects:
            from_objects(report, archive, binary)
        else:
            report.not_run("restore-to-time from object storage", "rclone or versitygw is not installed")
    except (Failed, StopIteration) as error:
        report.failed("archive", error)
    finally:
        archive.cluster.stop()
        store.stop()
