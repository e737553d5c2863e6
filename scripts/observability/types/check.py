"""Compiles the dashboards as TypeScript against the types of @grafana/schema, of the oldest and of the newest Grafana.

usage: check.py DIRECTORY   for the generated programs
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TOOLS = ROOT / "target/tools/observability"
# The package by version.
PACKAGES = {"10.4": "@grafana/schema", "13.2": "schema-newest"}
# Newer packages have no types of Prometheus queries.
QUERY = "@grafana/schema/dist/esm/raw/composable/prometheus/dataquery/x/PrometheusDataQuery_types.gen.d.ts"


def paths(package):
    """Where TypeScript finds the types. The newest package keeps those of panels under other names."""
    base = f"{TOOLS}/node_modules/{package}"
    query = {"prometheus-query": [f"{TOOLS}/node_modules/{QUERY}"]}
    if package == "@grafana/schema":
        return {**query, "@grafana/schema": [base], "@grafana/schema/*": [f"{base}/*"]}
    mapped = {**query, "@grafana/schema": [f"{base}/dist/types/index.d.ts"]}
    for name, target in json.loads(Path(base, "package.json").read_text())["exports"].items():
        if name.startswith("./dist/esm/raw/"):
            mapped[f"@grafana/schema/{name[2:]}"] = [f"{base}/{target['types'][2:]}"]
    return mapped


def check(directory):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "panels.ts").write_text((HERE / "panels.ts").read_text())
    files = []
    for source in sorted((ROOT / "grafana/json").glob("*.json")):
        program = directory / f"{source.stem}.ts"
        program.write_text(f"import type {{ DashboardJson }} from './panels';\nexport const dashboard: DashboardJson = {source.read_text()};\n")
        files.append(program.name)
    failures = []
    for version, package in PACKAGES.items():
        options = {
            "strict": True, "noEmit": True, "skipLibCheck": True, "module": "esnext", "moduleResolution": "bundler", "target": "es2022",
            "types": [], "paths": paths(package),
        }  # fmt: skip
        config = directory / f"tsconfig-{version}.json"
        config.write_text(json.dumps({"compilerOptions": options, "files": files}, indent=2))
        compiler = TOOLS / "node_modules/typescript/lib/tsc.js"
        result = subprocess.run([TOOLS / "node", compiler, "-p", config, "--pretty", "false"], capture_output=True, text=True)
        if result.returncode:
            failures += [f"@grafana/schema {version}: {line}" for line in result.stdout.splitlines()]
    return failures, len(files) * len(PACKAGES)


if __name__ == "__main__":
    failures, _ = check(Path(sys.argv[1]))
    print(*failures, sep="\n")
    sys.exit(bool(failures))
