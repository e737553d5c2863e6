# shellcheck shell=bash disable=SC2154
# Images under the names of compose.yaml, made from the programs of this machine, because no registry of images is reached. They have the same
# entry points, users and data directories as the published ones; the versions are this machine's.

# closure FILE…: these files, and the libraries of the programs among them.
closure() {
    local file
    for file in "$@"; do
        printf '%s\n' "$file"
        # A script or a static program has none.
        { ldd "$file" 2>/dev/null || true; } | sed -nE 's#^[^/]*(/[^ ]+) \(0x.*#\1#p'
    done | sort -u
}

# Sets `postgres_home`, the directory of the newest Postgres.
find_postgres() { postgres_home=$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 2>/dev/null | sort -V | tail -n 1); }

service_files() {
    local programs=(/usr/sbin/haproxy /usr/bin/redis-server /usr/bin/redis-cli /usr/bin/prometheus /usr/bin/prometheus-alertmanager
        /usr/bin/wget /bin/grep "$postgres_home"/bin/{postgres,initdb,pg_ctl,pg_basebackup,pg_isready,psql})
    closure "${programs[@]}" "$postgres_home"/lib/libpqwalreceiver.so
    # llvmjit is left out: it alone is larger than everything else.
    find "$postgres_home/lib" "/usr/share/postgresql/${postgres_home##*/}" -type f ! -name 'llvmjit*' ! -path '*/bitcode/*'
    printf '%s\n' /usr/share/zoneinfo/{UTC,Etc/UTC} /usr/share/prometheus
}

# tag IMAGE LINES…: an image on top of the services' files.
tag() {
    local name=$1 directory
    shift
    directory=$(mktemp -d)
    printf '%s\n' "FROM localhost/services:base" "$@" >"$directory/Dockerfile"
    cp scripts/deploylib/composelib/{postgres-entrypoint,sink.yaml} "$directory/"
    [ -z "${otelcol:-}" ] || ln -f "$otelcol" "$directory/otelcol" 2>/dev/null || cp "$otelcol" "$directory/otelcol"
    [ -z "${k6:-}" ] || cp "$k6" "$directory/k6"
    "${buildah[@]}" bud --isolation chroot --format docker --quiet --tag "$name" "$directory" >"$TMPDIR/tag.log" 2>&1 ||
        { cat "$TMPDIR/tag.log" >&2; return 1; }
    rm -rf "$directory"
}

# service_images CONFIG: builds them; `image SERVICE` is the name in compose.yaml.
service_images() {
    local config=$1 directory
    image() { jq -r --arg name "$1" '.services[$name].image' "$config"; }
    import_base localhost/debian:base "$base"
    directory=$(mktemp -d)
    service_files | sort -u | tar --create --dereference --absolute-names --transform 's,^/,,' --file "$directory/services.tar" --files-from -
    cat >"$directory/Dockerfile" <<END
FROM localhost/debian:base
ADD services.tar /
RUN echo postgres:x:999:999::/var/lib/postgresql:/bin/bash >>/etc/passwd \
 && install -d -o 999 -g 999 -m 0700 /var/lib/postgresql/data && install -d -o 999 -g 999 /docker-entrypoint-initdb.d \
 && install -d -o 65534 -g 65534 /prometheus /alertmanager && ldconfig
ENV PATH=$postgres_home/bin:/usr/sbin:/usr/bin:/sbin:/bin
END
    "${buildah[@]}" bud --isolation chroot --format docker --quiet --tag localhost/services:base "$directory" >"$TMPDIR/services.log" 2>&1 ||
        { cat "$TMPDIR/services.log" >&2; return 1; }
    rm -rf "$directory"
    tag "$(image proxy)" 'CMD ["haproxy"]'
    tag "$(image redis)" 'CMD ["redis-server"]'
    tag "$(image postgres-primary)" 'COPY postgres-entrypoint /usr/local/bin/' 'ENTRYPOINT ["/usr/local/bin/postgres-entrypoint"]'
    tag "$(image prometheus)" 'ENTRYPOINT ["/usr/bin/prometheus"]'
    tag "$(image alertmanager)" 'ENTRYPOINT ["/usr/bin/prometheus-alertmanager"]'
    [ -z "${k6:-}" ] || tag "$(image k6)" 'COPY k6 /usr/bin/k6' 'ENTRYPOINT ["/usr/bin/k6"]'
    [ -z "${otelcol:-}" ] || {
        tag "$(image otel-collector)" 'COPY otelcol /otelcol' 'ENTRYPOINT ["/otelcol"]'
        # In place of Jaeger: a collector that prints the spans that it gets.
        tag "$(image jaeger)" 'COPY otelcol /otelcol' 'COPY sink.yaml /sink.yaml' 'ENTRYPOINT ["/otelcol", "--config=/sink.yaml"]'
    }
    tag_server "$(image server)"
}

tag_server() {
    mkdir -p target/container
    strip -o target/container/oauth2_server "$binary"
    "${buildah[@]}" bud --isolation chroot --format docker --quiet --tag "$1" --file deploy/container/Dockerfile --build-arg PREBUILT=yes \
        --build-arg BUILD_IMAGE=localhost/debian:base --build-arg RUNTIME_IMAGE=localhost/debian:base . >"$TMPDIR/server.log" 2>&1 ||
        { cat "$TMPDIR/server.log" >&2; return 1; }
}
