"""The chart of requests per second, as inline SVG."""

from __future__ import annotations

from html import escape

from .part import Timeline

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 760, 200, 44, 26, 24
LETTERS = {"kill": "K", "pause": "P", "store crash": "S"}


def svg(timeline: Timeline) -> str:
    """Stacked bars, one per second, over bands that mark the faults."""
    seconds = max(1, len(timeline.ok))
    totals = [sum(values) for values in zip(timeline.ok, timeline.unavailable, timeline.failed, strict=True)]
    top = max([1, *totals])
    step, scale = (WIDTH - LEFT) / seconds, (HEIGHT - TOP - BOTTOM) / top
    floor = HEIGHT - BOTTOM
    parts = []
    for kind, start, stop in timeline.faults:
        x, width = LEFT + start * step, max(2.0, (stop - start) * step)
        parts.append(f'<rect class="fault" x="{x:.1f}" y="{TOP}" width="{width:.1f}" height="{floor - TOP}"><title>{escape(kind)}, '
                     f'{start:.1f} s to {stop:.1f} s</title></rect>')
        parts.append(f'<text x="{x + width / 2:.1f}" y="{TOP - 6}" text-anchor="middle">{escape(LETTERS.get(kind, kind))}</text>')
    for second in range(len(timeline.ok)):
        y = float(floor)
        for name, series in (("ok", timeline.ok), ("unavailable", timeline.unavailable), ("failed", timeline.failed)):
            height = series[second] * scale
            if height:
                y -= height
                parts.append(f'<rect class="{name}" x="{LEFT + second * step:.1f}" y="{y:.1f}" width="{max(1.0, step - 1):.1f}" '
                             f'height="{height:.1f}"/>')
    for value in (0, top // 2, top):
        y = floor - value * scale
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
                     f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value}</text>')
    every = next((size for size in (5, 10, 20, 30, 60, 120, 300) if seconds / size <= 12), 600)
    parts += [f'<text x="{LEFT + at * step:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{at} s</text>' for at in range(0, seconds, every)]
    label = (f"Requests per second, {timeline.title}: at most {top}; {sum(timeline.ok)} answered 200, {sum(timeline.unavailable)} "
             f"answered 503, {sum(timeline.failed)} failed; {len(timeline.faults)} faults")
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


LEGEND = ('<p class="legend"><i class="ok"></i> 200 <i class="unavailable"></i> 503 <i class="failed"></i> no response or another status '
          '<i class="fault"></i> fault: K kill, P pause, S crash of the store. Requests per second.</p>')
