"""`make bench`; with the names of rows as arguments, only those. Its servers and data are its own."""

import os
import shutil
import signal
import sys
from pathlib import Path

import django

PROJECT = Path(__file__).resolve().parents[1]
VAR = Path(os.environ.get("HOLDFAST_VAR") or PROJECT / "var") / "bench"

if __name__ == "__main__":
    os.chdir(PROJECT)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))
    for elsewhere in ("DATABASE_URL", "REDIS_URL", "CACHE_URL"):
        os.environ.pop(elsewhere, None)
    os.environ |= {"HOLDFAST_VAR": str(VAR), "DJANGO_SETTINGS_MODULE": "orders_project.settings"}
    shutil.rmtree(VAR, ignore_errors=True)  # what a run left that was killed
    try:
        django.setup()  # reads the environment
        from benchmarks.run import run

        sys.exit(run(sys.argv[1:]))
    finally:
        shutil.rmtree(VAR, ignore_errors=True)
