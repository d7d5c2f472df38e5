"""Both /api/v1/orders and /api/v1/orders/ answer, without a redirect that would lose a POST's body."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase


class StripTrailingSlash:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith("/api/"):
            request.path_info = request.path_info.rstrip("/")
        return self.get_response(request)
