"""What browsers and caches are told with every answer, beside what Django tells them."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

# What no page of ours needs, no script that got in may ask for either.
POLICY = ", ".join(f"{feature}=()" for feature in ("camera", "geolocation", "microphone", "payment", "usb"))


def told_to_browsers(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """The middleware that says so. What doesn't say how long it may be kept is kept by nobody: nearly all that
    Holdfast answers is somebody's."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response["Permissions-Policy"] = POLICY
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return answer
