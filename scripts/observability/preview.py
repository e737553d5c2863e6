"""Pictures of the dashboards with real data, into grafana/pictures. Previews: drawn from the JSON of a dashboard and the answers of a
real Prometheus that scraped real servers under load, by pictures/render.js; not by Grafana.

usage: preview.py [--minutes N] [--draw-only]
  --draw-only   draw the data of the last run (target/preview) again

The run: two servers on one Postgres, and one on SQLite. One third into it a server is restarted; two thirds into it the database of the
SQLite server is locked for some seconds, so that the pictures show what that looks like.
"""

import argparse
import json
import math
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import traffic
from dashboards import ROOT, annotations, fill_in, load_all, queries, values_of
from live import RULES, k6
from stack import Postgres, Prometheus, Server, Stack, end, is_up

HERE = Path(__file__).resolve().parent
DATA = ROOT / "target/preview"
PICTURES = ROOT / "grafana/pictures"
UPLOT = ROOT / "target/tools/observability/node_modules/uplot/dist"
WIDTH, SCALE, CELL = 1500, 1, 38
SCRAPE = 2


def lock(server, seconds):
    """Locks the SQLite database of a server for writing."""
    connection = sqlite3.connect(server.directory / "data/oauth2.db", timeout=10, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(seconds)
    connection.execute("ROLLBACK")
    connection.close()


def wave(server, prefix, seconds):
    """Token requests whose rate rises and falls, so that the graphs have a shape."""
    caller = traffic.Caller(server)
    clients = []
    for kind in ("paseto", "jwt", "opaque"):
        client = {"client_id": f"{prefix}-{kind}", "scope": "read", "token_format": kind, "grant_types": ["client_credentials"]}
        _, answer = caller.admin("POST", "/clients", client)
        clients.append((f"{prefix}-{kind}", answer["client_secret"]))
    began = time.monotonic()
    sent = 0
    while (passed := time.monotonic() - began) < seconds:
        client, secret = clients[(sent // 3) % 3 if sent % 5 else 0]
        token = caller.token(client, secret)
        if token and sent % 3 == 0:
            caller.public("/oauth/introspect", {"token": token}, client, secret)
        sent += 1
        time.sleep(1 / (16 + 11 * math.sin(passed / seconds * 4 * math.pi)))


def collect(minutes):
    DATA.mkdir(parents=True, exist_ok=True)
    seconds = int(minutes * 60)
    with tempfile.TemporaryDirectory(prefix="preview-") as directory, Stack(Path(directory)) as stack:
        postgres = Postgres(stack)
        key = {"OAUTH2_KEY_ENCRYPTION_KEY": "A" * 43 + "="}
        servers = {
            "oauth2-0": Server(stack, "oauth2-0", postgres.url, key),
            "oauth2-1": Server(stack, "oauth2-1", postgres.url, key),
            "oauth2-edge": Server(stack, "oauth2-edge"),
        }
        prometheus = Prometheus(stack, {name: server.target for name, server in servers.items()}, [RULES], f"{SCRAPE}s")
        stack.wait_for("prometheus", prometheus.process, lambda: len(prometheus.instant("up == 1", time.time())) == 3)
        began = time.time()
        load = k6(servers["oauth2-0"], prometheus, stack.directory, seconds, {"RATE": "6"})
        for name, server in servers.items():
            traffic.start(server, seconds, f"probe-{name}")
            threading.Thread(target=wave, args=(server, f"wave-{name}", seconds), daemon=True).start()
        time.sleep(seconds / 3)
        restarted = servers["oauth2-1"]
        end(restarted.process)
        process = stack.start("oauth2-1", restarted.command, restarted.environment)
        stack.wait_for("oauth2-1", process, lambda: is_up(f"{restarted.url}/ready"))
        time.sleep(seconds / 3)
        lock(servers["oauth2-edge"], 4)
        if load.wait(seconds + 120) not in (0, 99):
            print((stack.directory / "k6.log").read_text()[-2000:])
        time.sleep(2 * SCRAPE)
        # Without the seconds in which the load began and ended.
        save(prometheus, began + 20, began + seconds - 5)


def save(prometheus, start, stop):
    step = max(SCRAPE, round((stop - start) / 180))
    start, stop = start // step * step, stop // step * step
    for name, dashboard in load_all().items():
        values = values_of(dashboard, {"__range": f"{int(stop - start)}s", "__rate_interval": f"{max(4 * SCRAPE, step + SCRAPE)}s"})
        answers = {}
        for query in queries(name, dashboard):
            expr = fill_in(query.expr, values)
            if query.instant:
                result = [{"metric": each["metric"], "values": [each["value"]]} for each in prometheus.instant(expr, stop)]
            else:
                result = prometheus.range(expr, start, stop, step)
            answers[f"{query.panel} {query.ref}"] = [
                {"metric": each["metric"], "points": [[at, None if text == "NaN" else float(text)] for at, text in each["values"]]}
                for each in result
            ]
        marks = set()
        for annotation in annotations(dashboard):
            for each in prometheus.range(fill_in(annotation["expr"], values), start, stop, step):
                marks |= {float(text) / 1000 for _, text in each["values"]}
        data = {"answers": answers, "start": start, "end": stop, "annotations": sorted(marks)}
        (DATA / name).write_text(json.dumps(data).replace("Infinity", "1e308"))


PAGE = """<!doctype html><meta charset="utf-8"><title>preview</title><style>{style}</style>
<header><h1></h1><span class="note">Preview: drawn from the dashboard's JSON and the answers of a real Prometheus. Not Grafana.</span></header>
<div class="variables"></div><div class="grid"></div>
<script>window.DATA = {data};</script><script>{script}</script>"""


def draw(only=None):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        raise SystemExit("preview: Chromium is missing: run scripts/setup --pictures")
    PICTURES.mkdir(parents=True, exist_ok=True)
    style = (UPLOT / "uPlot.min.css").read_text() + (HERE / "pictures/style.css").read_text()
    script = "\n".join(path.read_text() for path in (UPLOT / "uPlot.iife.min.js", HERE / "pictures/format.js", HERE / "pictures/render.js"))
    for path in sorted(DATA.glob("oauth2-*.json")):
        if only and only not in path.name:
            continue
        dashboard = load_all()[path.name]
        data = json.dumps({"dashboard": dashboard, **json.loads(path.read_text())})
        rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
        page = path.with_suffix(".html")
        page.write_text(PAGE.format(style=style, data=data, script=script))
        picture = PICTURES / f"{path.stem.removeprefix('oauth2-')}.png"
        command = [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--force-device-scale-factor={SCALE}",
            f"--window-size={WIDTH},{rows * CELL + 92}", "--virtual-time-budget=5000", f"--screenshot={picture}", page.as_uri(),
        ]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
        print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size // 1024} KB")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--draw-only", action="store_true")
    parser.add_argument("--only")
    options = parser.parse_args()
    if not options.draw_only:
        collect(options.minutes)
    draw(options.only)


if __name__ == "__main__":
    main()
