"""A standby made by deploy/postgres/replication, its slot, promotion, the server that follows, and the old primary as the new standby."""

import signal
import threading
import time
from pathlib import Path

from postgres_report import Report, expect, refusal

from drilllib.cluster import HOST, Cluster
from drilllib.scratch import Failed, Scratch, last_lines
from drilllib.server import Server

# docs/postgres.md, "Failover": writes resume within 3 s after the new primary accepts them.
RESUMED = 3.0


class Writer(threading.Thread):
    """Requests tokens one after the other, and notes when each one was acknowledged."""

    def __init__(self, server: Server, client: tuple[str, str]) -> None:
        super().__init__(daemon=True)
        self.server, self.client = server, client
        self.acknowledged: list[tuple[float, str]] = []
        self.other: dict[str, int] = {}
        self.is_stopping = threading.Event()

    def run(self) -> None:
        while not self.is_stopping.is_set():
            try:
                self.acknowledged.append((time.monotonic(), self.server.token(self.client)))
            except Failed as error:
                kind = str(error).split("got ")[1][:3]
                self.other[kind] = self.other.get(kind, 0) + 1
                time.sleep(0.02)

    def first_after(self, moment: float, seconds: float) -> float | None:
        deadline = moment + seconds
        while time.monotonic() < deadline:
            later = [at for at, _ in self.acknowledged[-50:] if at > moment]
            if later:
                return later[0] - moment
            time.sleep(0.01)
        return None


def until(cluster: Cluster, sql: str, expected: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while True:
        seen = cluster.ask(sql)
        if seen == expected:
            return
        expect(time.monotonic() < deadline, f"{sql}: {seen}, not {expected}")
        time.sleep(0.1)


def make_standby(primary: Cluster, standby: Cluster, name: str) -> list:
    password = primary.password("oauth2_replication")
    passfile = primary.scratch.file(f"{standby.name}/replication.pgpass", f"*:*:*:oauth2_replication:{password}\n")
    program = primary.scratch.deploy / "postgres/replication/make-standby"
    return [program, HOST, primary.port, name, standby.data, passfile, primary.certificates / "ca.crt"]


def standby_follows(report: Report, primary: Cluster, standby: Cluster) -> None:
    command = make_standby(primary, standby, "standby_b")
    with report.check("make-standby: slot, pg_basebackup over verify-full with a passfile, pg_verifybackup") as seen:
        primary.scratch.must(command, {"PG_BINARIES": primary.tools})
        conninfo = (standby.data / "postgresql.auto.conf").read_text()
        expect(primary.password("oauth2_replication") not in conninfo, "the password is in postgresql.auto.conf")
        standby.start()
        state = "SELECT state || ' ' || sync_state FROM pg_stat_replication WHERE application_name = 'standby_b'"
        until(primary, state, "streaming async")
        until(primary, "SELECT active || ' ' || wal_status FROM pg_replication_slots WHERE slot_name = 'standby_b'", "true reserved")
        seen.append("streaming through its slot; the password is in the passfile only")
    with report.check("make-standby: refusals"):
        refusal(primary.scratch.run(command, {"PG_BINARIES": primary.tools}), "is not empty")
        command[4] = primary.scratch.path / "another"
        refusal(primary.scratch.run(command, {"PG_BINARIES": primary.tools}), "a standby is connected to the slot")
    with report.check("hot_standby_feedback: the primary knows the oldest query of the standby"):
        until(primary, "SELECT xmin IS NOT NULL FROM pg_replication_slots WHERE slot_name = 'standby_b'", "t")
    with report.check("the standby answers oauth2_readonly, and accepts no writes"):
        expect(int(standby.ask("SELECT count(*) FROM clients", "oauth2_readonly", "oauth2")) > 0, "it has no clients")
        refusal(standby.run("DELETE FROM clients", "oauth2_owner", "oauth2"), "read-only transaction")
    with report.check("replication.sql shows the standby and its slot"):
        shown = primary.file(primary.scratch.deploy / "postgres/replication/replication.sql", database="postgres")
        expect(shown.count("standby_b") == 2, shown)


def failover(report: Report, primary: Cluster, standby: Cluster, server: Server, client: tuple[str, str]) -> None:
    scratch = primary.scratch
    promote = [scratch.deploy / "postgres/replication/promote", HOST, str(primary.port)]
    with report.check("promote: refused while the old primary responds"):
        done = scratch.run(promote, standby.libpq())
        refusal(done, "fence it first")
        expect(standby.ask("SELECT pg_is_in_recovery()") == "t", "it was promoted")
    primary.ask("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (standby_b)'")
    primary.ask("SELECT pg_reload_conf()")
    until(primary, "SELECT sync_state FROM pg_stat_replication", "quorum")
    writer = Writer(server, client)
    writer.start()
    with report.check("failover: the primary is lost under load, the standby is promoted by pg_promote(), the server follows its URL") as seen:
        expect(writer.first_after(time.monotonic(), 5) is not None, "no token before the failover")
        time.sleep(1)
        primary.stop(signal.SIGQUIT)
        time.sleep(0.5)
        # From here on, so that the time of the promotion itself counts, too.
        promoted = time.monotonic()
        scratch.must(promote, standby.libpq())
        resumed = writer.first_after(promoted, 30)
        expect(resumed is not None and resumed <= RESUMED, f"writes resumed after {resumed} s; the server: {last_lines(server.log.read_text())}")
        seen.append(f"writes resumed {resumed:.2f} s after the promotion was ordered (promised: {RESUMED:.0f} s), without a restart of the server")
        time.sleep(0.5)
        writer.is_stopping.set()
        writer.join(20)
        expect(set(writer.other) <= {"503"}, f"other responses than 503: {writer.other}")
        lost = [token for _, token in writer.acknowledged if not server.is_active(client, token)]
        expect(not lost, f"{len(lost)} of {len(writer.acknowledged)} acknowledged tokens are unknown")
        seen.append(f"{len(writer.acknowledged)} acknowledged opaque tokens, none lost (synchronous standby); {writer.other.get('503', 0)} requests got 503")


def old_primary_returns(report: Report, primary: Cluster, standby: Cluster) -> None:
    """`standby` is the primary now."""
    with report.check("the old primary becomes the standby by pg_rewind") as seen:
        standby.ask("SELECT pg_create_physical_replication_slot('standby_a', true)")
        primary.scratch.must(
            [primary.tools / "pg_rewind", "--target-pgdata", primary.data,
             f"--source-server=host={standby.sockets} port={standby.port} user=postgres dbname=postgres"],
            {"PATH": f"{primary.tools}:/usr/bin:/bin"},
        )
        passfile = primary.scratch.path / standby.name / "replication.pgpass"
        info = (f"host={HOST} port={standby.port} user=oauth2_replication passfile={passfile} sslmode=verify-full "
                f"sslrootcert={primary.certificates / 'ca.crt'} application_name=standby_a")
        with open(primary.data / "postgresql.auto.conf", "a") as file:
            file.write(f"primary_conninfo = '{info}'\nprimary_slot_name = 'standby_a'\n")
        primary.scratch.file(f"{primary.name}/data/standby.signal", "")
        primary.start()
        until(standby, "SELECT state FROM pg_stat_replication WHERE application_name = 'standby_a'", "streaming")
        seen.append("streaming from the new primary")


def slot_limit(report: Report, cluster: Cluster) -> None:
    with report.check("max_slot_wal_keep_size: a slot whose standby is gone is given up before it fills the disk") as seen:
        cluster.ask("SELECT pg_create_physical_replication_slot('gone', true)")
        cluster.ask("ALTER SYSTEM SET max_slot_wal_keep_size = '32MB'")
        cluster.ask("ALTER SYSTEM SET max_wal_size = '64MB'")
        cluster.ask("ALTER SYSTEM SET min_wal_size = '32MB'")
        cluster.ask("SELECT pg_reload_conf()")
        for _ in range(8):
            cluster.ask("SELECT pg_logical_emit_message(true, 'x', 'x')")
            cluster.ask("SELECT pg_switch_wal()")
        cluster.ask("CHECKPOINT")
        until(cluster, "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'gone'", "lost")
        cluster.ask("SELECT pg_drop_replication_slot('gone')")
        cluster.ask("UPDATE clients SET updated_at = updated_at", database="oauth2")
        seen.append("wal_status is `lost`, and the primary accepts writes")


def check(report: Report, scratch: Scratch, binaries: Path, binary: Path) -> None:
    primary = Cluster(scratch, "a", binaries, binaries, group="pair")
    standby = Cluster(scratch, "b", binaries, binaries, group="pair")
    server = Server(scratch, binary, primary, "followed")
    try:
        primary.create()
        primary.start()
        primary.create_roles()
        server.must("migrate")
        primary.grant()
        client = server.register("writer", "--format", "opaque")
        server.start(url=primary.url("oauth2_server", hosts=f"{HOST}:{primary.port},{HOST}:{standby.port}"))
        standby_follows(report, primary, standby)
        failover(report, primary, standby, server, client)
        old_primary_returns(report, primary, standby)
        slot_limit(report, standby)
    except Failed as error:
        report.failed("replication", error)
    finally:
        server.stop()
        standby.stop()
        primary.stop()
