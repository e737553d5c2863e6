# shellcheck shell=bash disable=SC2154,SC2164
# Read by systemd-inside, whose shell ends with a command that fails: the jobs and restores of deploy/backup, on Postgres, then on SQLite.

# --- Backups of Postgres by their timers, as backup.md says, with the roles of deploy/postgres in a new database ---
backups_of() { find /var/backups/oauth2_server -name "oauth2-$1-*.age.sha256" | sort; }
has_backup() { [ -n "$(backups_of "$1")" ]; }
# fire_timer TIMER JOB KIND: lets a timer fire now, without the delay that spreads the load of several hosts, until a backup of the kind is there.
fire_timer() {
    mkdir -p "$units/$1.timer.d"
    printf '[Timer]\nOnCalendar=\nOnCalendar=*-*-* *:*:*\nRandomizedDelaySec=0\nAccuracySec=100ms\n' >"$units/$1.timer.d/now.conf"
    systemctl daemon-reload
    systemctl enable -q --now "$1.timer"
    wait_until 40 has_backup "$3" || true
    systemctl disable -q --now "$1.timer"
    job_ended() { [ "$(property "oauth2-backup@$1" ActiveState)" != activating ]; }
    wait_until 30 job_ended "$2" || true
    check "$1.timer fires, and its job makes a backup in its sandbox" "$(property "oauth2-backup@$2" Result), $(log "oauth2-backup@$2" | tail -n 3)" has_backup "$3"
}
as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
readonly deploy=/opt/oauth2_server/deploy
install -d -m 755 /etc/oauth2_server
install -d -m 700 /run/restore
cp -r "$deploy"/backup/systemd/* "$units/"
if command -v age >/dev/null && [ -x /usr/bin/python3 ]; then
    (umask 077; age-keygen -o /run/restore/backup.identity 2>/dev/null)
    age-keygen -y /run/restore/backup.identity >/etc/oauth2_server/backup.recipients
    binaries=$(systemctl cat check-postgres.service | sed -n 's|^ExecStart=\(.*\)/postgres .*|\1|p')
    psql_admin -c 'DROP DATABASE oauth2 (FORCE)' -c 'DROP ROLE oauth2'
    install -d -o postgres -m 700 /etc/oauth2_server/secrets
    as_postgres env PGHOST=/run/check-postgres PGUSER=postgres "$deploy/postgres/create-roles" /etc/oauth2_server/secrets
    OAUTH2_DATABASE_URL=postgres://oauth2_owner@127.0.0.1/oauth2 OAUTH2_DATABASE_PASSWORD_FILE=/etc/oauth2_server/secrets/oauth2_owner \
        OAUTH2_KEY_ENCRYPTION_KEY_FILE=$etc/credentials/key_encryption_key oauth2_server migrate
    psql_admin -d oauth2 -f "$deploy/postgres/privileges.sql"
    # The password of the database is changed as rotation.md says: on the primary, then in the file of the servers.
    before=$(cat /etc/oauth2_server/secrets/oauth2_server)
    PGHOST=/run/check-postgres PGUSER=postgres in_checkout "$(doc-block rotation.md 'create-roles /etc/oauth2_server/secrets')" >/dev/null
    cp /etc/oauth2_server/secrets/oauth2_server /run/restore/
    (cd /run/restore && bash -euc "$(doc-block rotation.md 'shred -u oauth2_server')")
    log_in() { PGPASSWORD=$1 psql -X -A -t -h 127.0.0.1 -U oauth2_server -d oauth2 -c 'SELECT 1' 2>&1 || true; }
    seen="$(log_in "$(cat "$etc/secrets/database_password")"), $(stat -c '%a %G' "$etc/secrets/database_password"), $(log_in "$before" | grep -o 'password authentication failed'), $(find /run/restore -name oauth2_server)"
    check 'rotation.md: create-roles gives the role the new password, the file of the servers has it, and the old one is refused' "$seen" \
        [ "$seen" = '1, 640 oauth2-server, password authentication failed, ' ]
    # TLS is a matter of the check of Postgres.
    sed -e 's|^PGHOST=.*|PGHOST=127.0.0.1|' -e 's|^PGSSLMODE=.*|PGSSLMODE=disable|' -e '/^PGSSLROOTCERT/d' -e "s|^PG_BINARIES=.*|PG_BINARIES=$binaries|" \
        "$deploy/backup/backup.conf.example" >/etc/oauth2_server/backup.conf
    (umask 077; cd /etc/oauth2_server/secrets; for role in oauth2_backup oauth2_replication; do
        printf '*:*:*:%s:%s\n' $role "$(cat $role)"; done >/etc/oauth2_server/backup.pgpass)
    chown postgres /etc/oauth2_server/backup.pgpass
    install -d -o postgres -m 700 /var/backups/oauth2_server
    install -d -m 755 /var/lib/prometheus/node-exporter
    in_checkout "$(doc-block backup.md 'BACKUP_METRICS_DIRECTORY=')"
    fire_timer oauth2-backup-postgres backup-postgres postgres
    fire_timer oauth2-base-backup base-backup base
    seen=$(find /var/lib/prometheus/node-exporter -type f -printf '%f %m\n' | sort | xargs)
    check 'the jobs write the time of their success where node_exporter reads it' "$seen" [ "$seen" = 'oauth2-backup-base.prom 644 oauth2-backup-postgres.prom 644' ]
    # The next ones are those of SQLite, by the defaults.
    rm -rf /etc/oauth2_server/backup.conf /var/backups/oauth2_server
else
    not_run 'the timers of the backups of Postgres' 'age or python3 is not installed'
fi

# --- SQLite ---
sed -i '/^OAUTH2_DATABASE_URL/d' "$etc/oauth2-server.env"
install -D -m 644 "$files/examples/sqlite.conf" "$units/oauth2-server.service.d/sqlite.conf"
systemctl daemon-reload
systemctl start oauth2-server.service
check 'with examples/sqlite.conf a node runs on SQLite alone' "$(log oauth2-server | tail -2)" wait_until 60 ready 8081
seen=$(stat -c '%n %a %U' /var/lib/oauth2-server/oauth2.db /var/lib/oauth2-server/key_encryption_key 2>&1 | xargs)
check 'its database and key are in the state directory, for its user only' "$seen" \
    [ "$seen" = '/var/lib/oauth2-server/oauth2.db 600 oauth2-server /var/lib/oauth2-server/key_encryption_key 600 oauth2-server' ]

# --- Backup of SQLite by its timer, and the restore, as backup.md and disaster-recovery.md say ---
if command -v age >/dev/null && [ -x /usr/bin/python3 ]; then
    cp /var/lib/oauth2-server/key_encryption_key /run/restore/
    PATH=/usr/bin:$PATH in_checkout "$(doc-block backup.md 'enable --now oauth2-backup-sqlite.timer')"
    check 'the commands of backup.md make a backup of SQLite, and enable its timer' "$(backups_of sqlite) $(systemctl is-enabled oauth2-backup-sqlite.timer)" \
        [ "$(backups_of sqlite | wc -l) $(systemctl is-enabled oauth2-backup-sqlite.timer)" = '1 enabled' ]
    rm /var/backups/oauth2_server/*
    fire_timer oauth2-backup-sqlite backup-sqlite sqlite
    # The job that needs the drop-in: without it, it must fail, or this check would prove nothing.
    mv "$units/oauth2-backup@backup-sqlite.service.d" /run/without
    mkdir "$units/oauth2-backup@backup-sqlite.service.d"
    sed '/^ReadWritePaths/d' /run/without/sqlite.conf >"$units/oauth2-backup@backup-sqlite.service.d/sqlite.conf"
    systemctl daemon-reload
    systemctl start oauth2-backup@backup-sqlite.service 2>/dev/null || true
    seen="$(property oauth2-backup@backup-sqlite Result), exit code $(property oauth2-backup@backup-sqlite ExecMainStatus)"
    check 'without ReadWritePaths= of the drop-in the same job fails (exit code 3)' "$seen" [ "$seen" = 'exit-code, exit code 3' ]
    systemctl reset-failed

    backup=$(backups_of sqlite | tail -n 1)
    log oauth2-server >/run/restore/server.jsonl
    # The database is lost; the service stops at the first command of the page.
    rm -rf /var/lib/oauth2-server/*
    seen=$(in_checkout "$(doc-block disaster-recovery.md 'deploy/backup/restore-sqlite' --replace oauth2-sqlite-20261130T020500Z.db.gz.age "${backup%.sha256}")" 2>&1) || true
    check 'restore-sqlite into the directory of the service, by the commands of the page: the service starts on the restored database' \
        "$seen $(log oauth2-server | tail -n 2)" wait_until 60 ready 8081
else
    not_run 'the timer of the backup of SQLite, and the restore' 'age or python3 is not installed'
fi
