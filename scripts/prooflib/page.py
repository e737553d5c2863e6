"""The page: one HTML file without scripts, pictures or references to other files."""

from __future__ import annotations

from html import escape
from typing import Any

from benchlib.report import Table, grouped

from . import chart
from .checker import MEANINGS
from .part import FAILED, HELD, INTERRUPTED, NOT_HELD, NOT_RUN, Part, WrongAnswers

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --back: #ffffff; --panel: #f6f8fa;
  --good: #1a7f37; --bad: #cf222e; --warn: #9a6700; --ok: #4c8bf5; --fault: #8c959f44; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --back: #0d1117; --panel: #151b23;
  --good: #3fb950; --bad: #f85149; --warn: #d29922; --ok: #4c8bf5; --fault: #9198a144; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.25rem 1rem 4rem; max-width: 72rem; background: var(--back); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; } h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; }
.verdict { border-left: .4rem solid; padding: .5rem .9rem; background: var(--panel); font-size: 1.1rem; margin: 1rem 0; }
.verdict ul { margin: .25rem 0; padding-left: 1.2rem; font-size: 1rem; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.verdict > * { color: var(--ink); } .verdict > strong { color: inherit; }
.scroll { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .7rem; text-align: right; vertical-align: top; }
th { background: var(--panel); font-weight: 600; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
td { white-space: nowrap; } td.text, td:first-child { white-space: normal; } td.text { min-width: 9rem; }
@media (max-width: 40rem) { th, td { padding: .25rem .35rem; } table { font-size: .8rem; } }
pre, code { font: .85rem/1.45 ui-monospace, monospace; }
pre { background: var(--panel); padding: .6rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere; margin: .4rem 0; }
ul.problems { padding-left: 1.2rem; } ul.problems li { white-space: pre-wrap; overflow-wrap: anywhere; }
.soft, .legend { color: var(--soft); font-size: .9rem; }
svg { width: 100%; height: auto; font-size: 11px; fill: var(--soft); } svg line { stroke: var(--line); }
.ok { fill: var(--ok); background: var(--ok); } .unavailable { fill: var(--warn); background: var(--warn); }
.failed { fill: var(--bad); background: var(--bad); } .fault { fill: var(--fault); background: var(--fault); }
.legend i { display: inline-block; width: .8rem; height: .8rem; margin: 0 .15rem 0 .6rem; vertical-align: -.1rem; }
"""
CLASSES = {HELD: "good", NOT_HELD: "bad", FAILED: "bad", INTERRUPTED: "warn", NOT_RUN: "warn"}
NOT_MEASURED = "-"


def verdict(parts: list[Part]) -> tuple[str, str, list[str]]:
    """One sentence, its class, and what did not hold."""
    broken = [f"{part.title}: {part.verdict}" for part in parts if part.verdict in (NOT_HELD, FAILED, INTERRUPTED)]
    missing = [part.title for part in parts if part.verdict == NOT_RUN]
    measured = [part for part in parts if part.verdict == HELD and part.name != "machine"]
    rows = [row for part in parts for row in part.wrong_answers]
    counted = f"{grouped(sum(row.total() for row in rows))} wrong answers in {grouped(sum(row.requests for row in rows))} requests"
    if not rows:
        counted = "answers were not checked"
    rest = [f"not run: {', '.join(missing)}"] if missing else []
    if broken:
        counts = [found for row in rows if (found := kinds(row))]
        return f"Not everything held; {counted}.", "bad", broken + counts + rest
    if not measured:
        return "Nothing was measured.", "warn", rest
    return f"Everything that was run held; {counted}." if missing else f"Everything held; {counted}.", "good", rest


def kinds(row: WrongAnswers) -> str:
    """The wrong answers of a load by kind; empty if there are none."""
    counts = {"false active": row.false_active, "false inactive": row.false_inactive, "lost": row.lost, "revived": row.revived, **row.more}
    found = [f"{grouped(number)} {kind}" for kind, number in counts.items() if number]
    return f"Wrong answers, {row.what}: {', '.join(found)}" if found else ""


def render(parts: list[Part], about: dict[str, Any]) -> str:
    sentence, kind, items = verdict(parts)
    listed = f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>" if items else ""
    body = [
        "<h1>oauth2_server: measured on this machine</h1>",
        f'<div class="verdict {kind}"><strong>{escape(sentence)}</strong>{listed}</div>',
        f'<p class="soft">Started {escape(about["started"])}, took {duration(about["seconds"])}. Reproduce with:</p>'
        f'<pre>{escape(about["command"])}</pre>',
        wrong_answers([row for part in parts for row in part.wrong_answers]),
        overview(parts),
        *(section(part) for part in parts if part.verdict != NOT_RUN),
    ]
    return ('<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'">'
            f"<title>oauth2_server: {escape(sentence)}</title><style>{STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n")


def wrong_answers(rows: list[WrongAnswers]) -> str:
    if not rows:
        return ""
    columns = ["load", "requests", "rate", "false active", "false inactive", "lost", "revived", "other wrong", "503", "no response", "other errors"]
    table = Table(columns, [[
        row.what, grouped(row.requests), f"{row.requests / row.seconds:.1f}/s" if row.seconds else "", wrong(row.false_active),
        wrong(row.false_inactive), wrong(row.lost), wrong(row.revived), wrong(sum(row.more.values())), count(row.unavailable),
        count(row.no_response), count(row.other)] for row in rows])
    meanings = "".join(f"<li><b>{escape(kind)}</b>: {escape(meaning)}</li>" for kind, meaning in MEANINGS.items())
    return ("<h2>Rates, errors and wrong answers</h2>" + html_table(table)
            + f'<p class="soft">503 and missing responses are expected while a node is killed or its store is down. "{NOT_MEASURED}": not '
              f'measured by this load.</p><ul class="soft">{meanings}</ul>')


def count(number: int | None) -> str:
    return NOT_MEASURED if number is None else grouped(number)


def wrong(number: int | None) -> str:
    return f"{grouped(number)} (wrong)" if number else count(number)


def overview(parts: list[Part]) -> str:
    lines = "".join(
        f'<tr><td>{link(part)}</td><td class="{CLASSES[part.verdict]}">{escape(part.verdict)}</td><td>{duration(part.seconds)}</td></tr>'
        for part in parts)
    return f'<h2>Parts</h2><div class="scroll"><table><tr><th>part</th><th>verdict</th><th>duration</th></tr>{lines}</table></div>'


def link(part: Part) -> str:
    return escape(part.title) if part.verdict == NOT_RUN else f'<a href="#{escape(part.name)}">{escape(part.title)}</a>'


def section(part: Part) -> str:
    body = [f'<h2 id="{escape(part.name)}">{escape(part.title)}: <span class="{CLASSES[part.verdict]}">{escape(part.verdict)}</span></h2>']
    if part.command:
        body.append(f'<p class="soft">Took {duration(part.seconds)}. Reproduce with:</p><pre>{escape(part.command)}</pre>')
    if part.problems:
        body.append('<ul class="problems">' + "".join(f"<li>{escape(problem)}</li>" for problem in part.problems) + "</ul>")
    body += [f"<p>{escape(note)}</p>" for note in part.notes]
    body += [chart.svg(timeline) + chart.LEGEND for timeline in part.timelines]
    body += [f"<h3>{escape(title)}</h3>{html_table(table)}" for title, table in part.tables.items()]
    return "\n".join(body)


def html_table(table: Table) -> str:
    # Columns of words are aligned to the left.
    words = [any(isinstance(line[i], str) and is_text(str(line[i])) for line in table.lines) for i in range(len(table.columns))]
    head = "".join(f"<th{' class=text' * words[i]}>{escape(column)}</th>" for i, column in enumerate(table.columns))
    rows = "".join("<tr>" + "".join(cell(value, words[i]) for i, value in enumerate(line)) + "</tr>" for line in table.lines)
    return f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'


def is_text(value: str) -> bool:
    return len(value) > 12 and not value[:1].isdigit()


def cell(value: str | bool | None, is_words: bool) -> str:
    if isinstance(value, bool):
        return '<td class="good">yes</td>' if value else '<td class="bad"><b>no</b></td>'
    text = escape(value or "")
    if text.endswith(" (wrong)"):
        return f'<td class="bad"><b>{text}</b></td>'
    return f"<td{' class=text' * is_words}>{text}</td>"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.0f} s" if seconds < 120 else f"{int(seconds) // 60} min {int(seconds) % 60} s"
