"""Runs gateways that scripts/check-clients builds on request, with the configuration of docs/frameworks, in front of an API.

usage: check.py FIXTURE DIRECTORY
"""

from __future__ import annotations

import os
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
        target = self.directory / file
        target.write_text(text)
        return target

    def oauth2_proxy(self) -> None:
        port = free_port()
        file = self.configuration("oauth2-proxy.cfg", {"127.0.0.1:4180": f"127.0.0.1:{port}"})
        with running([str(BUILT / "oauth2-proxy"), f"--config={file}"], port, self.directory):
            clients = ["es256", "es256-jwt", "rs256", "ps256", "eddsa"]
            # It does not read scopes.
            self.protects("oauth2-proxy 7", port, clients, "email", checks_scope=False)


def main() -> int:
    checks = Gateways("gateways")
    checks.report.check("oauth2-proxy 7", "runs with the configuration of the page", checks.oauth2_proxy)
    return 1 if checks.report.failed else 0


sys.exit(main())
