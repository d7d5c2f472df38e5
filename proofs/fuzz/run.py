"""A run: the API with a key that may write, one that may read and none; then the tests that fill in forms, write
files and open sockets, for as long as hypothesis likes."""

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks import stack
from catalog.models import ApiKey, Business, Product
from catalog.services import make_api_key
from orders.models import Order
from orders_project.local import run as local
from proofs.fuzz.api import tried

TESTS = (
    *("orders/tests/test_fuzzed_forms.py", "orders/tests/test_fuzzed_files.py", "orders/tests/test_plain.py"),
    *("orders_project/tests/test_garbage.py", "catalog/tests/test_live_garbage.py"),
)


def run(var: Path, *, minutes: float, seed: int) -> int:
    """Try all of it, the API for so many minutes, and say what was found. Returns the exit status."""
    found = _api(var / "schemathesis", seconds=round(minutes * 60), seed=seed)
    print("\nForms, files and sockets", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--quiet", "--no-header", "-p", "no:cacheprovider", *TESTS],
        env={
            **{name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
            "HOLDFAST_LONG": "1",
            "HOLDFAST_TEST_VAR": str(var / "test"),
        },
        check=False,
    )
    print("\nNothing was found." if not (found or done.returncode) else "\nSomething was found; it stands above.")
    return int(bool(found or done.returncode))


def _api(folder: Path, *, seconds: int, seed: int) -> bool:
    """Whether something was found."""
    with stack.servers_up():
        environment = local.environment_of(stack.HOST, "")
        demo = json.loads(local.manage(environment, "seed_demo", "--format", "json"))
        business = Business.objects.get(id=demo["business_id"])
        skus = list(Product.objects.of(business.id).order_by("sku").values_list("sku", flat=True)[:20])
        _, reader = make_api_key(business=business, name="Reader", scope=ApiKey.Scope.READ, throttled=False)
        shares = {"a key that may write": (demo["api_key"], 0.7), "a key that may read": (reader, 0.2)}
        seeded = Order.objects.of(business.id).count()
        found = False
        with stack.running(*stack.EVERYTHING) as address:
            for who, (key, share) in (shares | {"no key": ("", 0.1)}).items():
                result = tried(
                    address,
                    business_id=str(business.id),
                    skus=skus,
                    key=key,
                    folder=folder / who.replace(" ", "-"),
                    seconds=max(10, round(seconds * share)),
                    seed=seed,
                )
                print(f"{result.requests:,} requests of {result.calls} calls with {who}", flush=True)
                print(result.table, flush=True)
                placed = Order.objects.of(business.id).count() - seeded
                print(f"{placed:,} orders were placed", flush=True)
                if result.found:
                    found = True
                    print(result.said, flush=True)
        stack.verify()
    return found
