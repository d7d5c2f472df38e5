"""What an orchestrator asks: is the process alive, and can it serve."""

import logging
from collections.abc import Callable
from datetime import timedelta

import redis
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from catalog.models import JobRun
from orders_project.clock import database_now

logger = logging.getLogger(__name__)


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """200 while this process answers; it asks nobody else, so no outage makes it be restarted."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when the database, Redis and the schema are as this release needs them and jobs are run, else 503.

    The body names each check's state and no more: the reason is in the log, for us only.
    """
    checks = {"database": _database, "redis": _redis, "migrations": _migrations, "beat": _beat}
    states = {name: _state(name, check) for name, check in checks.items()}
    return JsonResponse(states, status=200 if set(states.values()) == {"ok"} else 503)


def _state(name: str, check: Callable[[], None]) -> str:
    try:
        check()
    except Exception:
        logger.exception("readiness: %s", name)
        return "failed"
    return "ok"


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _redis() -> None:
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1) as client:
        client.ping()


# Several jobs are asked for every few seconds. Long work in one of them does not keep the others from starting.
BEAT_SEEN_WITHIN = timedelta(seconds=60)


def _beat() -> None:
    if not JobRun.objects.filter(started_at__gt=database_now() - BEAT_SEEN_WITHIN).exists():
        raise RuntimeError("no job was started lately: is there no beat, or no worker?")


_migrated = False  # migrations only ever go forward: once done, the files are not read again


def _migrations() -> None:
    global _migrated
    if not _migrated:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if plan:
            raise RuntimeError(f"{len(plan)} migrations to apply")
        _migrated = True
