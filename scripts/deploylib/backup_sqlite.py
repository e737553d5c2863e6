"""backup-sqlite of a running server, and restore-sqlite."""

import shutil
from pathlib import Path

from hostlib import doc
from postgres_report import Report, expect, refusal

from drilllib.scratch import Failed, Scratch, last_lines
from drilllib.server import Server


def check(report: Report, scratch: Scratch, binaries: Path, binary: Path) -> None:
    home = scratch.directory("home")
    identity = home / "identity"
    scratch.must(["age-keygen", "-o", identity])
    recipients = scratch.file("home/recipients", scratch.must(["age-keygen", "-y", identity]))
    key = scratch.path / "key_encryption_key"
    data, fresh = scratch.directory("data"), scratch.path / "fresh"
    server = Server(scratch, binary, None, "on-sqlite", {"OAUTH2_DATABASE_URL": f"sqlite://{data}/oauth2.db"})
    restored = Server(scratch, binary, None, "restored", {"OAUTH2_DATABASE_URL": f"sqlite://{fresh}/oauth2.db"})
    common = {
        "BACKUP_DIRECTORY": home / "backups",
        "BACKUP_RECIPIENTS": recipients,
        "BACKUP_IDENTITY": identity,
        "BACKUP_PROGRAM": binary,
        "OAUTH2_KEY_ENCRYPTION_KEY_FILE": key,
        "OAUTH2_ISSUER": server.variables["OAUTH2_ISSUER"],
    }
    programs = scratch.deploy / "backup"
    try:
        server.start()
        client = server.register("ci", "--format", "opaque")
        removed = server.register("removed")
        # The running server applies a new client within a second.
        tokens = [token for token in (first_token(server, client), server.token(client)) if token]
        with report.check("backup-sqlite: of a running server") as seen:
            file = Path(scratch.must([programs / "backup-sqlite"], common | {"OAUTH2_DATABASE_URL": f"sqlite://{data}/oauth2.db"}).strip())
            expect(file.read_bytes().startswith(b"age-encryption.org/v1"), "it is not encrypted")
            seen.append("copied by `oauth2_server backup`, integrity_check, encrypted, checksum")
        server.revoke(client, tokens[0])
        server.must("client", "disable", removed[0])
        audit = scratch.file("home/audit.json", server.must("audit", "list", "--json"))
        with report.check("backup-sqlite: a database that is missing"):
            done = scratch.run([programs / "backup-sqlite"], common | {"OAUTH2_DATABASE_URL": f"sqlite://{scratch.path}/none/oauth2.db"})
            expect(done.returncode == 3, f"exit code {done.returncode}: {last_lines(done.stderr)}")
        with report.check("restore-sqlite: next to a database, or to its log"):
            refusal(scratch.run([programs / "restore-sqlite", file, data], common), "oauth2.db exists")
            scratch.file("logged/oauth2.db-wal", "x")
            refusal(scratch.run([programs / "restore-sqlite", file, scratch.path / "logged"], common), "oauth2.db-wal exists")
        with report.check("restore-sqlite: after-restore fails"):
            refusal(scratch.run([programs / "restore-sqlite", file, scratch.path / "unfinished"], common | {"BACKUP_PROGRAM": "/bin/false"}), "not put into place")
            expect(not (scratch.path / "unfinished/oauth2.db").exists(), "the database is in place")
        with report.check("restore-sqlite: into a new directory") as seen:
            server.stop()
            shutil.rmtree(data)
            # Two files, as on the page: the other node logged nothing.
            empty = scratch.file("home/other.jsonl", "")
            logs = doc.block("disaster-recovery.md", "export RESTORE_AUDIT_LOG=/run/restore/node-a.jsonl:/run/restore/node-b.jsonl")
            logs = doc.variables(doc.replace(logs, ("/run/restore/node-a.jsonl", str(audit)), ("/run/restore/node-b.jsonl", str(empty))))
            scratch.must([programs / "restore-sqlite", file, fresh], common | {"RESTORE_AUDIT_LOG": logs["RESTORE_AUDIT_LOG"]})
            restored.start()
            expect(not restored.is_active(client, tokens[0]), "the token that was revoked after the backup is active again")
            expect(restored.is_active(client, restored.token(client)), "a new token is not active")
            status, body = restored.request_token(removed)
            expect(status in (400, 401), f"the client that was disabled after the backup got {status} {body}")
            seen.append("with the rows of `audit list --json` a client that was disabled after the backup stays disabled")
            seen.append("the server starts on it, the client authenticates, what was revoked after the backup is inactive")
    except Failed as error:
        report.failed("SQLite", error)
    finally:
        server.stop()
        restored.stop()


def first_token(server: Server, client: tuple[str, str]) -> str:
    import time

    for _ in range(100):
        try:
            return server.token(client)
        except Failed:
            time.sleep(0.05)
    raise Failed("the running server does not know the new client after 5 s")
