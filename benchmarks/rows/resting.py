"""What the stack needs when nobody asks it anything: memory, and time to start."""

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from statistics import median

from benchmarks import data
from benchmarks.load import ROUNDS
from benchmarks.stack import HOST, Failed, make_run, memory_of, servers_up
from benchmarks.table import Figure, row
from orders_project.local import run

ORDERS = 10_000
IDLE = 10  # seconds in which the start settles and the sweep ticks
PATIENCE = 60  # seconds


@row(
    "9",
    f"The whole stack of `make run`, with {ORDERS:,} orders: start, and memory when idle",
    bound="""Start: migrations are looked at, and Django is imported in every process. Memory: Python, Django and
        the REST framework in each of them.""",
    needed="Fewer processes, and imports that wait until they are needed.",
)
def resting() -> Iterator[Figure]:
    with servers_up():
        shop = data.shop()
        data.add_history(shop, ORDERS)
        run.manage(run.environment_of(HOST, ""), "seed_demo")  # as the first `make run` would have done
    started, memory = [], []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        with make_run() as (process, web):
            _first_answer(f"{web}/api/v1/orders", shop.key)
            started.append(time.perf_counter() - begun)
            time.sleep(IDLE)
            memory.append(memory_of(process))
    yield Figure("memory of all processes", median(memory), "MB", target=700, aim=400, less=True)
    yield Figure("start to the first answer", median(started), "s", target=10, aim=5, less=True)


def _first_answer(url: str, key: str) -> None:
    """Ask until the list of orders is answered."""
    request = urllib.request.Request(url, headers={"Authorization": f"Api-Key {key}"})
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(request, timeout=PATIENCE).close()
            return
        except urllib.error.URLError:
            time.sleep(0.02)
    raise Failed("`make run` gave no answer")
