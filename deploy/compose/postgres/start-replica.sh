#!/bin/bash
# Starts the replica: copies the primary if there is no data yet, then follows it. After a promotion (standby.signal is gone) it starts as a
# primary. Runs as the user postgres.
set -Eeuo pipefail
readonly primary=${REPLICATION_PRIMARY:-postgres-primary}
umask 077
# libpq ignores a password file that a group can read, as secrets can be. /tmp is in memory.
printf '%s:5432:*:replicator:%s\n' "$primary" "$(cat /run/secrets/replication_password)" >/tmp/passfile
connection="host=$primary port=5432 user=replicator passfile=/tmp/passfile application_name=replica connect_timeout=5"

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # What an interrupted copy left behind.
    mkdir -p "$PGDATA"
    find "$PGDATA" -mindepth 1 -delete
    # The slot was created with the primary. --write-recovery-conf creates standby.signal.
    pg_basebackup --pgdata "$PGDATA" --dbname "$connection" --wal-method stream --slot replica --write-recovery-conf --checkpoint fast
    chmod 0700 "$PGDATA"
fi
exec postgres -c config_file=/etc/postgresql/postgresql.conf -c primary_conninfo="$connection" -c primary_slot_name=replica
