# shellcheck shell=bash
# What the parts of run.sh share.

# It matters to nobody whether the terminal is still there.
say() { printf 'loadtest: %s\n' "$*" >&2 || true; }

# Ends with 2: something about the call or the environment is wrong.
usage_error() {
    say "$*"
    exit 2
}

# Ends with 3: it could not be done.
give_up() {
    say "$*"
    exit 3
}

# A port of the loopback address that nothing listens on. Somebody may take it meanwhile: whoever binds it must be ready
# to try another.
free_port() {
    local port
    for _ in {1..100}; do
        # Below the range from which the kernel takes ports for outgoing connections.
        port=$((10000 + (RANDOM * 32768 + RANDOM) % 20000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    give_up "no port of 127.0.0.1 is free"
}

# Starts a command out of reach of the terminal's Ctrl-C, which is for run.sh to deal with. The caller adds `&`.
apart() {
    if command -v setsid >/dev/null; then exec setsid "$@"; else exec "$@"; fi
}

is_running() { [ -n "${1:-}" ] && kill -0 "$1" 2>/dev/null; }

# Sends a signal to a child of ours and waits until it is gone; after so many seconds it is killed.
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

# Seconds of CPU that a process and its children that have ended took; nothing where there is no /proc.
cpu_seconds() {
    local fields ticks
    [ -r "/proc/$1/stat" ] || return 0
    ticks=$(getconf CLK_TCK)
    read -ra fields <<<"$(sed 's/^.*) //' "/proc/$1/stat")"
    awk -v t="$((fields[11] + fields[12] + fields[13] + fields[14]))" -v hz="$ticks" 'BEGIN { printf "%.2f\n", t / hz }'
}

# The processes whose parent this is.
children() {
    local file
    for file in /proc/[0-9]*/stat; do
        sed -nE "s/^([0-9]+) \(.*\) [A-Za-z] $1 .*/\1/p" "$file" 2>/dev/null || true
    done
}
