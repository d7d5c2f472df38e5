"""The ASGI application, for `granian --interface asgi orders_project.asgi:application`.

The express lanes, and behind them Django as WSGI, in threads of its own: it serves ten times as much that way
as by its own ASGI handler (ADR 14).
"""

import gc
import os
from concurrent.futures import ThreadPoolExecutor

from a2wsgi import WSGIMiddleware

from orders_project.wsgi import application as django

# After Django is set up, for they use its models.
from catalog.express import AvailabilityLane  # isort: skip
from catalog.live.sockets import sockets  # isort: skip
from catalog.live.ticker import Ticker  # isort: skip
from orders.express import LANES  # isort: skip
from orders.live import order_events  # isort: skip
from orders_project.express import Express  # isort: skip
from orders_project.metrics import watch_process  # isort: skip

THREADS = int(os.environ.get("WEB_THREADS", "4"))

application = Express(
    [*LANES, AvailabilityLane()],
    django=WSGIMiddleware(django, workers=THREADS),  # type: ignore[arg-type]
    executor=ThreadPoolExecutor(THREADS, thread_name_prefix="commit"),
    sockets=sockets,
    background=Ticker(order_events).run,
)

watch_process()

# What is loaded now stays: the garbage collector need not look through it again and again while buyers wait.
gc.collect()
gc.freeze()
