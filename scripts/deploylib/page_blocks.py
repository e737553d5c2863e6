"""Every block of commands in docs/operations is executed from the page by a check, or has a mark on the line before it:

    <!-- run in other words: CHECK; PROGRAM is REPLACEMENT, … -->    CHECK is a system of check-deploy or `make TARGET`
    <!-- run by hand: YYYY-MM-DD, where and how -->
    <!-- not run: reason -->

A block is executed from the page if a program or library of scripts/deploylib calls `doc.block("PAGE", "CONTAINS")`, or `doc-block PAGE
'CONTAINS'` in bash, with literals that select it. Of a block that is run in other words, each program and each file of this repository occurs in
the source of the check, unless the mark says what takes its place.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
from pathlib import Path

from hostlib import doc

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
LANGUAGES = ("sh", "sql")
MARK = re.compile(r"<!-- (?:run in other words: (?P<check>make [\w-]+|[\w-]+)(?:; (?P<exceptions>[^>]+))?|run by hand: \d{4}-\d\d-\d\d, (?P<hand>\S[^>]+)|"
                  r"not run: (?P<reason>\S[^>]+)) -->")
LOOKS_LIKE_A_MARK = re.compile(r"(?m)^ *<!-- *(?:not )?run\b.*$")
CALL_IN_BASH = re.compile(r"""doc-block ([\w-]+\.md) ('[^']*'|"[^"]*"|[^\s'")]+)(?: --language (\w+))?""")
PATH_IN_COMMANDS = re.compile(r"(?<![\w./-])(?:deploy|scripts|alerts|loadtest)/[\w./@-]+")
#: Words of the shell, and what may stand before a program.
SHELL = {"export", "cd", "printf", "echo", "umask", "for", "do", "done", "true", "alias"}
BEFORE = re.compile(r"^(?:sudo|env|exec|do|then|if|\w+=\S*|runuser -u \S+ --|kill)$")


def sources() -> list[Path]:
    """The programs and libraries of the checks."""
    found = [path for path in HERE.rglob("*") if path.is_file() and (path.suffix in {".py", ".sh"} or (not path.suffix and os.access(path, os.X_OK)))]
    return sorted(path for path in found if path.name not in {"page_blocks.py", "doc.py", "doc-block"})


def calls(path: Path) -> list[tuple[str, str, str]]:
    """The literal calls of a source: page, contained text, language."""
    text = path.read_text()
    if path.suffix == ".py" or "python" in text.split("\n", 1)[0]:
        found = []
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"block", "select"} and ast.unparse(node.func.value) == "doc":
                words = [each.value for each in [*node.args, *(keyword.value for keyword in node.keywords)] if isinstance(each, ast.Constant)]
                if len(words) >= 2:
                    found.append((*words[:2], words[2] if len(words) > 2 else "sh"))
        return found
    return [(page, shlex.split(words)[0], language or "sh") for page, words, language in CALL_IN_BASH.findall(text)]


def executed(problems: list[str]) -> set[doc.Block]:
    found = set()
    for path in sources():
        for page, contains, language in calls(path):
            try:
                found.add(doc.select(page, contains, language))
            except RuntimeError as error:
                problems.append(f"{path.relative_to(HERE)}: {error}")
    return found


def used_by(check: str) -> str:
    """The source of a check, with that of the files that it uses."""
    if check.startswith("make "):
        makefile = (REPOSITORY / "Makefile").read_text()
        recipe = re.search(rf"(?m)^{check[5:]}:.*\n((?:\t.*\n)*)", makefile)
        named = re.findall(r"scripts/[\w./-]+", recipe[1]) if recipe else []
        texts = [recipe[1] if recipe else "", *((REPOSITORY / name).read_text() for name in named if (REPOSITORY / name).is_file())]
        if check == "make test":
            texts += [path.read_text() for path in (REPOSITORY / "tests").rglob("*.rs")]
        return "\n".join([check, *texts])
    seen: dict[Path, str] = {}
    waiting = [HERE / check]
    while waiting:
        path = waiting.pop()
        # Neither what installs tools, nor other checks.
        is_other = path.name in {"setup", "install", "check-deploy", "page_blocks.py"} or (path.parent == HERE and not path.suffix and path.name != check)
        if path not in seen and path.is_file() and not is_other:
            seen[path] = path.read_text()
            waiting += mentioned(path, seen[path])
    return "\n".join(seen.values())


def mentioned(path: Path, text: str) -> list[Path]:
    """Files of scripts/ that a source imports or names."""
    found = [REPOSITORY / name for name in re.findall(r"scripts/[\w./-]+", text)]
    found += [HERE / name for name in re.findall(r"\b(?:hostlib|edge|kubelib|composelib)/[\w./-]+", text)]
    roots = [path.parent, HERE, HERE.parent, REPOSITORY / "deploy/backup"]
    for dots, package, names in re.findall(r"(?m)^ *from (\.?)([\w.]*) import ([^\n#]+)", text):
        modules = [package, *(f"{package}.{name.strip().split()[0]}" for name in names.split(",") if name.strip(" ()"))]
        found += [root / (module.strip(".").replace(".", "/") + ".py") for module in modules for root in ([path.parent] if dots else roots)]
    found += [root / (name.replace(".", "/") + ".py") for name in re.findall(r"(?m)^ *import ([\w.]+)", text) for root in roots]
    return found


def programs(text: str) -> set[str]:
    """The first word of each command, without words of the shell, and the files of this repository."""
    text = re.sub(r"\\\n", " ", text)
    paths = {path.rstrip("/.") for path in PATH_IN_COMMANDS.findall(re.sub(r"(?m)(^|\s)#.*$", "", text))}
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "_", text)
    text = re.sub(r"(?m)(^|\s)#.*$", "", text)
    found = set()
    for command in re.split(r"\$\(|[|;&()\n`]+", text):
        command = re.sub(r"\brunuser -u \S+ --", "", command)
        words = [word for word in command.split() if not re.fullmatch(r"\w+=\S*|\d?[<>].*", word)]
        while words and BEFORE.match(words[0]):
            words.pop(0)
        if words and words[0] not in SHELL and re.fullmatch(r"[\w./~-]*[A-Za-z_]{2}[\w./-]*", words[0]):
            found.add(words[0])
    return {Path(name).name for name in found | paths}


def missing(block: doc.Block, check: str, exceptions: str) -> list[str]:
    """Programs and files of a block that the source of its check lacks."""
    excused = {each.split(" is ")[0].strip() for each in exceptions.split(",") if " is " in each}
    source = used_by(check)
    return sorted(name for name in programs(block.text) - excused if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", source))


def is_check(name: str) -> bool:
    if name.startswith("make "):
        return bool(re.search(rf"(?m)^{re.escape(name[5:])}:", (REPOSITORY / "Makefile").read_text()))
    return "." not in name and (HERE / name).is_file() and os.access(HERE / name, os.X_OK)


def judge(block: doc.Block, from_page: bool, problems: list[str]) -> str | None:
    """How a block is run; a problem is added if that is not known."""
    where = f"{block.page}:{block.line}"
    mark = MARK.fullmatch(block.before)
    if from_page:
        if LOOKS_LIKE_A_MARK.match(block.before):
            problems.append(f"{where} is executed from the page, and has a mark")
        return "executed"
    if not mark:
        problems.append(f"{where} has a mark of another form: {block.before}" if LOOKS_LIKE_A_MARK.match(block.before)
                        else f"{where} is not executed from the page, and has no mark: {block.text.splitlines()[0][:60]}")
        return None
    if mark["hand"]:
        return "by hand"
    if mark["reason"]:
        return "not run"
    check = mark["check"]
    if not is_check(check):
        problems.append(f"{where}: there is no check {check}")
    elif lacks := missing(block, check, mark["exceptions"] or ""):
        problems.append(f"{where}: the check {check} lacks {', '.join(lacks)}")
    return "in other words"


def problems_and_counts() -> tuple[list[str], dict[str, int]]:
    problems: list[str] = []
    counts = {"executed": 0, "in other words": 0, "by hand": 0, "not run": 0}
    from_pages = executed(problems)
    for path in sorted(doc.PAGES.glob("*.md")):
        found = [block for block in doc.blocks(path.name) if block.language in LANGUAGES]
        for block in found:
            outcome = judge(block, block in from_pages, problems)
            if outcome:
                counts[outcome] += 1
        marks = len(LOOKS_LIKE_A_MARK.findall(path.read_text()))
        if marks != sum(bool(LOOKS_LIKE_A_MARK.match(block.before)) for block in found):
            problems.append(f"{path.name} has a mark that is not on the line before a block of {' or '.join(LANGUAGES)}")
    return problems, counts
