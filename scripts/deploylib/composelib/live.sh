# shellcheck shell=bash disable=SC2154
# Starts the stack of deploy/compose and uses it. Sourced by scripts/deploylib/compose.

engine_id='' timer_id=''
services=(proxy server postgres-primary postgres-replica redis prometheus alertmanager)

stack() {
    DOCKER_HOST=unix://$directory/podman.sock "$compose" --ansi never --progress quiet --project-directory "$tree/deploy/compose" \
        --file "$tree/deploy/compose/compose.yaml" "$@"
}

# Docker runs health checks itself. podman leaves that to timers of systemd, which are not there: this is the timer.
run_health_checks() {
    local name
    while sleep 1; do
        for name in $("${podman[@]}" ps --format '{{.Names}}' 2>/dev/null); do
            timeout 10 "${podman[@]}" healthcheck run "$name" >/dev/null 2>&1 || true
        done
    done
}

start_podman() {
    DISABLE_HC_SYSTEMD=true "${podman[@]}" system service --time 0 "unix://$directory/podman.sock" >"$directory/podman.log" 2>&1 &
    engine_id=$!
    local _
    for _ in {1..100}; do
        if curl -fsS --unix-socket "$directory/podman.sock" -o "$directory/ping" http://engine/_ping 2>/dev/null; then break; fi
        sleep 0.1
    done
    run_health_checks &
    timer_id=$!
}

stop_stack() {
    [ -z "$timer_id" ] || kill "$timer_id" 2>/dev/null || true
    [ -z "$engine_id" ] || { stack --profile loadtest down --volumes --timeout 5 >/dev/null 2>&1 || true; kill "$engine_id" 2>/dev/null || true; }
}

in_service() { stack exec -T "$@"; }
request() { curl -sS --max-time 10 --cacert "$directory/proxy.pem" "$@"; }
token() { request -u "check:$secret" -d grant_type=client_credentials "https://$host:$port/oauth/token" | jq -r '.access_token // .error'; }
active() { request -u "check:$secret" -d "token=$1" "https://$host:$port/oauth/introspect" | jq -r .active; }
sql() { in_service "$1" psql -X -A -t -U postgres -d "${3:-oauth2}" -c "$2"; }

# eventually SECONDS COMMAND…: until the command succeeds.
eventually() {
    local until=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$until" ] || { echo "not in time: $*"; return 1; }
        sleep 0.5
    done
}
is_token() { [[ $1 == v4.public.* ]]; }
gives_token() { is_token "$(token 2>/dev/null)"; }

check_stack() {
    service_images "$directory/config.json" || { failed "images" "they could not be built"; return; }
    [ -z "$otelcol" ] || services+=(otel-collector jaeger)
    not_run "the published images" "no registry of images is reached: $(IFS=,; echo "${services[*]}") run from this machine's programs"
    not_run "grafana, jaeger" "in no package registry of this machine; a collector that prints its spans takes the place of Jaeger"
    start_podman
    openssl x509 -in "$tree/deploy/compose/secrets/proxy.pem" >"$directory/proxy.pem"
    # No image is built or pulled, and not every service has one.
    if ! in_tree bash -euc "$(start_line 2 --replace '--build --wait' "--no-build --pull never --wait --wait-timeout 120 ${services[*]}")" >"$directory/up.log" 2>&1; then
        failed "up --wait" "$(tail -n 4 "$directory/up.log")"
        stack logs --no-color --tail 15 2>&1 | tail -n 80 >&2
        return
    fi
    ok "docker compose up --wait: ${#services[@]} services, each healthy or running, started in order"
    use_it
}

prometheus_query() { in_service prometheus wget -q -O - "http://127.0.0.1:9090/api/v1/query?query=$1" | jq -r '.data.result[0].value[1] // "none"'; }
# metric_is VALUE QUERY, for eventually.
metric_is() {
    local value
    value=$(prometheus_query "$2" 2>/dev/null) || true
    [ "$value" = "$1" ] || { echo "$2 is $value" && false; }
}

use_it() {
    local seen first

    # The client, and a token through the proxy.
    # A subcommand that finds no connection to the store within 250 ms fails; on a busy machine it is repeated.
    if ! eventually 30 create_client; then failed "client create" "$(cat "$directory/client.log")"; return; fi
    secret=$(jq -r .client_secret "$directory/client.json")
    first=''
    eventually 10 gives_token && first=$(token)
    if [ "$(active "$first")" = true ]; then ok "a token through the proxy, with TLS, is active"; else failed "token" "$(token 2>&1)"; return; fi
    if eventually 30 client_of_the_page && eventually 10 token_of_the_page; then
        ok "the commands of the page create a client, which gets a token through the proxy"
    else
        failed "the commands of the page for a client" "$(cat "$directory/ci.log" "$directory/ci.token")"
    fi
    seen=$(for _ in 1 2 3 4 5 6; do active "$first"; done | sort | uniq -c | awk '{ print $1, $2 }')
    if [ "$seen" = "6 true" ]; then ok "every replica knows it"; else failed "introspection by every replica" "$seen"; fi

    # What the proxy does not pass on.
    local path status refused=''
    for path in /metrics /admin/v1/clients /openapi.json /ready /oauth/token/ '/.well-known/..%2fmetrics'; do
        status=$(request -o "$directory/refused" -w '%{http_code}' --path-as-is "https://$host:$port$path")
        [ "$status" = 404 ] || refused+=" $path: $status"
    done
    if [ -z "$refused" ]; then ok "/metrics, the admin API and other paths get 404 from the proxy"; else failed "paths" "$refused"; fi
    request -o "$directory/forged" -H 'X-Forwarded-For: 203.0.113.9' -H 'Forwarded: for=203.0.113.9' -u check:wrong \
        -d grant_type=client_credentials "https://$host:$port/oauth/token"
    seen=''
    if eventually 10 audit_has_failure >/dev/null; then seen=$(cat "$directory/address"); fi
    case $seen in
    '') failed "audit of a failed authentication" "no row" ;;
    203.0.113.9) failed "a forged X-Forwarded-For" "it is believed" ;;
    172.31.250.*) failed "address of a client" "it is that of the proxy, $seen" ;;
    *) ok "the servers know a client by its address, and a forged X-Forwarded-For is not believed" ;;
    esac

    # The services behind.
    seen=$(sql postgres-primary "SELECT application_name || ' ' || state || ' ' || (SELECT active FROM pg_replication_slots) FROM pg_stat_replication")
    if [ "$seen" = "replica streaming true" ]; then ok "the replica streams through its slot"; else failed "replication" "$seen"; fi
    if eventually 5 replica_has_client; then ok "the replica has the client"; else failed "replica" "it lacks the client"; fi
    seen=$(in_service redis redis-cli set x y 2>&1 || true)
    if grep -q NOAUTH <<<"$seen"; then ok "Redis takes nothing without a password"; else failed "Redis without a password" "$seen"; fi
    # shellcheck disable=SC2016
    seen=$(in_service redis sh -c 'export REDISCLI_AUTH=$(cat /run/secrets/redis_password); redis-cli --user oauth2 get other; redis-cli --user oauth2 config get dir' 2>&1 || true)
    if [ "$(grep -c NOPERM <<<"$seen")" = 2 ]; then ok "the ACL rejects other keys and CONFIG for the server's own user"; else failed "ACL" "$seen"; fi
    seen=$(awk '$2 == "00000000"' "/proc/$("${podman[@]}" inspect oauth2-redis-1 --format '{{.State.Pid}}')/net/route")
    if [ -z "$seen" ]; then ok "Redis has no route out of its network"; else failed "internal network" "$seen"; fi

    # Metrics and alerts.
    verdict "Prometheus scrapes both replicas" eventually 40 metric_is 2 'sum(up%7Bjob%3D%22oauth2-server%22%7D)'
    verdict "both replicas hear each other over Redis" eventually 20 metric_is 2 'min(oauth2_server_bus_nodes)'
    verdict "the proxy is scraped" eventually 60 metric_is 1 'sum(up%7Bjob%3D%22haproxy%22%7D)'
    verdict "the Watchdog alert reached Alertmanager" eventually 60 watchdog_fires
    if [ -n "$otelcol" ]; then
        local trace
        trace=$(openssl rand -hex 16)
        request -o "$directory/traced" -H "traceparent: 00-$trace-$(openssl rand -hex 8)-01" -u "check:$secret" \
            -d grant_type=client_credentials "https://$host:$port/oauth/token"
        verdict "a trace passes the collector, and leaves it for Jaeger" eventually 20 trace_arrived "$trace"
    fi
    check_scale
    check_upgrade
    check_rotation
    check_failover "$first"
    check_k6
    check_stop
}
create_client() {
    in_service server /usr/bin/oauth2_server client create --id check --grant client_credentials --scope read --json \
        >"$directory/client.json" 2>"$directory/client.log"
}
client_of_the_page() { in_tree bash -euc "$(start_line 3)" >"$directory/ci.log" 2>&1 </dev/null; }
token_of_the_page() {
    local secret_of_ci
    secret_of_ci=$(grep -oE '[A-Za-z0-9_-]{43,}' "$directory/ci.log" | tail -n 1)
    in_tree bash -euc "$(start_line 4 --replace SECRET "$secret_of_ci")" >"$directory/ci.token" 2>&1 && grep -q access_token "$directory/ci.token"
}
audit_has_failure() {
    in_service server /usr/bin/oauth2_server audit list --kind auth.failed --json 2>/dev/null |
        jq -er '.items[0].detail.address' >"$directory/address"
}
replica_has_client() { [ "$(sql postgres-replica "SELECT count(*) FROM clients WHERE client_id = 'check'" 2>/dev/null)" = 1 ]; }
watchdog_fires() { in_service alertmanager wget -q -O - http://127.0.0.1:9093/api/v2/alerts 2>/dev/null | jq -e 'any(.labels.alertname == "Watchdog")' >/dev/null; }
trace_arrived() { stack logs --no-color jaeger 2>/dev/null | grep -q "$1"; }

check_scale() {
    stack up --detach --no-build --pull never --no-recreate --scale server=3 server >"$directory/scale.log" 2>&1 ||
        { failed "up --scale server=3" "$(tail -n 2 "$directory/scale.log")"; return; }
    verdict "up --scale server=3: the proxy uses the third replica" eventually 30 metric_is 3 \
        'sum(haproxy_backend_active_servers%7Bproxy%3D%22servers%22%7D)'
    "${podman[@]}" stop --time 15 oauth2-server-3 >/dev/null 2>&1 &
    no_request_fails_during $! "the stop of a replica"
    # It would be started again with the old image.
    "${podman[@]}" rm oauth2-server-3 >/dev/null 2>&1
}

# no_request_fails_during PROCESS WHAT: requests tokens while a process runs, and 50 at least.
no_request_fails_during() {
    local broken=0 requests=0 now seen=""
    while kill -0 "$1" 2>/dev/null || [ "$requests" -lt 50 ]; do
        now=$(token 2>&1) || true
        requests=$((requests + 1))
        is_token "$now" || { broken=$((broken + 1)) seen=$now; }
    done
    wait "$1" || failed "$2" "it ended with an error: $(tail -n 2 "$directory/upgrade.log" 2>/dev/null)"
    if [ "$broken" = 0 ]; then ok "$2 under requests: $requests requests, none failed"; else
        # The proxy names the server and the end of each.
        seen+=" $(stack logs --no-color proxy 2>/dev/null | grep -E ' (5[0-9]{2}|-1) ' | tail -n 3 | tr '\n' ' ')"
        failed "$2" "$broken of $requests requests failed, the last: ${seen:0:900}$(log_of_servers)"; fi
}
# The last warnings and errors of the servers.
log_of_servers() { stack logs --no-color server 2>/dev/null | grep -E '"level":"(WARN|ERROR)"' | tail -n 12; }

# As docs/operations/compose.md describes it: new servers first, then the old ones are stopped.
check_upgrade() {
    local commands
    # The images are tagged instead of built, and none is pulled.
    commands=$(scripts/deploylib/hostlib/doc-block compose.md 'stack build server' --replace '--no-recreate' '--no-build --pull never --no-recreate' \
        --replace 'stack build server' "docker tag $(jq -r .services.server.image "$directory/config.json") docker.io/library/oauth2-server:next")
    export OAUTH2_SERVER_VERSION=next
    in_tree bash -euc "$commands" >"$directory/upgrade.log" 2>&1 </dev/null &
    no_request_fails_during $! "an upgrade of the servers"
    local images
    images=$("${podman[@]}" ps --filter label=com.docker.compose.service=server --format '{{.Image}}' | sort | uniq -c | awk '{ print $1, $2 }')
    if [ "$images" = "2 docker.io/library/oauth2-server:next" ]; then ok "two servers run the new image"; else failed "upgrade" "$images"; fi
}

# The file is read for each new connection.
check_rotation() {
    local before
    before=$(cat "$tree/deploy/compose/secrets/database_password")
    in_tree bash -euc "$(scripts/deploylib/hostlib/doc-block compose.md 'ALTER ROLE oauth2 PASSWORD')" >"$directory/rotation" 2>&1 ||
        { failed "new password" "$(cat "$directory/rotation")"; return; }
    if [ "$(cat "$tree/deploy/compose/secrets/database_password")" = "$before" ]; then failed "new password" "the file did not change"; fi
    # Open connections stay: these are ended, so that new ones are made.
    sql postgres-primary "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'oauth2'" >"$directory/rotation" 2>&1
    if eventually 30 gives_token >/dev/null; then ok "the database password was changed: the servers connect with the new one"; else
        failed "new password" "$(token 2>&1)"; fi
}

check_failover() {
    local began fence promote
    { IFS= read -r fence; IFS= read -r promote; } < <(scripts/deploylib/hostlib/doc-block compose.md 'pg_promote')
    in_tree bash -euc "$fence" >/dev/null 2>&1
    # The replica is read-only: no server is ready.
    if eventually 10 gives_error temporarily_unavailable >/dev/null; then
        ok "without a primary clients get 503 with temporarily_unavailable"
    else
        failed "without a primary" "$(token 2>&1)"
    fi
    seen=$(in_tree bash -euc "$promote" 2>&1 </dev/null) || true
    grep -qx ' t' <<<"$seen" || failed "promotion" "$seen"
    began=$(date +%s%N)
    if eventually 30 gives_token; then
        ok "the primary was stopped and the replica promoted: tokens again after $((($(date +%s%N) - began) / 1000000)) ms, servers not restarted"
    else
        failed "failover" "no token: $(token 2>&1)"
    fi
    seen=$(request -u "check:$secret" -d "token=$1" "https://$host:$port/oauth/introspect" 2>&1) || true
    if [ "$(jq -r .active <<<"$seen" 2>/dev/null)" = true ]; then ok "the first token is active on the promoted replica"; else
        failed "the first token after the failover" "${seen:0:300}$(log_of_servers)"; fi
}

gives_error() { [ "$(token 2>/dev/null)" = "$1" ]; }

check_k6() {
    if [ -z "$k6" ]; then
        not_run "profile loadtest" "k6 is not built here; loadtest/k6.sh builds it"
        return
    fi
    if stack --profile loadtest run --rm --no-deps -T -e SCENARIOS=client_credentials k6 >"$directory/k6.log" 2>&1; then
        ok "profile loadtest: k6 passes its smoke test through the proxy"
    else
        failed "profile loadtest" "$(tail -n 5 "$directory/k6.log")"
    fi
}

check_stop() {
    local status
    stack stop >/dev/null 2>&1
    status=$("${podman[@]}" ps --all --filter label=com.docker.compose.service=server --format '{{.Status}}' | grep -o '^Exited ([0-9]*)' | sort | uniq -c | tr -s ' ')
    if [ "$status" = " 2 Exited (0)" ]; then ok "docker compose stop: the servers end with exit code 0"; else failed "stop" "$status"; fi
}
