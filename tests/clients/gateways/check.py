"""Runs gateways that scripts/check-clients builds on request, with the configuration of docs/frameworks, in front of an API.

usage: check.py FIXTURE DIRECTORY
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "proxies"))

from harness import Checks, free_port, running  # noqa: E402

BUILT = Path(os.environ["CLIENTS_OUT"]) / "gateways"


class Gateways(Checks):
    def configuration(self, file: str, replacements: dict[str, str]) -> Path:
        """A copy of a file of this directory, with this run's addresses."""
        text = (HERE / file).read_text()
        for documented, actual in {"http://127.0.0.1:8080": self.fixture["issuer"], "127.0.0.1:9000": f"127.0.0.1:{self.backend}", **replacements}.items():
            text = text.replace(documented, actual)
        target = self.directory / Path(file).name
        target.write_text(text)
        return target

    def oauth2_proxy(self) -> None:
        port = free_port()
        file = self.configuration("oauth2-proxy.cfg", {"127.0.0.1:4180": f"127.0.0.1:{port}"})
        with running([str(BUILT / "oauth2-proxy"), f"--config={file}"], port, self.directory):
            clients = ["es256", "es256-jwt", "rs256", "ps256", "eddsa"]
            # It does not read scopes.
            self.protects("oauth2-proxy 7", port, clients, "email", checks_scope=False)

    def istio(self) -> None:
        """Istio's own translation of the page's policies, in Envoy. Istio fetches the keys itself."""
        policy = self.configuration("istio/policy.yaml", {"https://auth.example": self.fixture["issuer"]})
        printed = subprocess.run([str(BUILT / "istio-filters"), str(policy)], check=True, capture_output=True, text=True, timeout=60).stdout
        filters = "http_filters:\n" + "".join(f"  - {json.dumps(each)}\n" for each in json.loads(printed))
        port = free_port()
        with self.running_envoy(self.directory / "istio", port, filters, BUILT / "envoy"):
            self.protects("Istio", port, ["es256", "es256-jwt", "rs256", "eddsa"], "client_id", without_token=403)


def main() -> int:
    checks = Gateways("gateways")
    checks.report.check("oauth2-proxy 7", "runs with the configuration of the page", checks.oauth2_proxy)
    checks.report.check("Istio", "makes filters of the policies of the page", checks.istio)
    return 1 if checks.report.failed else 0


sys.exit(main())
