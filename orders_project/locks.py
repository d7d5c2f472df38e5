"""Locks in Redis, where something should be done once. They spare work; PostgreSQL keeps things right."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import redis
from django.conf import settings

logger = logging.getLogger(__name__)


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.CACHE_URL, socket_timeout=1, socket_connect_timeout=1)


@contextmanager
def lock(name: str, *, seconds: float, wait: float = 0) -> Iterator[bool]:
    """Hold the lock `name`, for `seconds` at most, and tell whether we got it within `wait` seconds.

    With Redis away everyone gets it: what the lock guards must be safe without.
    """
    held = _client().lock(f"lock:{name}", timeout=seconds, blocking_timeout=wait, blocking=wait > 0, sleep=0.02)
    try:
        got = held.acquire()
    except redis.RedisError as error:
        logger.warning("Redis is away, going on without the lock %s: %s", name, error)
        yield True
        return
    try:
        yield got
    finally:
        if got:
            try:
                held.release()
            except redis.RedisError as error:  # it ran out, or Redis went away: it ends by itself
                logger.warning("The lock %s could not be given back: %s", name, error)
