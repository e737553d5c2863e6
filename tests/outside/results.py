"""Checks the result files of a load test: they exist, are well-formed and consistent, and contain no secrets, including the
compressed data of the HTML report. Prints how many of the thresholds were crossed."""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

FILES = ["summary.json", "summary.md", "junit.xml", "k6.log", "metrics-before.txt", "metrics-after.txt"]

#: Patterns of the secrets and the seed of a run, of credentials, and of tokens of two formats.
SECRETS = [r"ltcs_", r"ltseed_", r"Basic [A-Za-z0-9+/=]{16}", r"v4\.public\.[\w-]{20}", r"eyJ[\w-]{20,}\.eyJ"]


def texts(file: Path) -> list[str]:
    """The text of a file, and its embedded gzip data, decompressed."""
    text = file.read_text(encoding="utf-8", errors="replace")
    compressed = re.findall(r"gzip; base64\"[^>]*>\s*([A-Za-z0-9+/=\s]+)<", text)
    return [text, *(gzip.decompress(base64.b64decode(data)).decode() for data in compressed)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--secret", action="append", default=[])
    parser.add_argument("--report", action="store_true", help="require report.html")
    arguments = parser.parse_args()
    directory: Path = arguments.directory

    for name in FILES:
        assert (directory / name).stat().st_size > 0, f"{name} is empty"
    summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
    assert summary["schema"] == "oauth2-server-loadtest/1", summary["schema"]

    suites = ElementTree.parse(directory / "junit.xml").getroot()
    cases = suites.findall("testsuite/testcase")
    failures = [case for case in cases if case.find("failure") is not None]
    crossed = [one for one in summary["thresholds"] if one["verdict"] == "crossed"]
    assert len(cases) == len(summary["thresholds"]) == int(suites.attrib["tests"]), len(cases)
    assert len(failures) == len(crossed) == int(suites.attrib["failures"]), len(failures)
    for case, one in zip(failures, crossed):
        failure = case.find("failure")
        assert failure is not None
        assert f"expected {one['expected']}, measured {one['measured']}" in failure.attrib["message"], failure.attrib

    if arguments.report:
        found = texts(directory / "report.html")
        assert len(found) == 2 and "http_req_duration" in found[1], "report.html contains no metrics"
    patterns = SECRETS + [re.escape(secret) for secret in arguments.secret]
    for file in sorted(directory.iterdir()):
        for text in texts(file):
            for pattern in patterns:
                assert not re.search(pattern, text), f"{file.name} matches the secret pattern {pattern[:8]}"
    print(f"ok: {len(crossed)} of {len(cases)} crossed")


if __name__ == "__main__":
    main()
