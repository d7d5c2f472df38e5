"""`make interleavings`; with pairs as arguments only those; `--replay "pay|expire AABAB"` shows one schedule. Its
servers and data are its own."""

import argparse
import os
import shutil
import sys

import django

from orders_project.local.own_data import own_folder

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m proofs.interleavings")
    parser.add_argument("pairs", nargs="*", metavar="pair", help="such as “pay|expire”; all, if there is none")
    parser.add_argument("--replay", metavar="schedule", help="such as “pay|expire AABAB”")
    given = parser.parse_args()
    var = own_folder("interleavings")
    os.environ |= {"HOLDFAST_TEST_VAR": str(var), "DJANGO_SETTINGS_MODULE": "orders_project.settings_test"}
    try:
        django.setup()  # starts the servers
        from proofs.interleavings.run import replay, run

        sys.exit(replay(given.replay) if given.replay else run(given.pairs))
    finally:
        shutil.rmtree(var, ignore_errors=True)
