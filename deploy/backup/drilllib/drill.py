"""The recovery drill: backs up under load, destroys, restores with the programs of this directory, verifies against the ledger, measures."""

import re
import secrets
import shutil
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from .changes import Changes
from .cluster import Cluster
from .load import Issued, Ledger, Load
from .scratch import Failed, Scratch
from .server import Server

# Long enough for many tokens on each side of the backup.
LOAD_SECONDS = 2.0
# In production 60 s (conf/primary.conf): the most that is lost with the machine.
ARCHIVE_TIMEOUT = 2


@dataclass
class Outcome:
    variant: str
    problems: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    recovery_point: float = 0.0
    recovery_time: float = 0.0


class Drill:
    """One database, one server, one ledger; one variant: `dump`, `archive` (all of the log) or `time` (up to a moment)."""

    def __init__(self, scratch: Scratch, binaries: Path, binary: Path, variant: str, has_log: bool = True) -> None:
        self.scratch, self.binaries, self.binary, self.variant, self.has_log = scratch, binaries, binary, variant, has_log
        self.outcome = Outcome(variant)
        home = scratch.directory(f"drill-{variant}")
        self.backups = home / "backups"
        key = home / "identity"
        recipient = scratch.must(["age-keygen", "-o", key, "-y"]) if key.exists() else self.new_identity(key)
        self.configuration = scratch.file(
            f"drill-{variant}/backup.conf",
            f"BACKUP_DIRECTORY={self.backups}\nBACKUP_RECIPIENTS={recipient}\nBACKUP_IDENTITY={key}\nPG_BINARIES={binaries}\n",
        )
        archive = f"BACKUP_CONFIG={self.configuration} {scratch.deploy}/backup/archive-wal \"%p\" \"%f\""
        settings = {"archive_mode": "on", "archive_command": archive, "archive_timeout": str(ARCHIVE_TIMEOUT)} if variant != "dump" else {}
        self.old = Cluster(scratch, f"old-{variant}", binaries, binaries, settings, group=f"drill-{variant}")
        self.new = Cluster(scratch, f"new-{variant}", binaries, binaries, group=f"drill-{variant}")
        self.server = Server(scratch, binary, self.old, f"before-{variant}", {"OAUTH2_ADMIN_TOKEN": secrets.token_hex(24), "OAUTH2_LOG_FORMAT": "json"})
        self.kept_log = home / "server.jsonl"
        self.restored = Server(scratch, binary, self.new, f"after-{variant}")
        self.ledger = Ledger(home / "ledger.jsonl")
        self.clients: list[tuple[str, str]] = []
        self.changes: Changes | None = None
        self.moment: str | None = None

    def new_identity(self, key: Path) -> Path:
        self.scratch.must(["age-keygen", "-o", key])
        return self.scratch.file(f"drill-{self.variant}/recipients", self.scratch.must(["age-keygen", "-y", key]))

    def program(self, name: str, *words: object, environment: dict | None = None) -> str:
        return self.scratch.must([self.scratch.deploy / "backup" / name, *words], {"BACKUP_CONFIG": self.configuration} | (environment or {}), 300)

    def run(self) -> Outcome:
        load = None
        try:
            self.prepare()
            load = Load(self.server, self.clients, self.ledger)
            time.sleep(LOAD_SECONDS)
            backup_began = time.time()
            backup = self.back_up()
            backup_took = time.time() - backup_began
            time.sleep(LOAD_SECONDS)
            self.changes.make()
            end = self.accident() if self.variant == "time" else None
            destroyed = self.destroy(load)
            self.restore(backup)
            self.restored.start()
            token = self.restored.token(self.clients[0])
            self.outcome.recovery_time = time.time() - destroyed
            if not self.restored.is_active(self.clients[0], token):
                self.outcome.problems.append("a token issued after the restore is not active")
            self.verify(backup_began, end or destroyed)
            self.outcome.facts.append(f"the backup took {backup_took:.1f} s under load")
        except Failed as error:
            self.outcome.problems.append(str(error))
        finally:
            if load is not None:
                load.stop()
            for server in (self.server, self.restored):
                server.stop()
            for cluster in (self.old, self.new):
                cluster.stop()
        return self.outcome

    def prepare(self) -> None:
        self.old.create()
        self.old.start()
        self.old.create_roles()
        self.server.must("migrate")
        self.old.grant()
        for form in ("paseto", "jwt", "opaque"):
            self.clients.append(self.server.register(f"drill-{form}", "--format", form))
        self.changes = Changes(self.server)
        self.server.start()

    def back_up(self) -> str:
        if self.variant == "dump":
            return self.program("backup-postgres", environment=self.old.libpq("oauth2_backup", "oauth2")).strip()
        return self.program("base-backup", environment=self.old.libpq("oauth2_replication")).strip()

    def accident(self) -> float:
        """Somebody deletes all clients. The recovery goes back to the moment before."""
        self.moment = self.old.ask("SELECT clock_timestamp()")
        at = time.time()
        time.sleep(0.3)
        self.old.ask("DELETE FROM clients", database="oauth2")
        time.sleep(1.5 * ARCHIVE_TIMEOUT)
        return at

    def destroy(self, load: Load) -> float:
        """Postgres is lost with its disk. Only the backups and the archive remain."""
        # As a crash: no checkpoint, and no last file of the log is archived.
        self.old.stop(signal.SIGQUIT)
        destroyed = time.time()
        shutil.rmtree(self.old.data)
        load.stop()
        self.server.stop()
        # As if it had been shipped to another machine.
        shutil.copy(self.server.log, self.kept_log)
        self.scratch.own(self.kept_log)
        return destroyed

    def restore(self, backup: str) -> None:
        keys = {
            "BACKUP_PROGRAM": self.binary,
            "OAUTH2_KEY_ENCRYPTION_KEY_FILE": self.restored.variables["OAUTH2_KEY_ENCRYPTION_KEY_FILE"],
            "OAUTH2_ISSUER": self.restored.variables["OAUTH2_ISSUER"],
            "RESTORE_OWNER_PASSWORD_FILE": self.new.secrets / "oauth2_owner",
        }
        if self.has_log:
            keys["RESTORE_AUDIT_LOG"] = self.kept_log
        if self.variant == "dump":
            self.new.create()
            self.new.start()
            self.new.create_roles()
            # A new database: the name that the dump was taken of is free in a new cluster.
            self.scratch.must(["dropdb", "oauth2"], self.new.libpq())
            keys["RESTORE_OWNER_URL"] = self.new.url("oauth2_owner")
            self.note(self.program("restore-postgres", backup, "oauth2", environment=self.new.libpq() | keys))
            return
        environment = keys | {"PATH": self.new.libpq()["PATH"], "RESTORE_TIMEOUT": "120"}
        self.note(self.program("restore-to-time", backup, self.new.data, *([self.moment] if self.moment else []), environment=environment))
        self.new.start()

    def note(self, printed: str) -> None:
        """What `restore-epoch` said: how many clients the restored database did not have as they were at the loss."""
        rows = re.search(r"audit rows of clients and keys: (\d+)", printed)
        again = re.search(r"changed again: (\d+)", printed)
        self.outcome.facts.append(f"{rows[1] if rows else 'no'} audit rows in the log, {again[1] if again else 'no'} clients changed again")

    def verify(self, backup_began: float, end: float) -> None:
        """Against the ledger: nothing acknowledged before the backup is missing, nothing revoked is active, no change is undone, clients authenticate."""
        outcome, issued = self.outcome, self.ledger.issued
        known = set(self.new.ask("SELECT jti FROM tokens", database="oauth2").split())
        # The archive restores what came after the backup, too: up to the last file of the log, or the moment.
        certain = self.ledger.before(backup_began)
        missing = [entry for entry in certain if entry.jti not in known]
        if not certain:
            outcome.problems.append("no token was acknowledged before the backup")
        if missing:
            outcome.problems.append(f"{len(missing)} of {len(certain)} tokens acknowledged before the backup are missing")
        revoked = self.ledger.revoked()
        late = [entry for entry in revoked if entry.revoked_at is not None and entry.revoked_at > backup_began]
        if not late:
            outcome.problems.append("no revocation was acknowledged after the backup began: the drill proves nothing")
        alive = self.active(revoked)
        if alive:
            outcome.problems.append(f"{len(alive)} of {len(revoked)} revoked tokens are active again")
        undone = self.changes.undone(self.restored)
        outcome.problems.extend(undone)
        for client in self.clients:
            self.restored.token(client)
        last = max((entry.at for entry in issued if entry.jti in known), default=backup_began)
        outcome.recovery_point = max(0.0, end - last)
        lost = [entry for entry in issued if entry.jti not in known and entry.at < end]
        outcome.facts.append(f"{len(issued)} tokens and {len(revoked)} revocations acknowledged, {len(late)} of the revocations after the backup began")
        outcome.facts.append(f"all {len(certain) - len(missing)} tokens from before the backup are known, {len(lost)} later ones are lost")
        outcome.facts.append(f"{len(alive)} revoked tokens are active; {len(self.clients)} clients authenticate")
        if not undone:
            outcome.facts.append("a replaced secret is refused, a disabled client stays disabled, a narrowed scope stays narrow")

    def active(self, entries: list[Issued]) -> list[Issued]:
        """Those that the restored server calls active; four threads ask."""
        found: list[Issued] = []
        errors: list[Exception] = []

        def ask(part: list[Issued]) -> None:
            try:
                found.extend(entry for entry in part if self.restored.is_active(entry.client, entry.token))
            except (Failed, OSError) as error:
                errors.append(error)

        threads = [threading.Thread(target=ask, args=(entries[start::4],)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise Failed(f"introspection after the restore failed: {errors[0]}")
        return found
