"""`make guards`: takes each guard of the table out, one at a time, and shows that a test goes red without it.

    python -m proofs.guards            all of them
    python -m proofs.guards lock key   those with one of these words in their name

Works in copies of the project, with a PostgreSQL and a Valkey of its own. Exits 1 if a guard isn't missed.
"""

import shutil
import sys

from orders_project.local.own_data import own_folder
from proofs.guards.run import run

if __name__ == "__main__":
    var = own_folder("guards")
    try:
        sys.exit(run(var, sys.argv[1:]))
    finally:
        shutil.rmtree(var, ignore_errors=True)
