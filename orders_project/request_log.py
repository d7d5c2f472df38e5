"""What is noted of each request, in a lane or in Django's views: its id, how it ended, how long it took."""

import logging
import re
import secrets
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from prometheus_client import Histogram

from orders_project.logs import about, also_about

logger = logging.getLogger(__name__)

SECONDS = Histogram(
    "holdfast_http_request_duration_seconds",
    "How long requests took to be answered, waiting in a lane included.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

SANE = re.compile(r"[\w.:-]{1,64}", re.ASCII)


def request_id(wanted: str | None) -> str:
    """The id under which a request stands in the log: the one that its client or a proxy gave it, if that is
    one, else a new one."""
    return wanted if wanted and SANE.fullmatch(wanted) else secrets.token_hex(8)


def note(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request that was answered, and write a line of one that was slow. A line for each would cost more
    than the request."""
    _series(method if method in METHODS else "other", route, status).observe(seconds)
    if seconds > settings.SLOW_REQUEST_SECONDS:
        logger.warning("%s %s took %.1f s and answered %d.", method, route, seconds, status)


@cache
def _series(method: str, route: str, status: int) -> Histogram:
    return SECONDS.labels(method, route, f"{status // 100}xx")


class RequestLog:
    """The middleware that notes what Django answers; the outermost, so that it sees all of it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        begun = time.perf_counter()
        name = request_id(request.headers.get("X-Request-ID"))
        about(request=name)
        response = self.get_response(request)
        route = request.resolver_match.route if request.resolver_match else ""
        note(str(request.method), route, response.status_code, time.perf_counter() - begun)
        response["X-Request-ID"] = name
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, ids: dict[str, Any]) -> None:
        also_about(**subjects(ids))


def subjects(ids: dict[str, Any]) -> dict[str, str]:
    """What an address is about, from the ids in it: {"order": ...}."""
    return {name.removesuffix("_id"): str(value) for name, value in ids.items() if name.endswith("_id")}
