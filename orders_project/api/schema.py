"""What the OpenAPI document says about refusals: one schema, and an example for each code."""

from collections import defaultdict
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from orders_project.api.problem import (
    MEDIA_TYPE,
    NotAcceptable,
    Throttled,
    UnsupportedMediaType,
    problem,
)
from orders_project.errors import (
    BodyTooLarge,
    Busy,
    DomainError,
    InvalidParameter,
    InvalidRequest,
    MalformedBody,
)

ANY: tuple[type[DomainError], ...] = (Throttled, Busy, NotAcceptable, InvalidParameter)
WITH_BODY = (MalformedBody, BodyTooLarge, UnsupportedMediaType, InvalidRequest)

PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem details, with the facts of the refusal beside the standard members.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
    },
    "additionalProperties": True,
}


def refusals(*errors: type[DomainError], body: bool = False) -> dict[tuple[int, str], OpenApiResponse]:
    """Responses for `extend_schema`: these refusals and those that any call may meet."""
    by_status: defaultdict[int, list[type[DomainError]]] = defaultdict(list)
    for error in (*errors, *ANY, *(WITH_BODY if body else ())):
        by_status[error.status].append(error)
    return {
        (status, MEDIA_TYPE): OpenApiResponse(
            response=PROBLEM,
            description="; ".join(f"`{error.code}`: {error.title}" for error in found),
            examples=[_example(error) for error in found],
        )
        for status, found in by_status.items()
    }


def _example(error: type[DomainError]) -> OpenApiExample:
    value: dict[str, Any] = problem(error(error.title + ".", **error.example))
    return OpenApiExample(error.code, value=value, response_only=True, media_type=MEDIA_TYPE)


IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="1 to 255 characters of your own. The same request with the same key is done once.",
)
IF_MATCH = OpenApiParameter(
    "If-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The ETag that you read. If the version is another one by now, nothing is done (412).",
)
