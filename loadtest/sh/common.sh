# shellcheck shell=bash
# Functions shared by the parts of run.sh.

# Logs to stderr. Errors are ignored: the terminal may be closed.
say() { printf 'loadtest: %s\n' "$*" >&2 || true; }

# Exits with 2: invalid arguments or environment.
usage_error() {
    say "$*"
    exit 2
}

# Exits with 3: the measurement failed.
fatal() {
    say "$*"
    exit 3
}

# Prints a free port of 127.0.0.1. Another process may take it in the meantime: the caller must retry with another port.
free_port() {
    local port
    for _ in {1..100}; do
        # Below the kernel's range of ephemeral ports.
        port=$((10000 + (RANDOM * 32768 + RANDOM) % 20000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    fatal "no free port on 127.0.0.1"
}

# Runs a command in its own session, so that only run.sh receives the terminal's Ctrl-C. The caller adds `&`.
in_new_session() {
    if command -v setsid >/dev/null; then exec setsid "$@"; else exec "$@"; fi
}

is_running() { [ -n "${1:-}" ] && kill -0 "$1" 2>/dev/null; }

# Sends a signal to a child process and waits for it to exit; kills it after `patience` seconds.
stop() {
    local id=$1 signal=$2 patience=$3 tenth
    is_running "$id" || return 0
    kill -s "$signal" "$id" 2>/dev/null || true
    for ((tenth = 0; tenth < patience * 10; tenth += 1)); do
        is_running "$id" || break
        sleep 0.1
    done
    kill -s KILL "$id" 2>/dev/null || true
    wait "$id" 2>/dev/null || true
}

# Prints the CPU seconds of a process and its exited children; nothing on systems without /proc.
cpu_seconds() {
    local fields ticks
    [ -r "/proc/$1/stat" ] || return 0
    ticks=$(getconf CLK_TCK)
    read -ra fields <<<"$(sed 's/^.*) //' "/proc/$1/stat")"
    awk -v t="$((fields[11] + fields[12] + fields[13] + fields[14]))" -v hz="$ticks" 'BEGIN { printf "%.2f\n", t / hz }'
}

# Prints the child processes of a process.
children() {
    local file
    for file in /proc/[0-9]*/stat; do
        sed -nE "s/^([0-9]+) \(.*\) [A-Za-z] $1 .*/\1/p" "$file" 2>/dev/null || true
    done
}

# Waits until a process that listens on a port says that it is ready.
wait_until_ready() {
    for _ in {1..300}; do
        is_running "$1" || return 1
        curl -sf -o /dev/null --noproxy '*' --max-time 2 "$scheme://127.0.0.1:$2/ready" && return
        sleep 0.1
    done
    return 1
}
