"""Looking at real processes: which run, and waiting until something is so."""

import time
from collections.abc import Callable
from pathlib import Path


def running(mark: str | Path) -> set[int]:
    """The pids of processes with `mark` in their command line; a zombie has none."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if str(mark).encode() in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
        except OSError:  # it has just ended
            continue
    return found


def wait_until(condition: Callable[[], object], seconds: float = 15) -> None:
    """Return as soon as `condition` holds; AssertionError if it doesn't in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
