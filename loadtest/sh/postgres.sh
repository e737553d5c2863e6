# shellcheck shell=bash disable=SC2034,SC2154
# A private Postgres with its own directory, port and password. It is durable, and deleted after the run.

postgres_id=''
postgres_directory=''

postgres_binaries() {
    local newest=''
    newest=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
    [ -n "$newest" ] || newest=$(command -v initdb || true)
    [ -n "$newest" ] || fatal "STORE=postgres requires DATABASE_URL, or initdb and postgres on this machine"
    dirname "$(readlink -f "$newest")"
}

# Starts Postgres and sets postgres_url.
start_postgres() {
    local binaries port password url user as_owner=()
    binaries=$(postgres_binaries)
    postgres_directory=$(mktemp -d "${TMPDIR:-/tmp}/loadtest-pg-XXXXXX")
    password=$(random_hex 24)
    printf '%s\n' "$password" >"$postgres_directory/password"
    # Postgres refuses to run as root: then it runs as the user `postgres`, or as `nobody`.
    if [ "$(id -u)" = 0 ]; then
        user=postgres
        id postgres >/dev/null 2>&1 || user=nobody
        chown -R "$user" "$postgres_directory"
        as_owner=(setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups)
    fi
    "${as_owner[@]}" "$binaries/initdb" --pgdata "$postgres_directory/data" --username loadtest --auth scram-sha-256 \
        --pwfile "$postgres_directory/password" --encoding UTF8 --locale C.UTF-8 >"$scratch/initdb.log" 2>&1 ||
        fatal "initdb failed: $(tail -n 1 "$scratch/initdb.log")"
    for _ in {1..3}; do
        port=$(free_port)
        # Durable, stated explicitly: results with a non-durable Postgres would be meaningless.
        (in_new_session "${as_owner[@]}" "$binaries/postgres" -D "$postgres_directory/data" -c listen_addresses=127.0.0.1 -c port="$port" \
            -c unix_socket_directories= -c max_connections=200 -c fsync=on -c synchronous_commit=on \
            -c log_min_messages=warning) >"$results/postgres.log" 2>&1 </dev/null &
        postgres_id=$!
        url="postgres://loadtest:$password@127.0.0.1:$port/postgres"
        if wait_for_postgres "$binaries" "$port"; then
            postgres_url=$url
            return
        fi
    done
    fatal "Postgres did not start, see $results/postgres.log"
}

wait_for_postgres() {
    for _ in {1..300}; do
        is_running "$postgres_id" || return 1
        "$1/pg_isready" -q -h 127.0.0.1 -p "$2" && return
        sleep 0.1
    done
    return 1
}

postgres_cpu_seconds() {
    local id
    for id in "$postgres_id" $(children "$postgres_id"); do cpu_seconds "$id"; done | awk '{ sum += $1 } END { printf "%.2f\n", sum }'
}

stop_postgres() {
    if [ -n "$postgres_id" ]; then stop "$postgres_id" INT 20; fi
    postgres_id=''
    if [ -n "$postgres_directory" ]; then rm -rf "$postgres_directory"; fi
    postgres_directory=''
}
