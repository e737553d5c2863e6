# shellcheck shell=bash disable=SC2034,SC2154
# What k6 cannot know when it writes the report: what it used of the machine, and how it ended.

# "2 x CPU name, 24 GiB, Linux 6.1"
machine() {
    local cpu memory
    cpu=$(sed -nE 's/^model name[^:]*: *//p' /proc/cpuinfo 2>/dev/null | head -n 1 || true)
    memory=$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo 2>/dev/null || true)
    printf '%s x %s, %s, %s\n' "$(cores)" "${cpu:-$(uname -m)}" "${memory:-memory not known}" "$(uname -sr)"
}

cores() { nproc 2>/dev/null || getconf _NPROCESSORS_ONLN; }

# Seconds of CPU of all children that this shell has waited for.
waited_cpu() {
    # Not through a pipe: that would be another shell, with other children.
    times >"$scratch/times"
    awk 'NR == 2 { for (i = 1; i <= 2; i++) { split($i, part, /[ms]/); sum += part[1] * 60 + part[2] } printf "%.2f\n", sum }' \
        "$scratch/times"
}

# A share of the whole machine in percent, from CPU seconds and seconds.
share() { awk -v cpu="$1" -v time="$2" -v cores="$(cores)" 'BEGIN { printf "%.0f\n", (time > 0 ? 100 * cpu / time / cores : 0) }'; }

# Puts a value where summary.json has null.
fill_in() {
    sed -i.bak -E "s|^( *\"$1\": )null|\1$2|" "$results/summary.json"
    rm -f "$results/summary.json.bak"
}

# Puts a text where the row has "not known", in summary.md and in what goes to the terminal.
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

# Adds the figures of processes to the report: CPU seconds of k6, the server, the database, and the seconds it took.
add_processes() {
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
        fill_row 'CPU of the database' "within the server's"
    fi
}

# A line for each of a million refused connections is worth no more than the first and the last of them.
shorten() {
    local lines
    lines=$(wc -l <"$1")
    [ "$lines" -gt 10000 ] || return 0
    { head -n 5000 "$1" && echo "loadtest left out $((lines - 10000)) lines here" && tail -n 5000 "$1"; } >"$scratch/short"
    cat "$scratch/short" >"$1"
}

# The last sentence that says why a run could not be had.
sentence_in() {
    sed -nE 's/.*loadtest: ([^"\\]*).*/\1/p' "$1" 2>/dev/null | tail -n 1
}
