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


class KeyThrottle(BaseThrottle):
    """At most API_CALLS_PER_MINUTE in each minute of the clock; one counter in the cache, counted atomically.

    (DRF's own keeps a list of all recent calls, and loses some when two calls write it at once.)
    With the cache away calls are let through: a throttle must not stop a sale.
    """

    def allow_request(self, request: Request, view: object) -> bool:
        access = request.auth
        if not isinstance(access, Access) or access.throttle_as is None:
            return True
        minute = int(time.time()) // WINDOW
        counter = f"throttle:{access.throttle_as}:{minute}"
        try:
            cache.add(counter, 0, timeout=2 * WINDOW)
            return bool(cache.incr(counter) <= settings.API_CALLS_PER_MINUTE)
        except (RedisError, ValueError):
            logger.warning("The cache is away; calls are not counted.")
            return True

    def wait(self) -> float:
        return WINDOW - time.time() % WINDOW
