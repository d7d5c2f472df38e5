"""What the OpenAPI document says about refusals: one schema, and an example for each code."""

from collections import defaultdict
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from orders_project.api.problem import (
    MEDIA_TYPE,
    BadRequest,
    LengthRequired,
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
    OutcomeUnknown,
)

ANY: tuple[type[DomainError], ...] = (Throttled, Busy, OutcomeUnknown, NotAcceptable, InvalidParameter, BadRequest)
WITH_BODY = (MalformedBody, BodyTooLarge, UnsupportedMediaType, InvalidRequest, LengthRequired)


class ProblemSerializer(serializers.Serializer[Any]):
    """RFC 9457 problem details; the facts of the refusal stand beside these members."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="Stable: what a program may act on.")
    detail = serializers.CharField(help_text="For a person.")


def refusals(*errors: type[DomainError], body: bool = False) -> dict[tuple[int, str], OpenApiResponse]:
    """Responses for `extend_schema`: these refusals and those that any call may meet."""
    by_status: defaultdict[int, list[type[DomainError]]] = defaultdict(list)
    for error in (*errors, *ANY, *(WITH_BODY if body else ())):
        by_status[error.status].append(error)
    return {
        (status, MEDIA_TYPE): OpenApiResponse(
            response=ProblemSerializer,
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
ETAG = OpenApiParameter(
    "ETag",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    response=[200, 201],
    description='The version of what is answered, such as "3".',
)
LOCATION = OpenApiParameter(
    "Location", OpenApiTypes.STR, OpenApiParameter.HEADER, response=[201], description="Where it is from now on."
)
REPLAYED = OpenApiParameter(
    "Idempotent-Replayed",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    response=[200],
    description="`true`: an earlier request did this already; nothing was done again.",
)


def close_bodies(result: dict[str, Any], **context: Any) -> dict[str, Any]:
    """Say of each object in what is sent that it has no field but its own: any other is refused (`read`)."""
    calls = [call for methods in result["paths"].values() for call in methods.values()]
    ahead: list[Any] = [call["requestBody"] for call in calls if "requestBody" in call]
    seen = set()
    while ahead:
        part = ahead.pop()
        if isinstance(part, list):
            ahead += part
        elif isinstance(part, dict):
            ahead += part.values()
            if part.get("type") == "object":
                part.setdefault("additionalProperties", False)
            name = str(part.get("$ref", "")).rpartition("/")[2]
            if name and name not in seen:
                seen.add(name)
                ahead.append(result["components"]["schemas"][name])
    return result
