"""Runs the commands of docs/runbooks on a real server. Commands of the section Diagnosis are run as they are; commands that change
something are run with --help, which must list their flags."""

import os
import re
import shlex
import subprocess
import tempfile

from scene import ROOT, Node
from stack import Stack, server_binary

# Programs that run elsewhere: on the database, in Prometheus, on a systemd machine.
ELSEWHERE = ("curl -sS http://127.0.0.1:90", "timedatectl", "chronyc", "systemctl ", "journalctl ", "ss ", "grep ", "df ", "du ", "date ")


def commands():
    """Section and command, of every runbook."""
    for path in sorted((ROOT / "docs" / "runbooks").glob("*.md")):
        for section in path.read_text().split("\n## ")[1:]:
            title = section.partition("\n")[0]
            for block in re.findall(r"^```sh\n(.*?)^```$", section, re.S | re.M):
                yield from ((path.stem, title, line) for line in block.splitlines())
            prose = re.sub(r"^```.*?^```$", "", section, flags=re.S | re.M)
            yield from ((path.stem, "text", line) for line in re.findall(r"`(oauth2_server [^`]+)`", prose))


def run():
    """Returns what is wrong."""
    problems, done = [], {}
    with tempfile.TemporaryDirectory(prefix="oauth2-runbooks-") as directory, Stack(directory) as stack:
        bin_directory = stack.directory / "bin"
        bin_directory.mkdir()
        (bin_directory / "oauth2_server").symlink_to(server_binary())
        node = Node(stack, "server", {}, ())
        node.start()
        token = node.directory / "data" / "admin_token"
        token.write_text(node.token)
        token.chmod(0o600)
        environment = {**node.environment, "PATH": f"{bin_directory}:{os.environ['PATH']}"}
        here = {"127.0.0.1:8080": node.url.removeprefix("http://"), "127.0.0.1:8081": node.target, "db.example.com": "localhost"}
        for runbook, title, line in commands():
            if line.startswith(ELSEWHERE) or line in done:
                continue
            command = line
            for default, real in here.items():
                command = command.replace(default, real)
            if title == "text":
                words = shlex.split(command)
                name = [word for word in words[1:] if not word.startswith("-")]
                depth = 2 if name[0] in ("client", "token", "key", "audit", "config") else 1
                shown = subprocess.run(["oauth2_server", *name[:depth], "--help"], env=environment, capture_output=True, text=True, check=False)
                unknown = [word for word in words if word.startswith("--") and word not in shown.stdout]
                done[line] = shown.returncode == 0 and not unknown
            else:
                command = f"set -o pipefail; {command}"
                done[line] = subprocess.run(["bash", "-c", command], cwd=node.directory, env=environment, capture_output=True, check=False).returncode == 0
            if not done[line]:
                problems.append(f"docs/runbooks/{runbook}.md: {line}")
    return len(done), problems
