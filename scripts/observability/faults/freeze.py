"""Stops one thread of a process until stdin closes: freeze.py THREAD-ID. Prints a line when it is stopped."""

import ctypes
import os
import sys

SEIZE, INTERRUPT = 0x4206, 0x4207
WAIT_FOR_THREADS = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
thread = int(sys.argv[1])
for request in (SEIZE, INTERRUPT):
    if libc.ptrace(request, thread, None, None) != 0:
        sys.exit(f"ptrace: {os.strerror(ctypes.get_errno())}")
os.waitpid(thread, WAIT_FOR_THREADS)
print("stopped", flush=True)
# The end of this process detaches the thread, and it runs on.
sys.stdin.read()
