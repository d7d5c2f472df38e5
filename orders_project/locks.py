"""Locks in Redis, where something should be done once. They spare work; PostgreSQL keeps things right."""

import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import redis
from django.conf import settings

logger = logging.getLogger(__name__)


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.CACHE_URL, socket_timeout=1, socket_connect_timeout=1)


# Every lock that is free, in one round trip; and back again those that are still ours.
TAKE = """
    local got = {}
    for i, name in ipairs(KEYS) do
        got[i] = redis.call('SET', name, ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
    end
    return got
"""
GIVE_BACK = """
    for _, name in ipairs(KEYS) do
        if redis.call('GET', name) == ARGV[1] then redis.call('DEL', name) end
    end
"""

AWAY_FOR = 5  # seconds in which a Redis that failed is not asked again: waiting for it would stop every sale

_back_at = 0.0


@contextmanager
def locks(names: Sequence[str], *, seconds: float) -> Iterator[list[bool]]:
    """Hold those of the locks that are free, for `seconds` at most, and tell of each whether we got it.

    With Redis away everyone gets all of them: what a lock guards must be safe without.
    """
    token = secrets.token_hex(8)
    full = [f"lock:{name}" for name in names]
    got = ask(TAKE, full, token, int(seconds * 1000))
    if got is None:
        yield [True] * len(names)
        return
    try:
        yield [bool(one) for one in got]
    finally:
        ask(GIVE_BACK, [name for name, ours in zip(full, got, strict=True) if ours], token)


@contextmanager
def lock(name: str, *, seconds: float) -> Iterator[bool]:
    """Hold one lock, the client's own, for `seconds` at most, and tell whether we got it.

    With Redis away everyone gets it: what a lock guards must be safe without.
    """
    own = _client().lock(f"lock:{name}", timeout=seconds, blocking=False, thread_local=False)
    try:
        got = own.acquire()
    except redis.RedisError as error:
        logger.warning("Redis is away, going on without the lock of %s: %s", name, error)
        yield True
        return
    try:
        yield got
    finally:
        if got:
            try:
                own.release()
            except redis.RedisError as error:
                logger.warning("The lock of %s was lost meanwhile: %s", name, error)


def ask(script: str, names: Sequence[str], *arguments: str | int) -> Any:
    """The script's answer; None with Redis away, or when there is nothing to ask."""
    global _back_at
    if not names or time.monotonic() < _back_at:
        return None
    try:
        return _client().register_script(script)(keys=names, args=arguments)
    except redis.RedisError as error:
        _back_at = time.monotonic() + AWAY_FOR
        logger.warning("Redis is away, going on without it: %s", error)
        return None
