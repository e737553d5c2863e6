# shellcheck shell=bash disable=SC2034,SC2154
# Completes the report with values that k6 does not know when it writes it: CPU times and the exit code.

# Prints a description of the machine, such as "2 x CPU name, 24 GiB, Linux 6.1".
machine() {
    local cpu memory
    cpu=$(sed -nE 's/^model name[^:]*: *//p' /proc/cpuinfo 2>/dev/null | head -n 1 || true)
    memory=$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo 2>/dev/null || true)
    printf '%s x %s, %s, %s\n' "$(cores)" "${cpu:-$(uname -m)}" "${memory:-memory not known}" "$(uname -sr)"
}

cores() { nproc 2>/dev/null || getconf _NPROCESSORS_ONLN; }

# Prints the CPU seconds of all children that this shell has waited for.
children_cpu() {
    # Not through a pipe: a pipe runs in a subshell, which has other children.
    times >"$scratch/times"
    awk 'NR == 2 { for (i = 1; i <= 2; i++) { split($i, part, /[ms]/); sum += part[1] * 60 + part[2] } printf "%.2f\n", sum }' \
        "$scratch/times"
}

# Prints the share of the machine in percent, from CPU seconds and elapsed seconds.
share() { awk -v cpu="$1" -v time="$2" -v cores="$(cores)" 'BEGIN { printf "%.0f\n", (time > 0 ? 100 * cpu / time / cores : 0) }'; }

# Replaces a null in summary.json.
fill_in() {
    sed -i.bak -E "s|^( *\"$1\": )null|\1$2|" "$results/summary.json"
    rm -f "$results/summary.json.bak"
}

# Replaces "not known" in a table row of summary.md and of the brief report for the terminal.
fill_row() {
    local file
    for file in "$results/summary.md" "$scratch/brief.md"; do
        awk -v row="| $1 " -v text="$2" '
            index($0, row) == 1 && match($0, /not known *\|$/) {
                $0 = substr($0, 1, RSTART - 1) sprintf("%-*s", RLENGTH - 2, text) " |"
            }
            { print }' "$file" >"$scratch/filled"
        cat "$scratch/filled" >"$file"
    done
}

# Adds CPU times to the report: CPU seconds of k6, the server and the database, and the elapsed seconds.
add_cpu_times() {
    local k6=$1 server=$2 database=$3 time=$4 percent
    [ -f "$results/summary.json" ] || return 0
    percent=$(share "$k6" "$time")
    fill_in cpu_seconds "$k6"
    fill_in cpu_share_of_machine "$(awk -v p="$percent" 'BEGIN { print p / 100 }')"
    fill_row 'CPU of the generator' "$k6 s, $percent % of its machine"
    if [ -n "$server" ]; then
        fill_in server_cpu_seconds "$server"
        fill_row 'CPU of the server' "$server s, $(share "$server" "$time") % of the machine"
    fi
    if [ -n "$database" ]; then
        fill_in database_cpu_seconds "$database"
        fill_row 'CPU of the database' "$database s, $(share "$database" "$time") % of the machine"
    elif [ -n "$server" ] && [ "$STORE" = sqlite ]; then
        fill_row 'CPU of the database' "included in the server"
    fi
}

# Keeps the first and the last 5000 lines of a log: k6 logs one line per failed connection.
truncate_log() {
    local lines
    lines=$(wc -l <"$1")
    [ "$lines" -gt 10000 ] || return 0
    { head -n 5000 "$1" && echo "run.sh omitted $((lines - 10000)) lines here" && tail -n 5000 "$1"; } >"$scratch/short"
    cat "$scratch/short" >"$1"
}

# Prints the last message of `fail` (lib/failure.js) in a log.
error_in() {
    sed -nE 's/.*loadtest: ([^"\\]*).*/\1/p' "$1" 2>/dev/null | tail -n 1
}
