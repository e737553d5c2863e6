# shellcheck shell=bash disable=SC2034,SC2154
# The server started for the run: built from this repository unless SERVER_BINARY names one, with its own data, ports and secrets.

server_id=''

find_server() {
    if [ -n "${SERVER_BINARY:-}" ]; then
        [ -x "$SERVER_BINARY" ] || usage_error "SERVER_BINARY must name an executable file: $SERVER_BINARY"
        server_binary=$SERVER_BINARY
        return
    fi
    command -v cargo >/dev/null || fatal "the server cannot be built without cargo: set SERVER_BINARY or BASE_URL"
    say "building the server"
    (cd "$root" && cargo build --quiet --release --locked --bin oauth2_server) || fatal "the server could not be built"
    # A relative CARGO_TARGET_DIR is relative to where cargo ran.
    server_binary=$(cd "$root" && realpath "${CARGO_TARGET_DIR:-target}")/release/oauth2_server
    if [ -z "${COMMIT:-}" ] && COMMIT=$(git -C "$root" rev-parse --short=12 HEAD 2>/dev/null); then
        git -C "$root" diff --quiet HEAD 2>/dev/null || COMMIT="$COMMIT with changes"
        export COMMIT
    fi
}

# Starts the server on a store and sets BASE_URL, ADMIN_URL and ADMIN_TOKEN_FILE.
start_server() {
    local public management name state hint=''
    # Addresses and secrets are set here; all other OAUTH2_* variables are passed on.
    for name in DATABASE_URL ADMIN_TOKEN KEY_ENCRYPTION_KEY; do unset "OAUTH2_$name" "OAUTH2_${name}_FILE"; done
    unset OAUTH2_ISSUER OAUTH2_SERVER_HOST OAUTH2_MANAGEMENT_HOST OAUTH2_MANAGEMENT_TLS_CLIENT_CA_FILE
    for name in SERVER MANAGEMENT; do unset "OAUTH2_${name}_TLS_CERTIFICATE_FILE" "OAUTH2_${name}_TLS_KEY_FILE"; done
    if [ "$scheme" = https ]; then make_certificate; fi
    random_hex 32 >"$scratch/admin_token"
    head -c 32 /dev/urandom | base64 >"$scratch/key_encryption_key"
    if [ "$STORE" = sqlite ]; then
        printf 'sqlite://%s/oauth2.db\n' "$scratch" >"$scratch/database_url"
    else
        printf '%s\n' "${DATABASE_URL:-$postgres_url}" >"$scratch/database_url"
    fi
    unset DATABASE_URL DATABASE_URL_FILE
    export OAUTH2_DATABASE_URL_FILE=$scratch/database_url OAUTH2_ADMIN_TOKEN_FILE=$scratch/admin_token
    export OAUTH2_KEY_ENCRYPTION_KEY_FILE=$scratch/key_encryption_key OAUTH2_SERVER_DRAIN_DELAY=0
    for _ in {1..3}; do
        public=$(free_port)
        management=$(free_port)
        export OAUTH2_SERVER_PORT=$public OAUTH2_MANAGEMENT_PORT=$management
        (cd "$scratch" && in_new_session "$server_binary") >"$scratch/server.out" \
            2>>"$results/server.log" </dev/null &
        server_id=$!
        state=0
        wait_for_server "$public" || state=$?
        if [ "$state" = 0 ]; then
            export BASE_URL=$scheme://127.0.0.1:$public ADMIN_URL=$scheme://127.0.0.1:$management
            export ADMIN_TOKEN_FILE=$scratch/admin_token
            trust_certificate
            return
        fi
        # The server ran but did not become ready: another port would not help.
        [ "$state" = 1 ] || break
    done
    [ -n "$temporary_store" ] || hint='; DATABASE_URL must name an empty database: keys that are already in it cannot be decrypted'
    fatal "the server did not become ready, see $results/server.log$hint"
}

# Returns 1 if the server exited, 2 if it was not ready in time.
wait_for_server() {
    wait_until_ready "$server_id" "$1" && return
    is_running "$server_id" || return 1
    stop "$server_id" TERM 10
    return 2
}

stop_server() {
    if [ -n "$server_id" ]; then stop "$server_id" TERM 15; fi
    server_id=''
}
