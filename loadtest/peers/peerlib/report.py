"""The report, as Markdown for files and terminals, and as data."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from benchlib.report import grouped

from .measure import Comparison, Row
from .preflight import Check
from .sides import Side

SCHEMA = "oauth2-server-compare/1"
EMPTY = "-"
Rows = list[list[str]]


def table(head: list[str], rows: Rows) -> str:
    """A Markdown table, aligned so that it can be read on a terminal."""
    lines = [[cell.replace("|", "\\|") for cell in row] for row in [head, *rows]]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(head))]
    drawn = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    return "\n".join([drawn[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *drawn[1:]])


def milliseconds(value: float | None) -> str:
    return EMPTY if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def whole(value: float | None) -> str:
    return EMPTY if value is None else f"{value:.0f}"


def microseconds(summary: dict[str, Any]) -> str:
    """CPU time of the server and, if it has a separate one, of its database."""
    server, database = summary["cpu_us_per_request"], summary["database_cpu_us_per_request"]
    return whole(server) + (f" + {whole(database)}" if database is not None else "")


@dataclass
class Report:
    comparison: Comparison
    checks: dict[str, list[Check]]
    #: The options of the run, by name.
    configuration: dict[str, str]
    machine: str
    commit: str
    ended: str
    remarks: list[str]

    @property
    def sides(self) -> list[Side]:
        return self.comparison.sides

    def row(self, row: Row) -> dict[str, Any]:
        ratios = self.comparison.ratios(row)
        invalid = self.comparison.invalid(row)
        summaries = [self.comparison.summary(row, side) for side in self.sides]
        return {
            "row": row.key, "what": row.what, "sides": summaries,
            "ratio": {
                "of": "rate" if row.tool == "wrk" else "p99",
                "median": round(statistics.median(ratios), 3) if ratios and not invalid else None,
                "least": round(min(ratios), 3) if ratios and not invalid else None,
                "most": round(max(ratios), 3) if ratios and not invalid else None,
            },
            "invalid": invalid or None,
            "noisy": any(summary["noisy"] for summary in summaries),
        }

    def rows(self) -> list[dict[str, Any]]:
        return [self.row(row) for row in self.comparison.rows]

    @property
    def valid(self) -> bool:
        return all(row["invalid"] is None for row in self.rows())

    def results_table(self) -> str:
        head = ["What", "Side", "Token", "Algorithm", "Durable", "rate/s", "p50 ms", "p95 ms", "p99 ms", "max ms", "errors",
                "CPU us", "wrk us", "ours : peer"]
        lines: Rows = []
        for row in self.rows():
            ratio = row["ratio"]
            shown = f"{ratio['of']} x {ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})" if ratio["median"] else EMPTY
            for number, one in enumerate(row["sides"]):
                ms = one["milliseconds"]
                what = row["what"] + (" **invalid**" if row["invalid"] else " (noisy)" if row["noisy"] else "")
                lines.append([
                    what if number == 0 else "", one["product"], one["format"], one["algorithm"], one["durable"],
                    grouped(one["rate"] or 0), *(milliseconds(ms[name]) for name in ("p50", "p95", "p99", "max")),
                    str(one["errors"]), microseconds(one), whole(one["generator_cpu_us_per_request"]), shown if number else ""])
        return table(head, lines)

    def properties_table(self) -> str:
        """The properties of each side, and how they are known."""
        names = list(dict.fromkeys(check.what for checks in self.checks.values() for check in checks))
        lines: Rows = []
        for name in names:
            cells = []
            for side in self.sides:
                found = next((check for check in self.checks[side.key] if check.what == name), None)
                cells.append(f"{found.value} ({found.how})" if found else EMPTY)
            lines.append([name, *cells])
        return table(["What", *(side.name for side in self.sides)], lines)

    def about(self) -> str:
        lines = [["Machine", self.machine], ["Our commit", self.commit], ["k6", self.comparison.k6.version or "not used"],
                 ["Ended", self.ended]]
        return table(["What", "Value"], lines)

    def processes_table(self) -> str:
        lines: Rows = []
        for side in self.sides:
            resident = self.comparison.resident[side.key]
            lines.append([side.name, ", ".join(self.comparison.processes_of(side)) or "not known",
                          f"{resident:.0f} MiB" if resident is not None else EMPTY])
        return table(["Side", "Processes", "Resident after the load"], lines)

    def invalid_rows(self) -> list[str]:
        return [f"Invalid: {row['what']}: {row['invalid']}." for row in self.rows() if row["invalid"]]

    def markdown(self) -> str:
        peer, ours = self.sides
        parts = [
            f"# {peer.name} compared with {ours.name}", self.about(), "## Results", self.results_table(), *self.invalid_rows(),
            "Rates and times are medians over the rounds; `max` is the longest of all. `ours : peer` is the median over the "
            "rounds of the ratio within a round, with its minimum and maximum: of the rates for wrk, of p99 at a fixed rate. "
            "`CPU us` is CPU time per request of the server and, after the plus, of its database; `wrk us` that of the "
            "generator.", *self.remarks,
            "## Properties", self.properties_table(),
            "`checked`: verified with requests. `set`: configured by this run. `declared`: taken from the adapter or the "
            "documentation; it cannot be verified from outside.", "## Processes", self.processes_table(),
            "## Configuration", table(["What", "Value"], [[name, value] for name, value in self.configuration.items()])]
        return "\n\n".join(parts) + "\n"

    def data(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA, "ended": self.ended, "machine": self.machine, "commit": self.commit,
            "k6": self.comparison.k6.version or None,
            "sides": [{
                "side": side.key, "product": side.product, "version": side.version,
                "statements": [vars(check) for check in self.checks[side.key]],
                "processes": self.comparison.processes_of(side), "resident_mib": self.comparison.resident[side.key],
            } for side in self.sides],
            "configuration": self.configuration, "remarks": self.remarks, "valid": self.valid, "rows": self.rows(),
            "samples": self.comparison.samples_as_data(),
        }
