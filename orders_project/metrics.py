"""GET /metrics, for Prometheus. The web processes count together, in files of METRICS_DIR; how things stand is
asked of the database."""

import os
import secrets
import threading
import time
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import REGISTRY, CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from psycopg_pool import ConnectionPool

from catalog.live.sockets import listening
from orders.metrics import State

POOL = Gauge(
    "holdfast_pool_connections",
    "Database connections in the pools of the web processes, used or idle.",
    ["state"],
    multiprocess_mode="livesum",
)
WAITING = Gauge(
    "holdfast_pool_waiting",
    "Threads of the web processes that wait for a database connection.",
    multiprocess_mode="livesum",
)
SOCKETS = Gauge("holdfast_websocket_clients", "Clients of the live feed.", multiprocess_mode="livesum")


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """All that is measured, for who has the METRICS_TOKEN, and for a superuser who is signed in; else 401."""
    if not _may_look(request):
        return HttpResponse("Send the METRICS_TOKEN.\n", status=401, headers={"WWW-Authenticate": "Bearer"})
    registry = CollectorRegistry()
    registry.register(State())
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        _forget_gauges_of_the_dead(Path(settings.METRICS_DIR))
        MultiProcessCollector(registry, settings.METRICS_DIR)
    else:  # a process by itself, such as a test's
        registry.register(REGISTRY)
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _may_look(request: HttpRequest) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and settings.METRICS_TOKEN:
        return secrets.compare_digest(token.strip().encode(), settings.METRICS_TOKEN.encode())
    return bool(request.user.is_superuser)


def _forget_gauges_of_the_dead(folder: Path) -> None:
    """A counter goes on when its process ends; what a process has at this moment ends with it."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, str(folder))


def watch_process() -> None:
    """Look every second at what this process has at the moment, in a thread that ends with it."""
    threading.Thread(target=_watch, name="metrics", daemon=True).start()


def _watch() -> None:
    pool: ConnectionPool | None = connection.pool  # type: ignore[attr-defined]  # PostgreSQL's has one
    while True:
        if pool is not None:
            stats = pool.get_stats()
            POOL.labels("idle").set(stats["pool_available"])
            POOL.labels("used").set(stats["pool_size"] - stats["pool_available"])
            WAITING.set(stats["requests_waiting"])
        SOCKETS.set(listening())
        time.sleep(1)
