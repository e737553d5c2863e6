#!/usr/bin/env bash
# Runs a load test. See `usage` below and loadtest/README.md.
#
# shellcheck disable=SC2030,SC2031,SC2317 # subshells set variables for one command; traps call functions
set -Eeuo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
# shellcheck source=sh/common.sh
. "$here/sh/common.sh"
# shellcheck source=sh/postgres.sh
. "$here/sh/postgres.sh"
# shellcheck source=sh/tls.sh
. "$here/sh/tls.sh"
# shellcheck source=sh/server.sh
. "$here/sh/server.sh"
# shellcheck source=sh/nodes.sh
. "$here/sh/nodes.sh"
# shellcheck source=sh/report.sh
. "$here/sh/report.sh"

usage() {
    cat <<'END'
Usage: loadtest/run.sh

Runs a load test with k6. It is configured with environment variables; loadtest/README.md lists all of them.
  PROFILE    smoke, load, stress, spike, soak, breakpoint or compare
  SCENARIOS  scenarios to run instead of the profile's
  BASE_URL   the server to test, with ADMIN_URL and ADMIN_TOKEN_FILE, or CLIENT_ID and CLIENT_SECRET_FILE
  TOKEN_URL  instead of BASE_URL: the token endpoint of another authorization server
  STORE      without BASE_URL or TOKEN_URL: sqlite or postgres, the store of a server started for the run
  NODES      without BASE_URL or TOKEN_URL: the number of servers started for the run, behind HAProxy
  TLS        1: the server started for the run serves TLS, with HTTP/2

Exit codes: 0 all thresholds held, 99 a threshold was crossed, 2 invalid configuration, 3 measurement failed,
129, 130 or 143 interrupted.
END
}

case "${1:-}" in
'') ;;
-h | --help)
    usage
    exit
    ;;
*) usage_error "unexpected argument $1: configure the run with environment variables, see loadtest/README.md" ;;
esac

random_hex() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# Treats empty variables as unset, and makes paths absolute, because the programs started below run in other directories.
for name in ADMIN_TOKEN_FILE CLIENT_SECRET_FILE INTROSPECT_CLIENT_SECRET_FILE DATABASE_URL_FILE SERVER_BINARY RESULTS_DIR; do
    value=${!name:-}
    if [ -z "$value" ]; then unset "$name"; elif [ "${value#/}" = "$value" ]; then export "$name=$PWD/$value"; fi
done
# k6 reads these as its own options, which would override the profile or disable checks.
for name in VUS DURATION ITERATIONS STAGES SCENARIOS EXECUTION_SEGMENT EXECUTION_SEGMENT_SEQUENCE PAUSED LINGER NO_SETUP \
    NO_TEARDOWN NO_THRESHOLDS NO_SUMMARY SUMMARY_MODE SUMMARY_EXPORT SUMMARY_TREND_STATS SYSTEM_TAGS \
    HTTP_DEBUG DISCARD_RESPONSE_BODIES THROW MIN_ITERATION_DURATION BATCH BATCH_PER_HOST LOG_OUTPUT CONFIG; do
    name=K6_$name
    [ -z "${!name:-}" ] || usage_error "$name must not be set: it would change what is measured or write secrets to the log"
done

# Internal variables between run.sh and main.js.
unset LOADTEST_STARTED LOADTEST_STORE LOADTEST_BRIEF LOADTEST_K6 LOADTEST_MACHINE

PROFILE=${PROFILE:-smoke}
NODES=${NODES:-1}
STORE=${STORE:-sqlite}
case "$STORE" in
sqlite | postgres) ;;
*) usage_error "STORE must be sqlite or postgres, not $STORE" ;;
esac
if [ -n "${DATABASE_URL_FILE:-}" ]; then
    [ -z "${DATABASE_URL:-}" ] || usage_error "DATABASE_URL and DATABASE_URL_FILE are mutually exclusive"
    DATABASE_URL=$(cat "$DATABASE_URL_FILE") || usage_error "DATABASE_URL_FILE cannot be read"
fi
if [ -n "${DATABASE_URL:-}" ]; then
    [ "$STORE" = postgres ] || usage_error "DATABASE_URL requires STORE=postgres"
    [ -z "${BASE_URL:-}${TOKEN_URL:-}" ] || usage_error "DATABASE_URL must not be set with BASE_URL or TOKEN_URL: it is the database of a server started for the run"
fi
own_server=''
# Whether the store is deleted after the run, so that clients need not be removed.
temporary_store=''
if [ -z "${BASE_URL:-}${TOKEN_URL:-}" ]; then
    own_server=yes
    [ -n "${DATABASE_URL:-}" ] || temporary_store=yes
    for name in ADMIN_URL ADMIN_TOKEN ADMIN_TOKEN_FILE CLIENT_ID CLIENT_SECRET CLIENT_SECRET_FILE METRICS_URL; do
        [ -z "${!name:-}" ] || usage_error "BASE_URL is missing: $name is for a server that is already running"
    done
    check_nodes
    check_tls
    for name in INTROSPECT_URL REVOKE_URL; do
        [ -z "${!name:-}" ] || usage_error "TOKEN_URL is missing: $name is for another server than oauth2_server"
    done
fi
[ -n "$own_server" ] || check_tls
command -v curl >/dev/null || fatal "curl is not installed"
K6=$("$here/k6.sh") || fatal "k6 is not installed and could not be built"
export PROFILE STORE
export RUN_ID=${RUN_ID:-$(date -u +%Y%m%d%H%M%S)-$(random_hex 3)}

scratch=$(mktemp -d "${TMPDIR:-/tmp}/loadtest-XXXXXX")
k6_id=''
progress_id=''
interrupted=''
signals=0
code=3

# Stops all started processes and removes temporary files, however the script ends.
clean_up() {
    local status=$?
    trap '' HUP INT TERM
    [ -z "$progress_id" ] || stop "$progress_id" TERM 1
    if is_running "$k6_id"; then stop "$k6_id" INT 30; fi
    stop_nodes
    stop_server
    stop_postgres
    rm -rf "$scratch"
    exit "$status"
}
trap clean_up EXIT

# Asks k6 to stop, which removes its clients first. On a second signal k6 stops immediately, and run.sh removes the clients.
interrupt() {
    interrupted=$1
    signals=$((signals + 1))
    if is_running "$k6_id"; then
        say "stopping"
        kill -s INT "$k6_id" 2>/dev/null || true
    else
        exit "$interrupted"
    fi
}
trap 'interrupt 129' HUP
trap 'interrupt 130' INT
trap 'interrupt 143' TERM

# Runs k6 in the background, so that this shell handles signals meanwhile. Sets `code` to its exit code.
run_k6() {
    local signals_before
    # Logs through stderr: what k6 writes to a log file itself is lost if it is killed.
    (in_new_session "$K6" "$@") </dev/null 2>"$results/k6.log" &
    k6_id=$!
    # A signal interrupts `wait` without ending k6.
    while :; do
        signals_before=$signals
        code=0
        wait "$k6_id" 2>/dev/null || code=$?
        if [ "$signals_before" = "$signals" ]; then break; fi
    done
    k6_id=''
}

# Without a terminal, k6's progress bars would be thousands of lines: prints one line every ten seconds instead.
show_progress() {
    local start=$SECONDS
    while sleep 10 >/dev/null 2>&1; do say "$((SECONDS - start)) s of about $1 s"; done
}

check_configuration() {
    local plan="$scratch/plan.json"
    # The URLs and the admin token of a server that is yet to be started are placeholders.
    if ! (
        if [ -n "$own_server" ]; then
            export BASE_URL=http://127.0.0.1:1 ADMIN_URL=http://127.0.0.1:1 ADMIN_TOKEN=to-be-made
        fi
        exec "$K6" inspect --include-system-env-vars --execution-requirements "$here/main.js"
    ) >"$plan" 2>"$scratch/inspect.log" </dev/null; then
        local why
        why=$(error_in "$scratch/inspect.log")
        [ -n "$why" ] || why="k6 cannot read the scripts: $(head -n 1 "$scratch/inspect.log")"
        usage_error "$why"
    fi
    length=$(sed -nE 's/.*"totalDuration": *"([^"]*)".*/\1/p' "$plan")
}

# Converts a duration such as "1h0m5s" to whole seconds, rounded up.
in_seconds() {
    sed -E 's/([0-9.]+)h/\1 3600 /; s/([0-9.]+)m/\1 60 /; s/([0-9.]+)s/\1 1 /' <<<"$1" |
        awk '{ for (i = 1; i < NF; i += 2) sum += $i * $(i + 1); printf "%d\n", sum + 0.999 }'
}

save_metrics() {
    local url=${METRICS_URL:-${ADMIN_URL:+${ADMIN_URL%/}/metrics}}
    if [ -z "$url" ] || [ "$url" = none ]; then return 0; fi
    local trust=()
    [ "${K6_INSECURE_SKIP_TLS_VERIFY:-}" != true ] || trust=(--insecure)
    if ! curl -sf "${trust[@]}" --noproxy 127.0.0.1,localhost --max-time 10 -o "$results/$1" "${url%/}"; then
        rm -f "$results/$1"
        say "the metrics of the server could not be read for $1"
    fi
}

# Removes the clients of this run unless k6 has already done so.
remove_clients() {
    if [ -n "$temporary_store" ] || ! grep -q 'loadtest-clients-registering' "$results/k6.log"; then return 0; fi
    if grep -qE 'loadtest-clients-(removed|preexisting)' "$results/k6.log"; then return 0; fi
    say "removing the clients of the run"
    (
        unset SCENARIOS
        export PROFILE=smoke
        in_new_session "$K6" run --quiet --no-usage-report --address '' --include-system-env-vars "$here/cleanup.js"
    ) >/dev/null 2>"$scratch/cleanup.log" </dev/null && return 0
    say "clients of this run may remain: $(error_in "$scratch/cleanup.log")"
    say "their ids begin with lt-$RUN_ID-; see \"Remaining data\" in loadtest/README.md"
    return 1
}

# A function, so that bash has read all of it before it runs: bash reads scripts incrementally, and this file may change
# during a run.
main() {
    check_configuration
    span=$(in_seconds "$length")

    results=${RESULTS_DIR:-$here/results/$(date -u +%Y%m%dT%H%M%SZ)-$PROFILE}
    mkdir -p "$results" || usage_error "RESULTS_DIR cannot be created: $results"
    [ ! -e "$results/summary.json" ] || usage_error "RESULTS_DIR contains the results of another run: $results"
    export RESULTS_DIR=$results

    LOADTEST_K6=$("$K6" version | sed -nE 's/^k6(\.exe)? (v[^ ]+).*/\2/p' | head -n 1)
    LOADTEST_MACHINE=$(machine)
    export LOADTEST_K6 LOADTEST_MACHINE LOADTEST_BRIEF=$scratch/brief.md
    if [ -n "$own_server" ]; then
        export LOADTEST_STARTED=yes LOADTEST_STORE=$STORE
        find_server
        if [ "$STORE" = postgres ] && [ -z "${DATABASE_URL:-}" ]; then start_postgres; fi
        if [ "$NODES" != 1 ]; then start_redis; fi
        start_server
        if [ "$NODES" != 1 ]; then start_other_nodes; fi
        say "started a server on $STORE at $BASE_URL"
    fi

    say "profile $PROFILE, about $span s, results in $results"
    save_metrics metrics-before.txt

    export K6_WEB_DASHBOARD=true K6_WEB_DASHBOARD_PORT=${K6_WEB_DASHBOARD_PORT:--1}
    export K6_WEB_DASHBOARD_EXPORT=$results/report.html
    # One point per second; about 600 points for a longer run.
    export K6_WEB_DASHBOARD_PERIOD=${K6_WEB_DASHBOARD_PERIOD:-$((span / 600 + 1))s}
    export K6_NO_USAGE_REPORT=${K6_NO_USAGE_REPORT:-true}
    # summary.js reads the older of k6's two summary formats.
    export K6_NEW_MACHINE_READABLE_SUMMARY=false
    quiet=()
    if [ ! -t 1 ]; then
        quiet=(--quiet)
        show_progress "$span" &
        progress_id=$!
    fi
    children_cpu >"$scratch/cpu_before"
    began=$SECONDS
    run_k6 run "${quiet[@]}" --address '' --include-system-env-vars --log-output stderr "$here/main.js"
    took=$((SECONDS - began))
    children_cpu >"$scratch/cpu_after"
    cpu=$(awk 'NR == 1 { before = $1 } NR == 2 { printf "%.2f\n", $1 - before }' "$scratch/cpu_before" "$scratch/cpu_after")
    if [ -n "$progress_id" ]; then
        stop "$progress_id" TERM 1
        progress_id=''
    fi

    save_metrics metrics-after.txt
    server_cpu=''
    database_cpu=''
    server_died=''
    if [ -n "$own_server" ]; then
        if is_running "$server_id"; then server_cpu=$(cpu_seconds "$server_id"); else server_died=yes; fi
        if [ -n "$postgres_id" ]; then database_cpu=$(postgres_cpu_seconds); fi
    fi
    add_cpu_times "$cpu" "$server_cpu" "$database_cpu" "$took"
    if [ -f "$scratch/brief.md" ]; then cat "$scratch/brief.md" || true; fi

    k6_code=$code
    why=$(error_in "$results/k6.log")
    case "$code" in
    0 | 99) ;;
    *) code=3 ;;
    esac
    if [ -n "$interrupted" ]; then
        code=$interrupted
        why="the run was interrupted"
    elif [ "$code" = 3 ]; then
        why=${why:-"k6 exited with $k6_code, see $results/k6.log"}
    fi
    if [ "$code" = 0 ] || [ "$code" = 99 ]; then
        why=''
        if [ ! -s "$results/summary.json" ] || [ ! -s "$results/junit.xml" ]; then
            why="k6 wrote no report, see $results/k6.log"
        elif grep -qE '"verdict": "(could not run|nothing was measured)"' "$results/summary.json"; then
            why="nothing was measured"
        elif [ "$code" = 0 ] && ! grep -q '"verdict": "thresholds held"' "$results/summary.json"; then
            why="k6 exited with 0, but the report does not say that all thresholds held"
        elif [ -n "$server_died" ]; then
            why="the server exited during the run, see $results/server.log"
        fi
        [ -z "$why" ] || code=3
    fi
    if ! remove_clients && [ "$code" = 0 ]; then
        code=3
        why="clients of the run could not be removed"
    fi
    if [ -f "$results/summary.json" ]; then fill_in exit_code "$code"; fi
    truncate_log "$results/k6.log"
    case "$code" in
    0) say "all thresholds held; report: $results/summary.md" ;;
    99) say "thresholds crossed; report: $results/summary.md" ;;
    *) say "${why:-the measurement failed}" ;;
    esac
    exit "$code"
}

main
