"""Steps of monitoring: alerts/README.md."""

from __future__ import annotations

import re

from hostlib.machines import Deployment

from deployment.hosts import NODES, REPOSITORY
from deployment.nodes import ready

#: The receiver: writes each notification as a line.
RECEIVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open("/root/notifications", "ab") as file:
            file.write(body + b"\\n")
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_arguments):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 9099), Handler).serve_forever()
"""


def block(text: str, contains: str) -> str:
    found = [body for body in re.findall(r"(?ms)^```\w+\n(.*?)^```", text) if contains in body]
    if len(found) != 1:
        raise RuntimeError(f"alerts/README.md has {len(found)} blocks with {contains!r}")
    return found[0]


def arrived(alert: str, status: str) -> str:
    """A notification of the alert with this status has arrived."""
    return f"jq -e -s 'any(.[]; .alerts[] | select(.labels.alertname == \"{alert}\" and .status == \"{status}\"))' /root/notifications"


def monitoring(hosts: Deployment) -> str:
    admin = hosts["admin"]
    page = (REPOSITORY / "alerts/README.md").read_text()
    targets = ", ".join(f'"{hosts.network.hosts[name].v4}:8081"' for name in NODES)
    settings = block(page, "scrape_configs:").replace('targets: ["127.0.0.1:8081"]', f"targets: [{targets}]")
    admin.run(
        "cp /opt/oauth2_server/alerts/oauth2-server.rules.yaml /opt/oauth2_server/alerts/oauth2-server.alerts.yaml /etc/prometheus/\n"
        # The URLs of the receivers are replaced, as the page says.
        "sed -E 's|(url: *\"?)https?://[^\"]*|\\1http://127.0.0.1:9099/|' /opt/oauth2_server/alerts/alertmanager.yaml >/etc/prometheus/alertmanager.yaml\n"
        "sed -i 's|^ARGS=.*|ARGS=\"--config.file=/etc/prometheus/alertmanager.yaml --cluster.listen-address=\"|' /etc/default/prometheus-alertmanager\n"
        "install -d -o prometheus /var/lib/prometheus /var/lib/prometheus/metrics2 /var/lib/prometheus/alertmanager\n"
        f"cat >/etc/prometheus/prometheus.yml <<'END'\n{settings}END\n"
        f"cat >/root/receiver.py <<'END'\n{RECEIVER}END\n"
        "systemd-run --quiet --unit=receiver python3 /root/receiver.py\n"
        "systemctl start prometheus-alertmanager prometheus"
    )
    first, alertmanagers, watchdog = block(page, "promtool check config").splitlines()
    admin.run(first)
    admin.wait_for(f"{alertmanagers.split('#')[0]} | jq -e '.data.activeAlertmanagers | length == 1'", "an active Alertmanager")
    up = "curl -sf http://127.0.0.1:9090/api/v1/targets | jq -e '[.data.activeTargets[] | select(.health == \"up\")] | length == 3'"
    admin.wait_for(up, "three targets up")
    admin.wait_for(f"{watchdog.split('#')[0]} | grep Watchdog", "the Watchdog in Alertmanager", 120)
    admin.wait_for(arrived("Watchdog", "firing"), "the Watchdog at its receiver", 120)
    return "three targets are up, and the Watchdog arrived at its receiver"


def arrives(hosts: Deployment) -> str:
    hosts["node-3"].run("systemctl stop oauth2-server")
    hosts["admin"].wait_for(arrived("OAuth2TargetDown", "firing"), "OAuth2TargetDown at its receiver", 240)
    hosts["node-3"].run("systemctl start oauth2-server")
    ready(hosts, "node-3")
    return "OAuth2TargetDown arrived at its receiver after a node was stopped"
