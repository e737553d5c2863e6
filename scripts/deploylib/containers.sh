# shellcheck shell=bash
# Shared by scripts/deploylib/container and compose: result lines, a base image made from Debian packages, and an engine without a daemon
# (buildah, podman, runc) whose images, containers, networks and firewall rules are all private to the run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools=$root/target/tools/deploy
failures=0
# What the functions below report about.
system=${0##*/}

ok() { printf 'ok       %s: %s\n' "$system" "$1"; }
failed() {
    printf 'FAILED   %s: %s - %s\n' "$system" "$1" "${2//$'\n'/ }"
    failures=$((failures + 1))
}
not_run() { printf 'not run  %s: %s - %s\n' "$system" "$1" "${2//$'\n'/ }"; }

# at_exit COMMAND…: runs it at the end, whatever happens. A program that stops in the middle reports that too.
at_exit() {
    # shellcheck disable=SC2064
    trap "status=\$?; [ \$status = 0 ] || [ \$failures != 0 ] || failed 'the check' \"it ended early, with exit code \$status\"; $*; exit \$status" EXIT
}

# verdict WHAT COMMAND…: one line for a command that has to succeed; its output is what was seen.
verdict() {
    local what=$1 seen
    shift
    if seen=$("$@" 2>&1); then ok "$what"; else failed "$what" "$(tail -n 3 <<<"$seen")"; fi
}

# Runs the calling program again in a network and mount namespace of its own, so that no bridge, firewall rule or mount of the run exists
# outside of it, and everything in it ends with the program. Needs root.
in_own_namespaces() {
    [ -z "${DEPLOY_NAMESPACES:-}" ] || { ip link set lo up && return; }
    DEPLOY_NAMESPACES=yes exec unshare --net --mount --pid --fork --mount-proc --kill-child=KILL "$0" "$@"
}

# need_programs NAME…: ends the calling program if one is not installed.
need_programs() {
    local program absent=''
    for program in "$@"; do command -v "$program" >/dev/null || absent+=" $program"; done
    [ -n "$absent" ] || return 0
    failed "programs" "not installed:$absent; scripts/setup --deploy installs them"
    exit 1
}

# debian_base NAME PACKAGES: makes target/tools/deploy/container/NAME.tar from the packages of the machine's own Debian release, whose C
# library the server was linked against. It is kept for a week; the packages come from the mirror that apt is configured for.
debian_base() {
    local name=$1 packages=$2 directory=$tools/container suite
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:?}")
    mkdir -p "$directory"
    local tar=$directory/$name-$suite.tar
    (
        # Another run may be at it.
        exec 9>"$directory/$name.lock"
        flock 9
        if [ "$(cat "$tar.packages" 2>/dev/null)" = "$packages" ] && [ -z "$(find "$tar" -mtime +7 2>/dev/null)" ]; then exit 0; fi
        # --quiet keeps errors.
        # Without a list of its own it takes Debian's default mirror.
        mapfile -t mirrors < <(find /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list -size +0 2>/dev/null | head -n 1)
        mmdebstrap --quiet --mode=root --variant=minbase --format=tar --include="$packages" "$suite" "$tar.part" "${mirrors[@]}" >&2
        rm -rf "$tar"
        mv "$tar.part" "$tar"
        printf '%s' "$packages" >"$tar.packages"
    ) || return 1
    printf '%s' "$tar"
}

# start_engine DIRECTORY: sets `buildah` and `podman`, with all their state below the directory.
start_engine() {
    local directory=$1 driver=overlay
    mkdir -p "$directory/probe/"{lower,upper,work,merged}
    # Overlay shares the files of a layer; vfs, which copies them, works everywhere.
    if mount -t overlay overlay -o "lowerdir=$directory/probe/lower,upperdir=$directory/probe/upper,workdir=$directory/probe/work" \
        "$directory/probe/merged" 2>/dev/null; then
        umount "$directory/probe/merged"
    else
        driver=vfs
    fi
    # The limits of a container can be no higher than ours where CAP_SYS_RESOURCE is not given. Both are the same: podman 4.3 swaps them.
    cat >"$directory/containers.conf" <<END
[network]
network_backend = "netavark"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
log_driver = "k8s-file"
default_ulimits = ["nofile=$(ulimit -Hn):$(ulimit -Hn)", "nproc=4096:4096"]
END
    export CONTAINERS_CONF=$directory/containers.conf TMPDIR=$directory
    local storage=(--root "$directory/storage" --runroot "$directory/run" --storage-driver "$driver")
    # shellcheck disable=SC2034
    buildah=(buildah "${storage[@]}")
    # shellcheck disable=SC2034
    podman=(podman "${storage[@]}" --network-config-dir "$directory/networks" --tmpdir "$directory/tmp")
}

# import_base NAME TAR: an image from a tar of a root directory.
import_base() {
    local directory
    directory=$(mktemp -d)
    ln "$2" "$directory/base.tar" 2>/dev/null || cp "$2" "$directory/base.tar"
    printf 'FROM scratch\nADD base.tar /\n' >"$directory/Dockerfile"
    "${buildah[@]}" bud --isolation chroot --quiet --tag "$1" "$directory" >/dev/null
    rm -rf "$directory"
}

# stop_engine DIRECTORY: removes containers and images, and unmounts what they had mounted.
stop_engine() {
    "${podman[@]}" rm --all --force --time 5 >/dev/null 2>&1 || true
    "${podman[@]}" system reset --force >/dev/null 2>&1 || true
    rm -rf "$1"
}
