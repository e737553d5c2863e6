"""A clock that is set while processes run, by libfaketime."""

import glob
import os


class FakeClock:
    def __init__(self, path):
        found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        if not found:
            raise RuntimeError("libfaketime is missing: make setup")
        self.path, self.preload = path, found[0]
        self.set(0)

    def set(self, seconds):
        # Renamed, so that no process reads half a file.
        new = self.path.with_suffix(".new")
        new.write_text(f"{seconds:+}\n")
        os.chmod(new, 0o644)
        new.rename(self.path)

    def environment(self):
        return {
            "LD_PRELOAD": self.preload,
            "FAKETIME_TIMESTAMP_FILE": str(self.path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
