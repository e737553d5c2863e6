#!/usr/bin/env bash
# Runs a load test: see `usage` below, and loadtest/README.md.
#
# shellcheck disable=SC2030,SC2031,SC2317 # subshells that set variables for one command; functions that traps call
set -Eeuo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
# shellcheck source=sh/common.sh
. "$here/sh/common.sh"
# shellcheck source=sh/postgres.sh
. "$here/sh/postgres.sh"
# shellcheck source=sh/server.sh
. "$here/sh/server.sh"
# shellcheck source=sh/report.sh
. "$here/sh/report.sh"

usage() {
    cat <<'END'
Usage: loadtest/run.sh

Everything is said by environment variables; loadtest/README.md lists them.
  PROFILE    smoke, load, stress, spike, soak, breakpoint or compare
  SCENARIOS  which of the profile's scenarios, or others
  BASE_URL   the server, with ADMIN_URL and ADMIN_TOKEN_FILE, or CLIENT_ID and CLIENT_SECRET_FILE
  TOKEN_URL  instead, the token endpoint of another server than oauth2_server
  STORE      without BASE_URL: sqlite or postgres, for a server that is started for the run

Exit code: 0 all thresholds held, 99 one was crossed, 2 the configuration is wrong, 3 it could not be measured,
129, 130 or 143 it was interrupted.
END
}

case "${1:-}" in
'') ;;
-h | --help)
    usage
    exit
    ;;
*) usage_error "arguments are not taken: everything is said by environment variables, see loadtest/README.md" ;;
esac

random_hex() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# An empty variable is an absent one, and a relative path must mean the same to all who are given it.
for name in ADMIN_TOKEN_FILE CLIENT_SECRET_FILE INTROSPECT_CLIENT_SECRET_FILE DATABASE_URL_FILE SERVER_BINARY RESULTS_DIR; do
    value=${!name:-}
    if [ -z "$value" ]; then unset "$name"; elif [ "${value#/}" = "$value" ]; then export "$name=$PWD/$value"; fi
done
# k6 would take these for options of its own, which say something else than the profile or leave out what makes it true.
for name in VUS DURATION ITERATIONS STAGES SCENARIOS EXECUTION_SEGMENT EXECUTION_SEGMENT_SEQUENCE PAUSED LINGER NO_SETUP \
    NO_TEARDOWN NO_THRESHOLDS NO_SUMMARY SUMMARY_MODE SUMMARY_EXPORT SUMMARY_TREND_STATS SYSTEM_TAGS \
    HTTP_DEBUG DISCARD_RESPONSE_BODIES THROW MIN_ITERATION_DURATION BATCH BATCH_PER_HOST LOG_OUTPUT CONFIG; do
    name=K6_$name
    [ -z "${!name:-}" ] || usage_error "$name would change what is measured or write secrets to the log: it must not be set"
done

# These are between the parts of this.
unset LOADTEST_STARTED LOADTEST_STORE LOADTEST_BRIEF LOADTEST_K6 LOADTEST_MACHINE

PROFILE=${PROFILE:-smoke}
STORE=${STORE:-sqlite}
case "$STORE" in
sqlite | postgres) ;;
*) usage_error "STORE must be sqlite or postgres, not $STORE" ;;
esac
if [ -n "${DATABASE_URL_FILE:-}" ]; then
    [ -z "${DATABASE_URL:-}" ] || usage_error "DATABASE_URL and DATABASE_URL_FILE are both given: one of them must go"
    DATABASE_URL=$(cat "$DATABASE_URL_FILE") || usage_error "DATABASE_URL_FILE cannot be read"
fi
if [ -n "${DATABASE_URL:-}" ]; then
    [ "$STORE" = postgres ] || usage_error "DATABASE_URL is for STORE=postgres"
    [ -z "${BASE_URL:-}${TOKEN_URL:-}" ] || usage_error "DATABASE_URL is for a server of our own: with BASE_URL it must not be set"
fi
own_server=''
# Whether what the run leaves in the store goes with the store.
passing=''
if [ -z "${BASE_URL:-}${TOKEN_URL:-}" ]; then
    own_server=yes
    [ -n "${DATABASE_URL:-}" ] || passing=yes
    for name in ADMIN_URL ADMIN_TOKEN ADMIN_TOKEN_FILE CLIENT_ID CLIENT_SECRET CLIENT_SECRET_FILE METRICS_URL; do
        [ -z "${!name:-}" ] || usage_error "BASE_URL is missing: $name is for a server that runs already"
    done
    for name in INTROSPECT_URL REVOKE_URL; do
        [ -z "${!name:-}" ] || usage_error "TOKEN_URL is missing: $name is for another server than oauth2_server"
    done
fi
command -v curl >/dev/null || give_up "curl is not installed"
K6=$("$here/k6.sh") || give_up "there is no k6, and none could be installed"
export PROFILE STORE
export RUN_ID=${RUN_ID:-$(date -u +%Y%m%d%H%M%S)-$(random_hex 3)}

scratch=$(mktemp -d "${TMPDIR:-/tmp}/loadtest-XXXXXX")
k6_id=''
progress_id=''
interrupted=''
signals=0
code=3

# Ends everything that was started, whatever happened.
tidy() {
    local left=$?
    trap '' HUP INT TERM
    [ -z "$progress_id" ] || stop "$progress_id" TERM 1
    if is_running "$k6_id"; then stop "$k6_id" INT 30; fi
    stop_server
    stop_postgres
    rm -rf "$scratch"
    exit "$left"
}
trap tidy EXIT

# k6 is told to stop, which it does after removing its clients; told twice, it stops at once and we remove them.
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

# Runs k6 beside us, so that signals are heard meanwhile; leaves its exit code in `code`.
run_k6() {
    local heard
    # To a file by its stderr: what it writes to a log file itself is lost if it is killed.
    (apart "$K6" "$@") </dev/null 2>"$results/k6.log" &
    k6_id=$!
    # A signal ends the waiting, not k6.
    while :; do
        heard=$signals
        code=0
        wait "$k6_id" 2>/dev/null || code=$?
        if [ "$heard" = "$signals" ]; then break; fi
    done
    k6_id=''
}

# k6 draws bars on a terminal. Elsewhere they would be thousands of lines: one now and then says enough.
show_progress() {
    local start=$SECONDS
    while sleep 10 >/dev/null 2>&1; do say "$((SECONDS - start)) s of about $1 s"; done
}

check_configuration() {
    local plan="$scratch/plan.json"
    # Where our own server will be is not known yet, nor its admin token.
    if ! (
        if [ -n "$own_server" ]; then
            export BASE_URL=http://127.0.0.1:1 ADMIN_URL=http://127.0.0.1:1 ADMIN_TOKEN=to-be-made
        fi
        exec "$K6" inspect --include-system-env-vars --execution-requirements "$here/main.js"
    ) >"$plan" 2>"$scratch/inspect.log" </dev/null; then
        local why
        why=$(sentence_in "$scratch/inspect.log")
        [ -n "$why" ] || why="k6 cannot read the scripts: $(head -n 1 "$scratch/inspect.log")"
        usage_error "$why"
    fi
    length=$(sed -nE 's/.*"totalDuration": *"([^"]*)".*/\1/p' "$plan")
}

# "1h0m5s" in seconds.
in_seconds() {
    sed -E 's/([0-9.]+)h/\1 3600 /; s/([0-9.]+)m/\1 60 /; s/([0-9.]+)s/\1 1 /' <<<"$1" |
        awk '{ for (i = 1; i < NF; i += 2) sum += $i * $(i + 1); printf "%d\n", sum + 0.999 }'
}

metrics_into() {
    local url=${METRICS_URL:-${ADMIN_URL:+${ADMIN_URL%/}/metrics}}
    if [ -z "$url" ] || [ "$url" = none ]; then return 0; fi
    local trust=()
    [ "${K6_INSECURE_SKIP_TLS_VERIFY:-}" != true ] || trust=(--insecure)
    if ! curl -sf "${trust[@]}" --noproxy 127.0.0.1,localhost --max-time 10 -o "$results/$1" "${url%/}"; then
        rm -f "$results/$1"
        say "the metrics of the server could not be read for $1"
    fi
}

# Removes the clients of this run unless k6 has said that it did.
clear_up() {
    if [ -n "$passing" ] || ! grep -q 'loadtest-clients-registering' "$results/k6.log"; then return 0; fi
    if grep -qE 'loadtest-clients-(removed|not-ours)' "$results/k6.log"; then return 0; fi
    say "removing the clients of the run"
    (
        unset SCENARIOS
        export PROFILE=smoke
        apart "$K6" run --quiet --no-usage-report --address '' --include-system-env-vars "$here/cleanup.js"
    ) >/dev/null 2>"$scratch/cleanup.log" </dev/null && return 0
    say "clients of this run may be left: $(sentence_in "$scratch/cleanup.log")"
    say "their ids begin with lt-$RUN_ID-; see \"What is left behind\" in loadtest/README.md"
    return 1
}

# In a function, so that all of it has been read before the first step: a script that changes while it runs is read on
# where it was.
main() {
    check_configuration
    span=$(in_seconds "$length")

    results=${RESULTS_DIR:-$here/results/$(date -u +%Y%m%dT%H%M%SZ)-$PROFILE}
    mkdir -p "$results" || usage_error "RESULTS_DIR cannot be made: $results"
    [ ! -e "$results/summary.json" ] || usage_error "RESULTS_DIR holds the results of another run: $results"
    export RESULTS_DIR=$results

    LOADTEST_K6=$("$K6" version | sed -nE 's/^k6(\.exe)? (v[^ ]+).*/\2/p' | head -n 1)
    LOADTEST_MACHINE=$(machine)
    export LOADTEST_K6 LOADTEST_MACHINE LOADTEST_BRIEF=$scratch/brief.md
    if [ -n "$own_server" ]; then
        export LOADTEST_STARTED=yes LOADTEST_STORE=$STORE
        find_server
        if [ "$STORE" = postgres ] && [ -z "${DATABASE_URL:-}" ]; then start_postgres; fi
        start_server
        say "a server on $STORE at $BASE_URL"
    fi

    say "profile $PROFILE, about $span s, results in $results"
    metrics_into metrics-before.txt

    export K6_WEB_DASHBOARD=true K6_WEB_DASHBOARD_PORT=${K6_WEB_DASHBOARD_PORT:--1}
    export K6_WEB_DASHBOARD_EXPORT=$results/report.html
    # A point a second, and of a long run as many as a page can show.
    export K6_WEB_DASHBOARD_PERIOD=${K6_WEB_DASHBOARD_PERIOD:-$((span / 600 + 1))s}
    export K6_NO_USAGE_REPORT=${K6_NO_USAGE_REPORT:-true}
    # The report is made of the older of the two forms that k6 has for its figures.
    export K6_NEW_MACHINE_READABLE_SUMMARY=false
    quiet=()
    if [ ! -t 1 ]; then
        quiet=(--quiet)
        show_progress "$span" &
        progress_id=$!
    fi
    waited_cpu >"$scratch/cpu_before"
    began=$SECONDS
    run_k6 run "${quiet[@]}" --address '' --include-system-env-vars --log-output stderr "$here/main.js"
    took=$((SECONDS - began))
    waited_cpu >"$scratch/cpu_after"
    cpu=$(awk 'NR == 1 { before = $1 } NR == 2 { printf "%.2f\n", $1 - before }' "$scratch/cpu_before" "$scratch/cpu_after")
    if [ -n "$progress_id" ]; then
        stop "$progress_id" TERM 1
        progress_id=''
    fi

    metrics_into metrics-after.txt
    server_cpu=''
    database_cpu=''
    died=''
    if [ -n "$own_server" ]; then
        if is_running "$server_id"; then server_cpu=$(cpu_seconds "$server_id"); else died=yes; fi
        if [ -n "$postgres_id" ]; then database_cpu=$(postgres_cpu_seconds); fi
    fi
    add_processes "$cpu" "$server_cpu" "$database_cpu" "$took"
    if [ -f "$scratch/brief.md" ]; then cat "$scratch/brief.md" || true; fi

    k6_code=$code
    why=$(sentence_in "$results/k6.log")
    case "$code" in
    0 | 99) ;;
    *) code=3 ;;
    esac
    if [ -n "$interrupted" ]; then
        code=$interrupted
        why="the run was interrupted"
    elif [ "$code" = 3 ]; then
        why=${why:-"k6 ended with $k6_code, see $results/k6.log"}
    fi
    if [ "$code" = 0 ] || [ "$code" = 99 ]; then
        why=''
        if [ ! -s "$results/summary.json" ] || [ ! -s "$results/junit.xml" ]; then
            why="k6 wrote no report, see $results/k6.log"
        elif grep -qE '"verdict": "(could not run|nothing was measured)"' "$results/summary.json"; then
            why="nothing was measured"
        elif [ "$code" = 0 ] && ! grep -q '"verdict": "thresholds held"' "$results/summary.json"; then
            why="k6 says that all went well, and the report does not"
        elif [ -n "$died" ]; then
            why="the server ended during the run, see $results/server.log"
        fi
        [ -z "$why" ] || code=3
    fi
    if ! clear_up && [ "$code" = 0 ]; then
        code=3
        why="clients of the run were left behind"
    fi
    if [ -f "$results/summary.json" ]; then fill_in exit_code "$code"; fi
    shorten "$results/k6.log"
    case "$code" in
    0) say "all thresholds held; the report: $results/summary.md" ;;
    99) say "thresholds were crossed; the report: $results/summary.md" ;;
    *) say "${why:-it could not be measured}" ;;
    esac
    exit "$code"
}

main
