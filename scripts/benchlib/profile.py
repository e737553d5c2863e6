"""Profiles the server under the load of a row: a flame graph, and the share of CPU time by area."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

from .bench import Bench
from .processes import Profiler
from .rates import measure_row, server_of
from .report import log
from .rows import RATE_ROWS

#: The first matching area counts: its name, a pattern for the innermost function, and a pattern for any frame.
AREAS = [
    ("kernel: sending", "", r"tcp_sendmsg|sock_write_iter|__sys_sendto"),
    ("kernel: receiving", "", r"tcp_recvmsg|sock_read_iter|__sys_recvfrom"),
    ("kernel: waiting for events", "", r"epoll_wait|ep_poll"),
    ("kernel: files and syncs", "", r"fdatasync|vfs_write|pwrite|vfs_read|fsync"),
    ("kernel: other", "", r"entry_SYSCALL|asm_sysvec|asm_exc|ret_from_fork|__schedule"),
    ("Ed25519", r"edwards25519|curve25519|bignum|sha512|ed25519", ""),
    ("SHA-256 and HMAC", r"sha256|hmac", ""),
    ("memory", r"^_?mi_|malloc|memcpy|memmove|memset|__rust_alloc|__rdl|alloc::", ""),
    ("SQLite", r"sqlite3|^(btree|pager|vdbe|wal)[A-Z_]|rusqlite", "sqlite3"),
    ("Postgres client", r"tokio_postgres|postgres_", "tokio_postgres"),
    ("HTTP and actix", r"actix|httparse|^http::|h1::|router", ""),
    ("runtime", r"tokio|mio|futures|clock_gettime|parking_lot", ""),
    ("own code", r"oauth2_|base64|itoa|uuid|memchr", ""),
]
COMPILED = [(area, re.compile(inner or r"(?!)"), re.compile(any_frame or r"(?!)")) for area, inner, any_frame in AREAS]


def area_of(stack: list[str]) -> str:
    """The area of a stack, whose first frame is the innermost function."""
    for area, inner, any_frame in COMPILED:
        if inner.search(stack[0]) or any(any_frame.search(frame) for frame in stack):
            return area
    return "other"


def parse_stacks(output: str) -> list[list[str]]:
    """Parses `perf script -F ip,sym`: one frame per line, an empty line after each stack."""
    found = [[" ".join(line.split()[1:]) for line in part.splitlines() if line.strip()] for part in output.split("\n\n")]
    return [stack for stack in found if stack]


def profile(bench: Bench, directory: Path) -> None:
    """Profiles each selected row."""
    directory.mkdir(parents=True, exist_ok=True)
    shares: dict[str, Counter[str]] = {}
    rows = [row for row in RATE_ROWS if bench.wants(row.key)]
    for row in rows:
        file = directory / f"{row.key}.perf"
        sample = measure_row(bench, row, 64, bench.seconds, Profiler(server_of(bench, row).pid, file))
        output = bench.processes.run(["perf", "script", "-i", str(file), "-F", "ip,sym"], timeout=300)
        stacks = parse_stacks(output)
        shares[row.key] = Counter(area_of(stack) for stack in stacks)
        folded = Counter(";".join(reversed(stack)) for stack in stacks)
        lines = "".join(f"{stack} {count}\n" for stack, count in folded.items())
        (directory / f"{row.key}.folded").write_text(lines, encoding="utf-8")
        inner = Counter(stack[0] for stack in stacks).most_common(25)
        log(f"{row.key}: {len(stacks)} stacks at {sample.rate:.0f}/s; most frequent innermost functions:")
        for function, count in inner:
            log(f"  {count / len(stacks):6.1%}  {function}")
        flamegraph = shutil.which("inferno-flamegraph")
        if flamegraph:
            svg = bench.processes.run([flamegraph, "--title", row.what, str(directory / f"{row.key}.folded")], timeout=60)
            (directory / f"{row.key}.svg").write_text(svg, encoding="utf-8")
        file.unlink()
    table = bench.table("profile", ["share of the server's CPU time", *(f"`{row.key}`" for row in rows)])
    for area in [*(area for area, _, _ in AREAS), "other"]:
        parts = [shares[row.key][area] / max(1, shares[row.key].total()) for row in rows]
        if any(part > 0.005 for part in parts):
            table.lines.append([area, *(f"{part:.0%}" for part in parts)])
