#!/usr/bin/env bash
# The same rules with ufw, for hosts that use it. Read its output before `ufw enable`: SSH must be allowed from where you are.
# ufw has no rules by user, so the restriction of what the server may reach (server.nft) is missing here.
#
# usage: ufw.sh ROLE DEFINITIONS     ROLE: proxy, server, database, redis; DEFINITIONS: a file like ufw-definitions.sh
#   Replaces all rules of ufw. `ufw.sh ROLE DEFINITIONS && ufw enable` turns it on.
set -Eeuo pipefail

[ $# = 2 ] || { echo 'usage: ufw.sh ROLE DEFINITIONS' >&2; exit 2; }
readonly role=$1
admins='' monitoring='' proxies='' servers='' databases='' redis=''
# shellcheck source=deploy/network/ufw-definitions.sh
. "$2"

# from "ADDRESSES" PORT COMMENT: allows a port from each address
from() {
    local address
    for address in $1; do
        ufw allow proto tcp from "$address" to any port "$2" comment "$3"
    done
}

case "$role" in proxy | server | database | redis) ;; *)
    echo "ufw.sh: unknown role $role; supported: proxy, server, database, redis" >&2
    exit 2
    ;;
esac

ufw --force reset
ufw default deny incoming
ufw default allow outgoing
ufw default deny routed
ufw logging low
from "$admins" 22 SSH
case "$role" in
proxy)
    ufw allow proto tcp from any to any port 443 comment HTTPS
    ufw allow proto tcp from any to any port 80 comment 'redirect to HTTPS'
    ufw allow proto udp from any to any port 443 comment HTTP/3
    from "$monitoring" 8405 'metrics of the proxy'
    ;;
server)
    from "$proxies" 8080 'clients, through the proxies'
    from "$monitoring" 8081 'metrics and admin API'
    ;;
database)
    from "$servers $databases $monitoring" 5432 'servers, replication, administration'
    from "$servers" 6432 pgbouncer
    from "$monitoring" 9187 'metrics of Postgres'
    ;;
redis)
    from "$servers $redis" 6379 'servers, replicas'
    from "$monitoring" 9121 'metrics of Redis'
    ;;
esac
