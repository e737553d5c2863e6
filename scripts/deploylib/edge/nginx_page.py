"""The commands of docs/operations/nginx.md, on a host of their own."""

from __future__ import annotations

from pathlib import Path

from hostlib import doc
from hostlib.host import Host

from .nginx import Binary
from .report import NotRun, expect
from .wire import NAME

#: An editor that names other nodes. The certificate is where oauth2-server.conf has it.
EDITOR = r"""
[ "$#" = 2 ] && [ -f "$1" ] && [ -f "$2" ]
sed -i -E 's/^server 10\.0\.1\.[0-9]+:8080/server 127.0.0.1:9/' "$1"
"""
#: What reload means where nginx does not run yet; then requests to the ports of the page.
RELOAD = f"""
nginx
seen=$(curl -sS --cacert /etc/nginx/certs/fullchain.pem --resolve {NAME}:443:127.0.0.1 -o /dev/null -w '%{{http_code}} %{{http_version}}' https://{NAME}/metrics)
echo "/metrics: $seen"
curl -sS --cacert /etc/nginx/certs/fullchain.pem --resolve {NAME}:443:127.0.0.1 -d grant_type=client_credentials https://{NAME}/oauth/token
echo
nginx -s stop
"""


def debian(binaries: list[Binary]) -> Binary:
    found = next((binary for binary in binaries if str(binary.path).startswith("/usr/sbin")), None)
    if found is None:
        raise NotRun("Debian's nginx is not installed")
    return found


def installed(directory: Path, binary: Binary, certificate: tuple[Path, Path]) -> tuple[Host, str]:
    """A host with nginx as the page installs it, and what the requests got."""
    host = Host(directory, "/etc", "/var/log")
    if reason := host.missing():
        raise NotRun(reason)
    host.write("/etc/nginx/certs/fullchain.pem", certificate[0].read_text())
    host.write("/etc/nginx/certs/privkey.pem", certificate[1].read_text())
    host.replace_program("edit", EDITOR)
    host.replace_program("systemctl", RELOAD)
    text = doc.replace(doc.block("nginx.md", "$EDITOR"), ("oauth2-server/listen-1.22.conf", f"oauth2-server/{binary.listen}"))
    return host, host.run(text, EDITOR="edit")


def commands(directory: Path, binary: Binary, certificate: tuple[Path, Path]) -> str:
    host, output = installed(directory, binary, certificate)
    expect(host.called()[-1] == "systemctl reload nginx", host.called())
    expect("/metrics: 404 2" in output, output)
    # No node is there.
    expect('"error":"temporarily_unavailable"' in output, output)
    return "nginx with these files serves port 443: 404 for /metrics, 503 as an OAuth error without a node"
