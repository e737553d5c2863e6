"""The last lines of scripts/check-deploy: one per section of the production guide that this deployment began as, with how it was exercised and the
result. The checks of a section are those of its topics in docs/operations/README.md, "By topic".

usage: topics.py RESULTS     RESULTS: a file with a line `SYSTEM ok|FAILED|nothing` per system that ran
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MAP = REPOSITORY / "docs/operations/README.md"
#: The guide. It is not in this repository; where it is there, its headings are compared.
GUIDE = REPOSITORY.parent / "shared/seed"

#: Sections of the guide, each with its topics in the map.
SECTIONS = {
    "Pre-Deployment Checklist": ["Checklist before production", "From nothing to three nodes, step by step"],
    "Production Architecture": ["Architecture of a deployment"],
    "HTTPS/TLS": ["TLS for clients", "Security headers"],
    "Secret Management": ["Secret management: AWS Secrets Manager, Vault, OpenBao", "Rotation of secrets"],
    "Database Security": ["Database security: roles, TLS, encryption at rest"],
    "Network Security": ["Network security: firewalls, security groups"],
    "PostgreSQL Production Setup": ["Postgres in production"],
    "Connection Pooling": ["Connection pooling"],
    "Database Backup": ["Backup of the database"],
    "Load Balancing": ["Load balancing"],
    "Database Replication": ["Replication and failover", "Reads from a replica"],
    "Server Configuration": ["Server configuration"],
    "Caching Strategy": ["Redis"],
    "Application-Level Caching": ["Caching: what verifiers and clients may cache"],
    "Prometheus Alerts": ["Prometheus and its alerts"],
    "Grafana Dashboard": ["Grafana dashboards"],
    "Horizontal Scaling": ["Horizontal"],
    "Vertical Scaling": ["Vertical"],
    "Auto-scaling (Kubernetes)": ["Automatic"],
    "Backup Strategy": ["Backup strategy", "Backup of configuration, certificates, logs and metrics; cold storage"],
    "Recovery Procedures": ["Recovery procedures and drills"],
    "GDPR Compliance": ["GDPR: access and erasure"],
    "Audit Logging": ["Audit log"],
    "Security Best Practices": ["Security practices: floods, bans, WAF, intrusion detection, least privilege", "Rate limits", "Penetration test"],
    "High CPU Usage": ["CPU"],
    "Memory Leaks": ["Memory"],
    "Database Performance": ["Slow database"],
    "Maintenance Windows": ["Maintenance windows", "Load tests"],
}
#: Headings that only group others.
GROUPS = {"Architecture Overview", "Security Configuration", "Database Configuration", "High Availability", "Performance Optimization",
          "Monitoring and Alerting", "Scaling Strategy", "Disaster Recovery", "Compliance", "Troubleshooting Production Issues", "Next Steps"}


def topics() -> dict[str, str]:
    """The topics of the map, each with its last column, the checks."""
    text = MAP.read_text()
    table = text[text.index("## By topic"):text.index("## All pages")]
    rows = re.findall(r"(?m)^\| ([^|*]+?) \|.*\| ([^|]*?) \|$", table)
    return {topic: checks for topic, checks in rows if topic != "Topic" and not topic.startswith("-")}


def problems() -> list[str]:
    """Where map, sections and guide differ."""
    known = topics()
    wrong = [f"{section}: the map has no topic {topic}" for section, wanted in SECTIONS.items() for topic in wanted if topic not in known]
    wrong += [f"the topic {topic} names no check and no reason for none" for topic, checks in known.items() if not re.search(r"\w", checks)]
    systems = {path.name for path in (REPOSITORY / "scripts/deploylib").iterdir() if path.is_file()}
    wrong += [f"{topic}: no check {name}" for topic, checks in known.items() for name in re.findall(r"`([a-z-]+)`", checks) if name not in systems]
    for file in sorted(GUIDE.glob("*.txt")) if GUIDE.is_dir() else []:
        # Comments of its shell snippets begin with one `#`.
        for heading in re.findall(r"(?m)^##+ (?:\d+\. )?(.+?) *$", file.read_text()):
            # Headings of the fourth level belong to the one before.
            if f"#### {heading}" not in file.read_text() and heading not in SECTIONS.keys() | GROUPS:
                wrong.append(f"the guide's section {heading} is in no line")
    return wrong


def lines(results: dict[str, str]) -> list[str]:
    known = topics()
    covered = {topic for wanted in SECTIONS.values() for topic in wanted}
    found = SECTIONS | {topic: [topic] for topic in known if topic not in covered}
    printed = []
    for section, wanted in found.items():
        how: dict[str, str] = {}
        for checks in (known.get(topic, "") for topic in wanted):
            for part in filter(None, checks.split(", ")):
                name = part.strip("`")
                if part == f"`{name}`" and re.fullmatch(r"[a-z-]+", name):
                    how[name] = {"nothing": "exercised nothing"}.get(results.get(name, ""), results.get(name, "not in this run"))
                else:
                    how[part] = ""
        states = set(how.values())
        verdict = "FAILED" if "FAILED" in states else "ok" if "ok" in states else "not run" if "exercised nothing" in states else "not here"
        printed.append(f"  {verdict:8} {section}: " + "; ".join(f"{name} {state}".strip() for name, state in how.items()))
    return printed


if __name__ == "__main__":
    pairs = [line.split() for line in Path(sys.argv[1]).read_text().splitlines()]
    print("\n".join(lines({name: state for name, state in pairs})))
