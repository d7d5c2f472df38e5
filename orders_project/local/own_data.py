"""For programs that measure Holdfast or break it: what they do stays in a folder of their own."""

import os
import shutil
import signal
import sys
from pathlib import Path

# The environment variables that name servers to use instead of one's own.
ELSEWHERE = ("DATABASE_URL", "REDIS_URL", "CACHE_URL")


def own_folder(name: str) -> Path:
    """A new folder for the servers and data of this program, which from now on runs in the project's folder, uses
    no servers that the environment names, and ends in good order on SIGTERM too. To be called before any settings
    are read."""
    os.chdir(Path(__file__).resolve().parents[2])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))
    for variable in ELSEWHERE:
        os.environ.pop(variable, None)
    folder = Path(os.environ.get("HOLDFAST_VAR") or "var").absolute() / name
    shutil.rmtree(folder, ignore_errors=True)  # what a run left that was killed, or found something
    folder.mkdir(parents=True)
    return folder
