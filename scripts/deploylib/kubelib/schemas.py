"""Schemas without a network: those of Kubernetes from the package kubernetes-validate, those of other kinds from their CRDs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from report import CheckError, Report
from tools import CRDS, KUBECONFORM, NEWEST, VALIDATE, Object, describe, one_line, run

#: The oldest version that the chart accepts, and the newest that is checked.
VERSIONS = ("1.29.0", NEWEST)
EMBEDDED = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"


def strict(schema: Any) -> Any:
    """The schema of a CRD as JSON schema that rejects unknown fields, as the API server drops them with a warning."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: strict(value) for key, value in schema.items() if not key.startswith("x-kubernetes")}
    # The name of a property may be anything, so this looks for an object of schemas.
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        result["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if schema.get("x-kubernetes-int-or-string") is True:
        result = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    # Python and Go differ in what they take for a regular expression of these; the API server judges them.
    result.pop("format", None) if isinstance(result.get("format"), str) else None
    return result


def write_crd_schemas(directory: Path) -> None:
    for path in sorted(CRDS.glob("*.yaml")):
        spec = yaml.safe_load(path.read_text())["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            # The CRD leaves the members of every object open.
            schema["properties"]["metadata"] = {"type": "object"}
            name = f"{spec['names']['kind'].lower()}-{spec['group']}-{version['name']}.json"
            (directory / name).write_text(json.dumps(schema))


REFERENCE = re.compile(r'"/api/_definitions\.json#/\$defs/([^"]+)"|"#/\$defs/([^"]+)"')


def write_builtin_schemas(directory: Path, version: str) -> None:
    """The embedded schema of each kind with what it refers to, in one file: kubeconform cannot follow the references of the package."""
    source = EMBEDDED / f"v{version}-local-strict"
    definitions = json.loads((source / "_definitions.json").read_text())["$defs"]
    texts = {name: json.dumps(schema) for name, schema in definitions.items()}
    for path in source.glob("*.json"):
        schema = json.loads(path.read_text())
        if not {"apiVersion", "kind", "metadata"} <= schema.get("properties", {}).keys():
            continue
        needed: dict[str, str] = {}
        waiting = [path.read_text()]
        while waiting:
            for match in REFERENCE.finditer(waiting.pop()):
                name = match[1] or match[2]
                if name not in needed:
                    needed[name] = texts[name]
                    waiting.append(texts[name])
        text = json.dumps(schema | {"definitions": {name: definitions[name] for name in needed}})
        (directory / path.name).write_text(REFERENCE.sub(lambda match: f'"#/definitions/{match[1] or match[2]}"', text))


def builtin(each: Object) -> bool:
    group = each["apiVersion"].rpartition("/")[0]
    return "." not in group or group.endswith(".k8s.io") and group not in ("gateway.networking.k8s.io", "secrets-store.csi.x-k8s.io")


class Schemas:
    """Validates objects by two programs."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.crds = scratch / "crd-schemas"
        self.crds.mkdir()
        write_crd_schemas(self.crds)
        for version in VERSIONS:
            (scratch / version).mkdir()
            write_builtin_schemas(scratch / version, version)

    def kubernetes_validate(self, objects: list[Object], version: str) -> None:
        known = [each for each in objects if builtin(each)]
        if not known:
            return
        file = self._write(known)
        done = run([VALIDATE, "--strict", "--quiet", "-k", version, file])
        if done.returncode != 0:
            raise CheckError(f"kubernetes-validate {version}: {one_line(done.stdout + done.stderr)}")

    def kubeconform(self, objects: list[Object], version: str) -> int:
        """Returns the number of valid objects."""
        file = self._write(objects)
        places = [
            str(self.scratch / version / "{{.ResourceKind}}{{.KindSuffix}}.json"),
            str(self.crds / "{{.ResourceKind}}-{{.Group}}-{{.ResourceAPIVersion}}.json"),
        ]
        command = [KUBECONFORM, "-strict", "-kubernetes-version", version, "-output", "json", "-verbose", "-summary"]
        for place in places:
            command += ["-schema-location", place]
        done = run([*command, file])
        found = json.loads(done.stdout or "{}")
        wrong = [each for each in found.get("resources", []) if each["status"] != "statusValid"]
        if done.returncode != 0 or wrong or not found:
            first = wrong[0] if wrong else {"kind": "?", "name": "?", "msg": done.stderr}
            raise CheckError(f"kubeconform {version}: {first['kind']} {first['name']}: {one_line(first['msg'])}")
        return int(found["summary"]["valid"])

    def check(self, report: Report, name: str, objects: list[Object]) -> None:
        try:
            for version in VERSIONS:
                self.kubernetes_validate(objects, version)
                valid = self.kubeconform(objects, version)
            kinds = len({each["kind"] for each in objects})
            programs = "kubernetes-validate --strict, kubeconform" if any(map(builtin, objects)) else "kubeconform with its CRD"
            counted = "1 object is" if valid == 1 else f"{valid} objects of {kinds} kinds are"
            report.ok(f"{name}: {counted} valid for Kubernetes {' and '.join(VERSIONS)} ({programs})")
        except CheckError as error:
            report.failed(f"{name}: schemas", str(error))

    def _write(self, objects: list[Object]) -> Path:
        file = self.scratch / "objects.yaml"
        file.write_text(yaml.safe_dump_all(objects))
        return file


def must_reject(schemas: Schemas, objects: list[Object], kind: str) -> None:
    """An unknown field is found in a kind of Kubernetes and in one of a CRD."""
    for each in objects:
        if each["kind"] == kind:
            wrong = each | {"spec": each["spec"] | {"minReadySecnds": 1}}
            try:
                schemas.kubeconform([wrong], VERSIONS[-1])
            except CheckError as error:
                if "minReadySecnds" in str(error):
                    return
                raise
            raise CheckError(f"an unknown field in {describe(each)} is not found")
    raise CheckError(f"there is no {kind}")
