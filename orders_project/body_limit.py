"""How much a browser may send: more than any form or file of ours has is refused before it is read."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string

LARGEST_BODY = 6_000_000  # bytes: the largest file that is brought in, and the form around it


def body_limit(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """The middleware that refuses it. The API has limits of its own; of a body that doesn't tell its length
    Django reads nothing."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        length = request.META.get("CONTENT_LENGTH") or "0"
        fits = length.isascii() and length.isdigit() and int(length[:20]) <= LARGEST_BODY
        if fits or request.path_info.startswith("/api/"):
            return get_response(request)
        return HttpResponse(render_to_string("413.html"), status=413)

    return answer
