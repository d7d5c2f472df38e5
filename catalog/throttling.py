"""How often one key may call."""

import logging
import time

from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from catalog.authentication import Access

logger = logging.getLogger(__name__)

WINDOW = 60  # seconds


def calls_left(access: Access, *, calls: int) -> int:
    """How many of so many calls, made now, an access may make: at most API_CALLS_PER_MINUTE."""
    if access.throttle_as is None:
        return calls
    return left(access.throttle_as, calls=calls, most=settings.API_CALLS_PER_MINUTE)


def left(caller: str, *, calls: int, most: int) -> int:
    """How many of so many calls, made now, a caller may make: at most so many in each minute of the clock. One
    counter in the cache, counted atomically.

    (DRF's own keeps a list of all recent calls, and loses some when two calls write it at once.)
    With the cache away calls are let through: a throttle must not stop a sale.
    """
    counter = f"throttle:{caller}:{int(time.time()) // WINDOW}"
    try:
        cache.add(counter, 0, timeout=2 * WINDOW)
        counted = cache.incr(counter, calls)
    except (RedisError, ValueError):
        logger.warning("The cache is away; calls are not counted.")
        return calls
    return max(0, min(calls, most - (counted - calls)))


def seconds_to_wait() -> float:
    """Until the next minute of the clock begins."""
    return WINDOW - time.time() % WINDOW


class KeyThrottle(BaseThrottle):
    """DRF's hook."""

    def allow_request(self, request: Request, view: object) -> bool:
        return not isinstance(request.auth, Access) or calls_left(request.auth, calls=1) == 1

    def wait(self) -> float:
        return seconds_to_wait()
