"""Where the server spends its processor time under a row's load: a flame graph, and shares by area."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

from .bench import Bench, say
from .processes import Profiler
from .rates import serving, take
from .rows import RATE_ROWS

#: In this order: an area, what finds it in the innermost function, and what finds it in any frame.
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
    """`stack` begins with the innermost function."""
    for area, inner, any_frame in COMPILED:
        if inner.search(stack[0]) or any(any_frame.search(frame) for frame in stack):
            return area
    return "other"


def stacks(told: str) -> list[list[str]]:
    """Of `perf script -F ip,sym`: a frame a line, an empty line after each stack."""
    found = [[" ".join(line.split()[1:]) for line in part.splitlines() if line.strip()] for part in told.split("\n\n")]
    return [stack for stack in found if stack]


def profile(bench: Bench, directory: Path) -> None:
    """Of each wanted row."""
    directory.mkdir(parents=True, exist_ok=True)
    shares: dict[str, Counter[str]] = {}
    rows = [row for row in RATE_ROWS if bench.wants(row.key)]
    for row in rows:
        file = directory / f"{row.key}.perf"
        sample = take(bench, row, 64, bench.seconds, Profiler(serving(bench, row).pid, file))
        told = bench.processes.run(["perf", "script", "-i", str(file), "-F", "ip,sym"], timeout=300)
        every = stacks(told)
        shares[row.key] = Counter(area_of(stack) for stack in every)
        folded = Counter(";".join(reversed(stack)) for stack in every)
        lines = "".join(f"{stack} {count}\n" for stack, count in folded.items())
        (directory / f"{row.key}.folded").write_text(lines, encoding="utf-8")
        inner = Counter(stack[0] for stack in every).most_common(25)
        say(f"{row.key}: {len(every)} stacks at {sample.rate:.0f}/s; most in")
        for function, count in inner:
            say(f"  {count / len(every):6.1%}  {function}")
        flamegraph = shutil.which("inferno-flamegraph")
        if flamegraph:
            svg = bench.processes.run([flamegraph, "--title", row.what, str(directory / f"{row.key}.folded")], timeout=60)
            (directory / f"{row.key}.svg").write_text(svg, encoding="utf-8")
        file.unlink()
    table = bench.table("profile", ["share of the server's processor time", *(f"`{row.key}`" for row in rows)])
    for area in [*(area for area, _, _ in AREAS), "other"]:
        parts = [shares[row.key][area] / max(1, shares[row.key].total()) for row in rows]
        if any(part > 0.005 for part in parts):
            table.lines.append([area, *(f"{part:.0%}" for part in parts)])
