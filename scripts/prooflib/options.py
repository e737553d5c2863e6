"""The options of `scripts/proof`, and what all parts share."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from pathlib import Path

from . import sabotage

ROOT = Path(__file__).resolve().parent.parent.parent
PARTS = ["machine", "load", "answers", "alerts", "bench"]
PROFILES = ["smoke", "load", "stress", "spike"]
#: Variables that configure the commands of the parts: the proof sets its own.
CONFIGURATION = set("""
    PROFILE SCENARIOS RATE DURATION CLIENTS BASE_URL ADMIN_URL ADMIN_TOKEN CLIENT_ID CLIENT_SECRET TOKEN_URL INTROSPECT_URL REVOKE_URL
    CLIENT_AUTH INTROSPECT_AUTH INTROSPECT_CLIENT_ID INTROSPECT_CLIENT_SECRET TOKEN_FORM INTROSPECT_FORM CLIENT_CLAIM PRODUCT METRICS_URL
    STORE DATABASE_URL SERVER_BINARY ERRORS_MAX DROPPED_MAX P95_MAX P99_MAX RSS_GROWTH_MAX FDS_GROWTH_MAX SHEDS_MAX WARM_UP WATCH_PERIOD
    HERD HERD_PERIOD LIMITED QUOTA AUTH_FAILURES NODES BATCH_SIZE POOL TOKEN_LIFETIME REVOKE_DELAY SETTLE TIMEOUT STEPS STEP_FACTOR
    VUS_MAX RUN_ID RESULTS_DIR COMMIT MACHINE BENCH_KEEP TMPDIR
""".split())


@dataclass
class Setup:
    """What all parts share."""

    options: argparse.Namespace
    #: A new directory on a disk, removed at the end.
    directory: Path
    #: The binary of the server, a copy that no build replaces.
    server: Path
    #: The directory of binaries that `OAUTH2_SERVER_BIN` is in, if it is set.
    given: Path | None = None
    #: Assignments that reproduce a part, for the page.
    prefix: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        """How often the faults are caused."""
        return 1 if self.options.quick else 3


def clean_environment() -> dict[str, str]:
    """The environment without the settings of servers and load tests."""
    return {name: value for name, value in os.environ.items()
            if not name.startswith(("OAUTH2_", "K6_")) and name.removesuffix("_FILE") not in CONFIGURATION}


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(2, f"proof: {message}; see scripts/proof --help\n")


def parse() -> argparse.Namespace:
    parser = Parser(prog="scripts/proof", allow_abbrev=False, description=(
        "Measure load, wrong answers under faults, alerts and throughput on this machine, and write a page with the results."),
        epilog="OAUTH2_SERVER_BIN=PATH uses this binary instead of `cargo build --release --locked`. Exit codes: 0 everything that was "
               "run held, 1 something did not hold or could not be measured, 2 invalid option, 130 interrupted.")
    parser.add_argument("--quick", action="store_true", help="run each part as short as possible: is every answer correct?")
    parser.add_argument("--only", action="append", default=[], choices=PARTS, metavar="PART",
                        help=f"run only this part; repeatable: {', '.join(PARTS)}")
    parser.add_argument("--skip", action="append", default=[], choices=PARTS, metavar="PART", help="run all parts but this; repeatable")
    parser.add_argument("--profile", choices=PROFILES, help="set the profile of the load test (load, with 15 s per scenario; smoke with --quick)")
    parser.add_argument("--output", type=Path, metavar="DIR", default=ROOT / "proof", help="write index.html and proof.json to DIR (proof)")
    parser.add_argument("--break", dest="broken", choices=sorted(sabotage.KINDS), metavar="KIND",
                        help="change Postgres during the part `answers` so that wrong answers of this kind appear, which must be "
                             f"counted: {', '.join(sorted(sabotage.KINDS))}")
    parser.add_argument("--self-test", action="store_true", help="feed the checker of answers fabricated histories with wrong answers")
    return parser.parse_args()
