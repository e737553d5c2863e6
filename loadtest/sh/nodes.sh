# shellcheck shell=bash disable=SC2154
# Several nodes on one Postgres, with a Redis of their own, behind HAProxy.

redis_id=''
haproxy_id=''
other_node_ids=()

check_nodes() {
    case "$NODES" in
    '' | *[!0-9]*) return ;;
    esac
    [ "$NODES" -gt 1 ] || return 0
    [ "$STORE" = postgres ] || usage_error "NODES=$NODES requires STORE=postgres: a server on SQLite has no other nodes"
    [ "$NODES" -le 16 ] || usage_error "NODES must be at most 16 for servers started for the run, not $NODES"
    # The promise for other nodes, whatever happens to Redis.
    export REVOKE_DELAY=${REVOKE_DELAY:-500ms}
    command -v redis-server >/dev/null || fatal "NODES=$NODES requires redis-server on this machine"
    command -v haproxy >/dev/null || fatal "NODES=$NODES requires haproxy on this machine"
}

# Starts Redis and exports OAUTH2_REDIS_URL.
start_redis() {
    local port
    for _ in {1..3}; do
        port=$(free_port)
        (in_new_session redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --dir "$scratch") \
            >"$results/redis.log" 2>&1 </dev/null &
        redis_id=$!
        for _ in {1..100}; do
            is_running "$redis_id" || break
            if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
                export OAUTH2_REDIS_URL=redis://127.0.0.1:$port OAUTH2_REDIS_REQUIRED=true
                # The nodes, Redis and k6 share this machine: a node that did not wait for Redis would allow its share of a rate.
                export OAUTH2_REDIS_LIMIT_TIMEOUT_MS=${OAUTH2_REDIS_LIMIT_TIMEOUT_MS:-250}
                return
            fi
            sleep 0.1
        done
        stop "$redis_id" TERM 5
    done
    fatal "Redis did not start, see $results/redis.log"
}

# Starts the nodes besides the first one, and HAProxy in front of all of them. Sets BASE_URL.
start_other_nodes() {
    local node ports=("$OAUTH2_SERVER_PORT") port front
    # Every node has the issuer of the first one.
    export OAUTH2_ISSUER=$BASE_URL
    for ((node = 2; node <= NODES; node += 1)); do
        port=$(free_port)
        (
            cd "$scratch"
            OAUTH2_SERVER_PORT=$port OAUTH2_MANAGEMENT_PORT=$(free_port) in_new_session "$server_binary"
        ) >"$scratch/server-$node.out" 2>>"$results/server-$node.log" </dev/null &
        other_node_ids+=("$!")
        ports+=("$port")
        wait_until_ready "$!" "$port" || fatal "node $node did not become ready, see $results/server-$node.log"
    done
    front=$(free_port)
    haproxy_configuration "$front" "${ports[@]}" >"$scratch/haproxy.cfg"
    (in_new_session haproxy -db -f "$scratch/haproxy.cfg") >"$results/haproxy.log" 2>&1 </dev/null &
    haproxy_id=$!
    wait_until_ready "$haproxy_id" "$front" || fatal "HAProxy did not start, see $results/haproxy.log"
    export BASE_URL=http://127.0.0.1:$front
    # Rates and quotas hold for all nodes together, so the checks are the same as for one node. One node's metrics say nothing about the others.
    export NODES=1 METRICS_URL=none
}

# A node that fails its check gets no requests; a request that could not be sent to one goes to another.
haproxy_configuration() {
    local front=$1 port
    shift
    cat <<END
global
    maxconn 4000
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 10s
    option redispatch
    retries 2
    retry-on conn-failure
frontend clients
    bind 127.0.0.1:$front
    default_backend nodes
backend nodes
    balance roundrobin
    option httpchk GET /ready
    default-server check inter 250ms fall 2 rise 1
END
    for port in "$@"; do printf '    server node-%s 127.0.0.1:%s\n' "$port" "$port"; done
}

stop_nodes() {
    local id
    [ -z "$haproxy_id" ] || stop "$haproxy_id" TERM 5
    for id in "${other_node_ids[@]}"; do stop "$id" TERM 15; done
    [ -z "$redis_id" ] || stop "$redis_id" TERM 5
    haproxy_id='' redis_id='' other_node_ids=()
}
