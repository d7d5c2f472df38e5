"""How long does a year of orders take to import, and what bounds it?

    .venv/bin/python benchmarks/import_orders.py ORDERS.csv

Imports the file into an empty database of its own (embedded, durable, as `make run` has it), checks every
invariant, and prints the seconds of the wall clock and of this process's CPU beside the machine.
"""

import os
import platform
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main(file: str) -> None:
    os.environ |= {"DJANGO_SETTINGS_MODULE": "orders_project.settings", "DATABASE_STATEMENT_TIMEOUT": "0"}
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOLDFAST_VAR"] = folder
        from orders_project.local import servers

        with servers.attach():
            measure(Path(file))


def measure(file: Path) -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from catalog.models import Business

    call_command("migrate", verbosity=0)
    Business.objects.create(name="Benchmark", slug="benchmark", currency="GBP", country="GB")
    wall, cpu = time.perf_counter(), time.process_time()
    call_command("import_orders", str(file), business="benchmark")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    call_command("verify_stock")
    connection.close()
    print(f"{wall:.1f} s, {cpu:.1f} s of them Python's CPU")
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
