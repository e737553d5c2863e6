"""HTTP/3 through a proxy, by http3.py in the Python environment that has aioquic."""

from __future__ import annotations

from pathlib import Path

from .cluster import Cluster
from .programs import PACKAGES, run
from .report import NotRun, expect
from .wire import Edge


def token_over_http3(edge: Edge, cluster: Cluster) -> str:
    python = PACKAGES / "bin/python"
    if not python.exists() or run([python, "-c", "import aioquic"])[0]:
        raise NotRun("no aioquic in target/tools/deploy/python")
    script = Path(__file__).resolve().parent / "http3.py"
    code, output = run([python, script, str(edge.https), edge.certificate, cluster.client_id, cluster.client_secret])
    expect(code == 0 and "/oauth/token 200 access_token" in output and "/metrics 404" in output, output[-500:])
    announced = edge.request("GET", "/health").first("alt-svc")
    expect(announced.startswith("h3="), f"alt-svc: {announced}")
    return f"a token; /metrics is refused; announced as {announced}"
