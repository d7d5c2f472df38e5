"""What isn't there, or is not for somebody: said in the back office to who works there, plainly to others."""

from django.contrib.admin import site
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.views import defaults

from catalog.staff import access_in
from orders.staff.page import show


def missing(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """The answer for an address that names nothing, or nothing of theirs."""
    said = "There is no such page, or it isn’t yours to see."
    if exception.args and isinstance(exception.args[0], str):  # else Django's list of what addresses there are
        said = exception.args[0] or said
    shown = _shown(request, "Not here", "Where is it?", said, status=404)
    return shown or defaults.page_not_found(request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """The answer to who has no right to a page, or to what they did there."""
    said = str(exception) or "Your role doesn’t let you do this. Ask an owner."
    shown = _shown(request, "Not for you", "May I do this?", said, status=403)
    return shown or defaults.permission_denied(request, exception)


def _shown(request: HttpRequest, title: str, question: str, said: str, *, status: int) -> HttpResponse | None:
    """The refusal in the shell; None for who isn't signed in, or can't look at the business."""
    if not hasattr(request, "user") or not site.has_permission(request):
        return None
    try:
        access = access_in(request)
    except (Http404, PermissionDenied):
        return None
    response = show(request, access, "staff/refused.html", title=title, question=question, said=said)
    response.status_code = status
    return response
