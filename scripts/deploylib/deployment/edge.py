"""Steps on the proxy, and restarts behind it: haproxy.md and rolling-upgrade.md."""

from __future__ import annotations

import json
import resource
import threading

from hostlib import doc
from hostlib.machines import Deployment

from deployment.hosts import NODES
from deployment.nodes import ready, subcommand

#: Requests tokens on kept connections until a file is there, and prints how many requests got which answer.
LOAD = """
import base64, collections, http.client, json, os, ssl, threading, time
secret = open("/root/load").read().strip()
headers = {"Authorization": "Basic " + base64.b64encode(f"load:{secret}".encode()).decode(), "Content-Type": "application/x-www-form-urlencoded"}
context = ssl.create_default_context(cafile="/root/ca.pem")
seen, lock = collections.Counter(), threading.Lock()
def client():
    connection = None
    while not os.path.exists("/root/enough"):
        try:
            connection = connection or http.client.HTTPSConnection("auth.example", context=context, timeout=10)
            connection.request("POST", "/oauth/token", "grant_type=client_credentials", headers)
            answer = connection.getresponse()
            answer.read()
            outcome = str(answer.status)
        except (OSError, http.client.HTTPException) as error:
            outcome, connection = type(error).__name__, None
        with lock:
            seen[outcome] += 1
        time.sleep(0.005)
threads = [threading.Thread(target=client) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(seen))
"""


def proxy(hosts: Deployment) -> str:
    admin, machine = hosts["admin"], hosts["proxy"]
    admin.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=authority -keyout /root/authority.key -out /root/ca.pem\n"
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj /CN=auth.example -addext subjectAltName=DNS:auth.example -keyout privkey.pem -out request.pem\n"
        "openssl x509 -req -in request.pem -CA /root/ca.pem -CAkey /root/authority.key -days 2 -copy_extensions copy -out fullchain.pem",
        "/root",
    )
    for name in ("fullchain.pem", "privkey.pem"):
        hosts.copy("admin", f"/root/{name}", ["proxy"], f"/root/{name}")
    # Debian's package has started it with its own configuration.
    machine.run("systemctl start haproxy")
    # `maxconn` needs twice as many descriptors: root may not raise the limit everywhere.
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    edit = "true" if limit > 50_000 else f"sed -i 's/^    maxconn 20000$/    maxconn {limit // 3}/' /etc/haproxy/haproxy.cfg"
    machine.run(doc.replace(doc.block("haproxy.md", "haproxy -c -f"), ("$EDITOR /etc/haproxy/haproxy.cfg ", f"{edit} "), ("deploy/haproxy", "/opt/oauth2_server/deploy/haproxy")), "/root")
    admin.wait_for("curl -sS --fail --cacert /root/ca.pem https://auth.example/.well-known/oauth-authorization-server | grep -F '\"issuer\":\"https://auth.example\"'", "metadata")
    refused = admin.run("curl -sS --cacert /root/ca.pem -o /dev/null -w '%{http_code}' https://auth.example/metrics")
    if refused != "404":
        raise RuntimeError(f"/metrics is {refused}")
    up = 'curl -sf http://127.0.0.1:8405/metrics | grep haproxy_server_status | grep oauth2_nodes | grep -F \'state="UP"\' | grep -c " 1$"'
    machine.wait_for(f"[ $({up}) = 3 ]", "three nodes UP")
    return "metadata through TLS, /metrics is 404, three nodes are UP"


def restarts(hosts: Deployment) -> str:
    # Without a rate of its own: that of the clients of the page is 100/s.
    made = subcommand(hosts, "node-1", "client create --id load --scope read --json")
    client, _ = json.JSONDecoder().raw_decode(made, made.index("{"))
    hosts["admin"].write("root/load", client["client_secret"])
    # HAProxy limits every other address to 100 requests per second.
    hosts["proxy"].run(f"echo {hosts.network.hosts['admin'].v4} >>/etc/haproxy/oauth2-exempt.list && systemctl reload haproxy")
    said: list[str] = []
    load = threading.Thread(target=lambda: said.append(hosts["admin"].run(f"python3 - <<'END'\n{LOAD}\nEND", "/root", timeout=180)))
    load.start()
    try:
        for name in NODES:
            address = hosts.network.hosts[name].v4
            block = doc.block("rolling-upgrade.md", "oauth2_server.new")
            if name != "node-1":
                block = doc.replace(block, ("10.0.1.10", address))
            hosts[name].run(block, "/check")
            ready(hosts, name)
            # "After the balancer has seen it".
            hosts["proxy"].wait_for(f"curl -sf http://127.0.0.1:8405/metrics | grep haproxy_server_status | grep 'server=\"node{name[-1]}\"' | grep -F 'state=\"UP\"' | grep -q ' 1$'",
                                    f"{name} UP")
    finally:
        hosts["admin"].run("touch /root/enough")
        load.join()
    seen = json.loads(said[0])
    if set(seen) != {"200"}:
        raise RuntimeError(f"answers: {seen}")
    return f"{seen['200']} token requests through the proxy, all of them 200"
