"""`make chaos MINUTES=10 SEED=1`: its servers and data are its own, and go with it unless something was found."""

import argparse
import os
import random
import shutil
import sys

import django

from orders_project.local.own_data import own_folder

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make chaos", description="Faults under load, and what they cost.")
    parser.add_argument("--minutes", type=float, default=10, help="how long faults come (10)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="which, and in what order")
    parser.add_argument("--short", action="store_true", help="only the faults that a test has time for")
    given = parser.parse_args()
    var = own_folder("chaos")
    os.environ |= {
        "HOLDFAST_VAR": str(var),
        "DJANGO_SETTINGS_MODULE": "orders_project.settings",
        "WEBHOOKS_TO_PRIVATE_ADDRESSES": "1",  # who is told listens on this machine
    }
    django.setup()  # reads the environment
    from proofs.chaos.run import run

    well = run(minutes=given.minutes, seed=given.seed, short=given.short, folder=var)
    if well:
        shutil.rmtree(var, ignore_errors=True)
    sys.exit(not well)
