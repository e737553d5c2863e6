"""The report: for the terminal and for people as Markdown, and as data."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from .checks import Check
from .measure import Comparison, Row, spaced
from .sides import Side

SCHEMA = "oauth2-server-compare/1"
NOTHING = "-"
Rows = list[list[str]]


def table(head: list[str], rows: Rows) -> str:
    """Aligned, so that it is read on a terminal as it is."""
    lines = [[cell.replace("|", "\\|") for cell in row] for row in [head, *rows]]
    widths = [max(3, *(len(line[at]) for line in lines)) for at in range(len(head))]
    drawn = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    return "\n".join([drawn[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *drawn[1:]])


def milliseconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def whole(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f}"


def microseconds(summary: dict[str, Any]) -> str:
    """Of the server and, where it has one, of its database."""
    server, database = summary["cpu_us_per_request"], summary["database_cpu_us_per_request"]
    return whole(server) + (f" + {whole(database)}" if database is not None else "")


@dataclass
class Report:
    comparison: Comparison
    checks: dict[str, list[Check]]
    #: What was asked for, by name.
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

    def figures(self) -> list[dict[str, Any]]:
        return [self.row(row) for row in self.comparison.rows]

    @property
    def valid(self) -> bool:
        return all(figure["invalid"] is None for figure in self.figures())

    def rates(self) -> str:
        head = ["What", "Side", "Token", "Algorithm", "Durable", "rate/s", "p50 ms", "p95 ms", "p99 ms", "max ms", "errors",
                "CPU us", "wrk us", "ours : peer"]
        rows: Rows = []
        for figure in self.figures():
            ratio = figure["ratio"]
            told = f"{ratio['of']} x {ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})" if ratio["median"] else NOTHING
            for number, one in enumerate(figure["sides"]):
                ms = one["milliseconds"]
                what = figure["what"] + (" **invalid**" if figure["invalid"] else " (noisy)" if figure["noisy"] else "")
                rows.append([
                    what if number == 0 else "", one["product"], one["format"], one["algorithm"], one["durable"],
                    spaced(one["rate"] or 0), *(milliseconds(ms[name]) for name in ("p50", "p95", "p99", "max")),
                    str(one["errors"]), microseconds(one), whole(one["generator_cpu_us_per_request"]), told if number else ""])
        return table(head, rows)

    def statements(self) -> str:
        """What was said of each side, and whether it was checked."""
        whats = list(dict.fromkeys(check.what for checks in self.checks.values() for check in checks))
        rows: Rows = []
        for what in whats:
            cells = []
            for side in self.sides:
                found = next((check for check in self.checks[side.key] if check.what == what), None)
                cells.append(f"{found.value} ({found.how})" if found else NOTHING)
            rows.append([what, *cells])
        return table(["What", *(side.name for side in self.sides)], rows)

    def about(self) -> str:
        rows = [["Machine", self.machine], ["Our commit", self.commit], ["k6", self.comparison.k6.version or "not used"],
                ["Ended", self.ended]]
        return table(["What", "Value"], rows)

    def processes(self) -> str:
        rows: Rows = []
        for side in self.sides:
            resident = self.comparison.resident[side.key]
            rows.append([side.name, ", ".join(self.comparison.processes_of(side)) or "not known",
                         f"{resident:.0f} MiB" if resident is not None else NOTHING])
        return table(["Side", "Processes", "Resident after the load"], rows)

    def invalids(self) -> list[str]:
        return [f"Not valid: {figure['what']}: {figure['invalid']}." for figure in self.figures() if figure["invalid"]]

    def markdown(self) -> str:
        peer, ours = self.sides
        parts = [
            f"# {peer.name} and {ours.name} in turn", self.about(), "## Figures", self.rates(), *self.invalids(),
            "Rates and times are medians over the rounds, `max` is the longest of all. `ours : peer` is the median over the "
            "rounds of the ratio within a round, with the least and the most: of the rates where requests are sent as fast as "
            "answers come, of p99 where the rate is fixed. `CPU us` is processor time a request: of the server, after the plus of "
            "its database; `wrk us` that of the generator.", *self.remarks,
            "## What is stated", self.statements(),
            "`checked`: found by asking the server. `set`: this run started it so. `stated`: said of it, and not to be seen "
            "from outside.", "## Processes", self.processes(),
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
            "configuration": self.configuration, "remarks": self.remarks, "valid": self.valid, "rows": self.figures(),
            "samples": self.comparison.samples(),
        }
