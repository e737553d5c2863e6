"""Checks deploy/kubernetes and deploy/helm without a cluster. Run by scripts/deploylib/kubernetes."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import yaml

import sandbox
from chart import check_chart
from mutations import FAULTS, unnoticed
from page import check_page
from report import CheckError, Report
from rules import RULES, violations
from schemas import Schemas, must_reject
from tools import KUSTOMIZE, OVERLAYS, ROOT, Object, environment, kustomize, of_kind, one, one_line, parse, run


def check_generated(report: Report) -> None:
    done = run([sys.executable, "-B", ROOT / "deploy/generate", "--check"])
    if done.returncode != 0:
        report.failed("generated files", one_line(done.stderr))
    else:
        report.ok("rules and dashboards of deploy/ are those of alerts/ and grafana/ (deploy/generate --check)")


def check_rules(report: Report, name: str, objects: list[Object]) -> None:
    if found := violations(objects):
        report.failed(f"{name}: rules of this project", "; ".join(found))
    else:
        report.ok(f"{name}: {len(RULES)} rules of this project hold")


def check_overlays(report: Report, schemas: Schemas) -> dict[str, list[Object]]:
    rendered = {}
    for name in ("base", *(f"overlays/{overlay}" for overlay in OVERLAYS)):
        try:
            rendered[name] = parse(kustomize(KUSTOMIZE / name))
        except CheckError as error:
            report.failed(f"{name}: kubectl kustomize", str(error))
            continue
        schemas.check(report, name, rendered[name])
        check_rules(report, name, rendered[name])
    return rendered


def check_others(report: Report, schemas: Schemas) -> None:
    """Files that are applied on their own."""
    files = [*sorted((KUSTOMIZE / "examples").glob("*.yaml")), KUSTOMIZE / "components/secrets-store-csi/secret-provider-class.yaml"]
    for path in files:
        schemas.check(report, str(path.relative_to(ROOT)), parse(path.read_text()))
    job = ROOT / "loadtest/kubernetes/job.yaml"
    schemas.check(report, str(job.relative_to(ROOT)), parse(job.read_text()))
    check_rules(report, str(job.relative_to(ROOT)), parse(job.read_text()))


def check_csi(report: Report, scratch: Path, schemas: Schemas) -> None:
    """The component puts a CSI volume where the Secret was, and its class gives every file that the environment names."""
    directory = scratch / "csi"
    directory.mkdir()
    relative = os.path.relpath(KUSTOMIZE, directory.resolve())
    text = f"resources: [{relative}/base]\ncomponents: [{relative}/components/secrets-store-csi]\n"
    (directory / "kustomization.yaml").write_text(text)
    objects = parse(kustomize(directory))
    schemas.check(report, "base with secrets-store-csi", objects)
    deployment = one(objects, "Deployment")
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    entries = one(objects, "SecretProviderClass")["spec"]["parameters"]["objects"]
    wanted = {Path(value).name for name, value in environment(deployment).items() if name.endswith("_FILE")} | {"database_ca.pem"}
    missing = [name for name in sorted(wanted) if f"objectName: {name}\n" not in entries]
    if len(volumes) != 1 or set(volumes[0]) != {"name", "csi"} or missing:
        report.failed("base with secrets-store-csi", f"volumes {volumes}, missing files {missing}")


def check_adapter_rule(report: Report, scratch: Path, objects: list[Object]) -> None:
    """The rule of Prometheus Adapter is valid PromQL, and names the metric that the autoscaler asks for."""
    text = (KUSTOMIZE / "components/hpa-requests/prometheus-adapter-rules.yaml").read_text()
    rule = yaml.safe_load(text)["rules"]["custom"][0]
    query = rule["metricsQuery"].replace("<<.GroupBy>>", "pod").replace("<<.Series>>", rule["name"]["matches"].strip("^$"))
    file = scratch / "adapter.yaml"
    query = query.replace("<<.LabelMatchers>>", 'namespace="oauth2",pod=~"a|b"')
    file.write_text(yaml.safe_dump({"groups": [{"name": "adapter", "rules": [{"record": "requests", "expr": query}]}]}))
    wanted = [metric["pods"]["metric"]["name"] for metric in one(objects, "HorizontalPodAutoscaler")["spec"]["metrics"] if "pods" in metric]
    if wanted != [rule["name"]["as"]]:
        report.failed("hpa-requests: rule of Prometheus Adapter", f"it serves {rule['name']['as']}, the autoscaler asks for {wanted}")
    elif not shutil.which("promtool"):
        report.not_run("hpa-requests: rule of Prometheus Adapter", "promtool is missing: run scripts/setup")
    elif (done := run(["promtool", "check", "rules", file])).returncode != 0:
        report.failed("hpa-requests: rule of Prometheus Adapter", one_line(done.stderr))
    else:
        report.ok("hpa-requests: the query of the adapter's rule is valid (promtool) and serves the metric of the autoscaler")


def check_faults(report: Report, schemas: Schemas, objects: list[Object]) -> None:
    """The rules and schemas find faults that are put in."""
    try:
        if missed := unnoticed(objects):
            raise CheckError(f"not found: {', '.join(missed)}")
        kinds = ("Deployment", "ServiceMonitor", "HTTPRoute")
        for kind in kinds:
            must_reject(schemas, objects, kind)
        report.ok(f"{len(FAULTS)} faults put into the production overlay are found by their rules, unknown fields in {len(kinds)} kinds by schemas")
    except CheckError as error:
        report.failed("faults that are put in", str(error))


def check_files(report: Report, scratch: Path) -> None:
    schemas = Schemas(scratch)
    check_generated(report)
    rendered = check_overlays(report, schemas)
    check_others(report, schemas)
    check_csi(report, scratch, schemas)
    check_chart(report, schemas, scratch)
    check_page(report, scratch, schemas)
    if of_kind(rendered.get("overlays/production", []), "Deployment"):
        check_adapter_rule(report, scratch, rendered["overlays/production"])
        check_faults(report, schemas, rendered["overlays/production"])


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Report("kubernetes")
    live = None
    with tempfile.TemporaryDirectory(prefix="kubernetes-check-") as scratch, tempfile.TemporaryDirectory(prefix="kubernetes-check-") as empty:
        try:
            if reason := sandbox.why_not():
                report.not_run("the server with the environment of each manifest", reason)
            else:
                # The real server waits most of its time, for the end of the drain delays: the files are checked meanwhile.
                live = sandbox.enter([str(Path(__file__).with_name("live.py")), empty])
            check_files(report, Path(scratch))
            if live:
                lines, _ = live.communicate(timeout=300)
                print(lines, end="")
                report.failures += live.returncode != 0
        finally:
            if live and live.poll() is None:
                live.kill()
                live.wait()
    return report.exit_code()


if __name__ == "__main__":
    sys.exit(main())
