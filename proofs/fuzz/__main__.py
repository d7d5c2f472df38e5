"""`make fuzz MINUTES=10 SEED=1`: its servers and data are its own."""

import argparse
import os
import random
import shutil
import sys

import django

from orders_project.local.own_data import own_folder

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make fuzz", description="Nonsense of every kind, and what comes of it.")
    parser.add_argument("--minutes", type=float, default=10, help="how long the API is tried (10)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="with which requests")
    given = parser.parse_args()
    var = own_folder("fuzz")
    os.environ |= {"HOLDFAST_VAR": str(var), "DJANGO_SETTINGS_MODULE": "orders_project.settings"}
    print(f"Seed {given.seed}", flush=True)
    try:
        django.setup()  # reads the environment
        from proofs.fuzz.run import run

        sys.exit(run(var, minutes=given.minutes, seed=given.seed))
    finally:
        shutil.rmtree(var, ignore_errors=True)
