"""`make bench`; with the names of rows as arguments, only those. Its servers and data are its own."""

import os
import shutil
import sys

import django

from orders_project.local.own_data import own_folder

if __name__ == "__main__":
    var = own_folder("bench")
    os.environ |= {"HOLDFAST_VAR": str(var), "DJANGO_SETTINGS_MODULE": "orders_project.settings"}
    try:
        django.setup()  # reads the environment
        from benchmarks.run import run

        sys.exit(run(sys.argv[1:]))
    finally:
        shutil.rmtree(var, ignore_errors=True)
