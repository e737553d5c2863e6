"""Faults of the store: gone, read-only, slow, locked, full, without partitions."""

import os
import subprocess
import time

from database import Database
from proxy import Proxy
from table import ERRORS, NOT_READY, RESTART, fault

# Which of these fire before the others end them depends on the moment.
SLOW = {"OAuth2BusDown", "OAuth2CommitSlow", "OAuth2DeadlinesMissed", "OAuth2RevocationLag", "HighLatency", "LatencyBudgetBurn", "OAuth2Shedding", "DatabaseConnectionPoolExhausted"}


@fault(
    "Postgres is stopped",
    {"OAuth2StoreUnavailable", "OAuth2RevocationLag", "OAuth2Shedding", *NOT_READY, *ERRORS},
    SLOW | {"OAuth2StoreNotWritable"},
)
def postgres_stopped(scene):
    database = Database(scene.stack)
    scene.serve({"OAUTH2_DATABASE_URL": database.url})
    yield
    database.stop()
    yield
    database.start()


@fault(
    "The database becomes read-only",
    {"OAuth2StoreNotWritable", "OAuth2Shedding", *NOT_READY, *ERRORS},
    SLOW | {"OAuth2StoreUnavailable"},
)
def postgres_read_only(scene):
    database = Database(scene.stack)
    scene.serve({"OAUTH2_DATABASE_URL": database.url})
    set_to = "ALTER DATABASE postgres SET default_transaction_read_only = {}"
    terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'postgres'"
    yield
    database.sql(set_to.format("on"), terminate)
    yield
    database.sql("SET default_transaction_read_only = off", set_to.format("off"), terminate)


@fault(
    "Postgres answers slowly",
    {"OAuth2CommitSlow", "LatencyBudgetBurn"},
    SLOW | ERRORS | {"OAuth2StoreNotWritable"},
)
def postgres_slow(scene):
    database = Database(scene.stack)
    proxy = Proxy(database.port)
    scene.stack.callback(proxy.close)
    scene.serve({"OAUTH2_DATABASE_URL": database.url.replace(str(database.port), str(proxy.port))})
    yield
    proxy.delay = 0.4
    yield
    proxy.delay = 0.0


@fault(
    "A session locks the table of tokens",
    {"OAuth2CommitSlow", "OAuth2DeadlinesMissed", "OAuth2Shedding", *ERRORS},
    SLOW | NOT_READY | {"OAuth2StoreNotWritable"},
)
def postgres_locked(scene):
    database = Database(scene.stack)
    scene.serve({"OAUTH2_DATABASE_URL": database.url})
    yield
    session = database.hold("LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE")
    yield
    session.terminate()


@fault(
    "The disk of the embedded store is full",
    {"OAuth2StoreNotWritable", "OAuth2StoreDiskFull", "OAuth2StoreDiskFilling", "OAuth2Shedding", *NOT_READY, *ERRORS},
    SLOW,
)
def disk_full(scene):
    def mount(node):
        data = node.directory / "data"
        data.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", data], check=True)
        # Lazily: a process may still have files open.
        scene.stack.callback(subprocess.run, ["umount", "-l", data], check=False)

    scene.serve(before=mount)
    filler = scene.node.directory / "data" / "filler"
    yield
    with filler.open("wb", buffering=0) as file:
        free = os.statvfs(filler.parent)
        # Not at once: the forecast needs a slope.
        step = free.f_bavail * free.f_frsize // 12
        for _ in range(11):
            file.write(b"\0" * step)
            time.sleep(0.7)
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    yield
    filler.unlink()


@fault(
    "Partitions are not made ahead: a session holds a lock that keeps them from being attached",
    {"OAuth2PartitionsMissing"},
    RESTART,
    recovery=150,
)
def partitions_not_made(scene):
    database = Database(scene.stack)
    scene.serve({"OAUTH2_DATABASE_URL": database.url})
    yield
    scene.node.stop()
    partitions = database.sql("SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'tokens'::regclass AND inhrelid::regclass::text LIKE 'tokens_p%' ORDER BY 1")
    database.sql(*[f"DROP TABLE {name}" for name in partitions[-2:]])
    session = database.hold("LOCK TABLE tokens IN SHARE UPDATE EXCLUSIVE MODE")
    scene.node.start()
    yield
    session.terminate()


@fault("No name server responds", {"OAuth2StoreNameUnresolved"}, ERRORS | {"OAuth2Shedding"})
def name_not_resolved(scene):
    database = Database(scene.stack)
    hosts, servers = scene.stack.directory / "hosts", scene.stack.directory / "resolv.conf"
    names = "127.0.0.1 localhost db.test\n"
    hosts.write_text(names)
    # Nothing is bound to its port 53.
    servers.write_text("nameserver 127.0.0.1\n")
    mounts = f"mount --bind {hosts} /etc/hosts && mount --bind {servers} /etc/resolv.conf"
    prefix = ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh"]
    scene.serve({"OAUTH2_DATABASE_URL": database.url.replace("@127.0.0.1:", "@db.test:")}, prefix=prefix)
    yield
    hosts.write_text("")
    for _ in range(3):
        database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'oauth2_server'")
        time.sleep(1)
    yield
    hosts.write_text(names)


@fault("The read replica answers slowly", {"OAuth2ReplicaUnused"})
def replica_slow(scene):
    database = Database(scene.stack)
    proxy = Proxy(database.port)
    scene.stack.callback(proxy.close)
    # The primary stands for its own replica: what matters is how it is reached.
    scene.serve({"OAUTH2_DATABASE_URL": database.url, "OAUTH2_DATABASE_READ_URL": database.url.replace(str(database.port), str(proxy.port))})
    yield
    proxy.delay = 0.4
    yield
    proxy.delay = 0.0
