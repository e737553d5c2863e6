"""The commands of docs/operations/kubernetes.md that need no cluster, or can be run without one."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))

from hostlib import doc  # noqa: E402
from report import CheckError, Report  # noqa: E402
from schemas import Schemas  # noqa: E402
from tools import HELM, KUBECTL, KUSTOMIZE, NEWEST, ROOT, environment, helm_environment, kustomize, one, output, parse  # noqa: E402


def check_secret(scratch: Path) -> str:
    """The Secret of the page has the files that the production overlay names; kubectl prints it instead of sending it."""
    home = scratch / "secret"
    home.mkdir()
    for name in ("database_password", "database_ca.pem"):
        (home / name).write_text("from your Postgres\n")
    function = f'kubectl() {{ {KUBECTL} "$@" --dry-run=client -o yaml; echo ---; }}\n'
    objects = parse(output(["bash", "-ec", function + doc.block("kubernetes.md", "openssl rand -base64 32 >key_encryption_key")], cwd=home))
    secret, namespace = one(objects, "Secret"), one(objects, "Namespace")
    wanted = {Path(value).name for name, value in environment(one(parse(kustomize(KUSTOMIZE / "overlays/production")), "Deployment")).items() if name.endswith("_FILE")}
    # Those of Redis are added with Redis, as the page says.
    missing = wanted - set(secret["data"]) - {"redis_password", "redis_ca.pem"}
    if missing or secret["metadata"]["namespace"] != namespace["metadata"]["name"] or (home / "admin_token").stat().st_mode & 0o077:
        raise CheckError(f"missing files: {sorted(missing)}; {secret['metadata']}, {namespace['metadata']}, mode {oct((home / 'admin_token').stat().st_mode)}")
    return f"the Secret has {', '.join(sorted(secret['data']))}, as the production overlay needs them"


def check_helm(report: Report, schemas: Schemas) -> str:
    """`helm template` with the arguments of `helm upgrade --install`."""
    commands = doc.replace(doc.block("kubernetes.md", "helm upgrade --install"), ("helm upgrade --install oauth2-server", f"{HELM} template oauth2-server --kube-version {NEWEST}"))
    objects = parse(output(["bash", "-ec", commands], cwd=ROOT, env=helm_environment()))
    schemas.check(report, "chart with the values of the page", objects)
    values = environment(one(objects, "Deployment"))
    if values["OAUTH2_ISSUER"] != "https://auth.example" or not values["OAUTH2_DATABASE_URL"].startswith("postgres://oauth2@db.internal:5432/"):
        raise CheckError(str(values))
    return f"helm renders {len(objects)} objects, with the issuer and the database of the page"


def check_page(report: Report, scratch: Path, schemas: Schemas) -> None:
    for check, arguments in ((check_secret, (scratch,)), (check_helm, (report, schemas))):
        try:
            report.ok(f"commands of docs/operations/kubernetes.md: {check(*arguments)}")  # type: ignore[operator]
        except (CheckError, RuntimeError) as error:
            report.failed("commands of docs/operations/kubernetes.md", str(error))
