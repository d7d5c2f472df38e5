"""Refusals as clients see them: RFC 9457 `application/problem+json`, one translation for all of them."""

import logging
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponseBase, JsonResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.permissions import SAFE_METHODS
from rest_framework.response import Response
from rest_framework.views import set_rollback

from orders_project.errors import Busy, DomainError, InvalidParameter, MalformedBody, OutcomeUnknown
from orders_project.transactions import gave_up, is_undone, sqlstate

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE = "/api/docs#{code}"


def problem(error: DomainError) -> dict[str, Any]:
    """The problem object of a refusal: type, title, status, code, detail, and its facts beside them."""
    return {
        "type": TYPE.format(code=error.code),
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        **error.facts,
    }


class MethodNotAllowed(DomainError):
    code = "method_not_allowed"
    status = 405
    title = "This can't be done here"
    example = {"method": "DELETE", "allowed": ["GET", "POST"]}


class UnsupportedMediaType(DomainError):
    code = "unsupported_media_type"
    status = 415
    title = "The body must be JSON"
    example = {"needed": "application/json"}


class LengthRequired(DomainError):
    code = "length_required"
    status = 411
    title = "The body must come with its length"
    example = {"header": "Content-Length"}


class NotAcceptable(DomainError):
    code = "not_acceptable"
    status = 406
    title = "Only JSON can be answered"
    example = {"available": ["application/json"]}


class Throttled(DomainError):
    code = "throttled"
    status = 429
    title = "Too many calls"
    example = {"retry_after": 12}


class NotFound(DomainError):
    code = "not_found"
    status = 404
    title = "There is nothing here"


class BadRequest(DomainError):
    code = "bad_request"
    status = 400
    title = "The request can't be read"


class CsrfFailed(DomainError):
    code = "csrf_failed"
    status = 403
    title = "The request did not come from our own page"


class ServerError(DomainError):
    code = "server_error"
    status = 500
    title = "Something went wrong on our side"


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's hook: the answer to whatever a view raised; None leaves a defect to Django's own handling."""
    error = _as_refusal(exc, context)
    if error is None:
        return None
    set_rollback()
    return Response(problem(error), status=error.status, content_type=MEDIA_TYPE, headers=headers_of(error))


def headers_of(error: DomainError) -> dict[str, str]:
    """What the answer to a refusal says in headers, beside its problem object."""
    headers = {}
    if "retry_after" in error.facts:
        headers["Retry-After"] = str(error.facts["retry_after"])
    if error.status == 401:
        headers["WWW-Authenticate"] = error.facts["scheme"]
    return headers


def refusal_of(exc: Exception) -> DomainError:
    """The refusal that an exception comes to; of a defect, which is written to the log, a server error."""
    error = _as_refusal(exc, {})
    if error is None:
        logger.error("A request failed", exc_info=exc)
        return ServerError("Something went wrong on our side; it was written down.")
    return error


def _as_refusal(exc: Exception, context: dict[str, Any]) -> DomainError | None:
    match exc:
        case DomainError():
            return exc
        case DatabaseError() if gave_up(exc):
            logger.error("The database gave up (%s): %s", sqlstate(exc), exc)
            reading = "request" in context and context["request"].method in SAFE_METHODS
            if reading or is_undone(exc):
                return Busy("The database did not answer in time; nothing was done. Try again.", retry_after=1)
            return OutcomeUnknown(
                "The database went away meanwhile, so we can't tell whether this was done. Ask again with the "
                "same Idempotency-Key: if it was done you get its answer, and if not it is done then.",
                retry_after=1,
            )
        case exceptions.Throttled():
            wait = int(getattr(exc, "wait", None) or 0) + 1
            return Throttled(f"Too many calls; wait {wait} s.", retry_after=wait)
        case exceptions.MethodNotAllowed():
            method = context["request"].method
            allowed = [name for name in context["view"].allowed_methods if name not in ("HEAD", "OPTIONS")]
            return MethodNotAllowed(f"Use {' or '.join(allowed)} here.", method=method, allowed=allowed)
        case exceptions.UnsupportedMediaType():
            return UnsupportedMediaType(
                "Send the body as JSON, with “Content-Type: application/json”.", needed="application/json"
            )
        case exceptions.NotAcceptable():
            return NotAcceptable(
                "The answer is JSON; send “Accept: application/json”, or none.", available=["application/json"]
            )
        case UnreadablePostError():
            return MalformedBody("The body broke off before its end, so nothing was done.", reason="broken_off")
        case exceptions.PermissionDenied():
            return CsrfFailed(str(exc.detail))
        case exceptions.ParseError():
            return InvalidParameter(str(exc.detail))
        case Http404():  # DRF's, for ?format=
            return NotFound("There is nothing at this address.")
        case SuspiciousOperation() | MultiPartParserError():  # Django's: a thousand parameters, a broken form
            return BadRequest("The request has far too many parameters, or its form is broken.")
    return None


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """The answer to a request that Django refuses to read, such as one for a host that isn't ours."""
    if not request.path_info.startswith("/api/"):
        return defaults.bad_request(request, exception)
    return _plain(BadRequest("The request can't be read: its host or its form is not one that we answer to."))


@csrf_exempt  # else a POST to a wrong address would be told of a cookie
def not_found(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """The answer for an address under /api/ that names nothing."""
    return _plain(NotFound("There is nothing at this address."))


def server_error(request: HttpRequest) -> HttpResponseBase:
    """The answer when a view failed in a way that nobody foresaw."""
    if not request.path_info.startswith("/api/"):
        return defaults.server_error(request)
    return _plain(ServerError("Something went wrong on our side; it was written down."))


def _plain(error: DomainError) -> JsonResponse:
    return JsonResponse(problem(error), status=error.status, content_type=MEDIA_TYPE)
