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
from orders.express import LANES  # isort: skip
from orders_project.express import Express  # isort: skip

THREADS = int(os.environ.get("WEB_THREADS", "4"))

application = Express(
    [*LANES, AvailabilityLane()],
    django=WSGIMiddleware(django, workers=THREADS),  # type: ignore[arg-type]
    executor=ThreadPoolExecutor(THREADS, thread_name_prefix="commit"),
)

# What is loaded now stays: the garbage collector need not look through it again and again while buyers wait.
gc.collect()
gc.freeze()
