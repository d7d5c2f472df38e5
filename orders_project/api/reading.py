"""From a request to values that a verb can be called with, or a refusal that names every field."""

from collections.abc import Iterator, Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from orders_project.api.problem import LengthRequired
from orders_project.errors import BodyTooLarge, InvalidParameter, InvalidRequest

LONGEST_NAME = 60  # characters of a field's name that an answer repeats
MOST_ERRORS = 50  # named in one answer; the first few are what helps

PRICE_NAMES = {"price", "unit_price", "line_total", "subtotal", "total", "amount_due"}


def read_body(request: Request, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
    """The body as the serializer understands it. Raises InvalidRequest with every field that is wrong,
    fields that the serializer doesn't know included: what is sent is either used or refused."""
    check_length(request)
    return read(request.data, serializer)


def check_length(request: Request) -> None:
    """Raises LengthRequired for a body in chunks: WSGI shows none without a length, so it would look empty."""
    if "Transfer-Encoding" in request.headers:
        raise LengthRequired("Send the body with its Content-Length, not in chunks.", header="Content-Length")


def raw_body(request: Request, *, largest: int) -> bytes:
    """The body byte for byte, as a signature is of it. Raises LengthRequired, BodyTooLarge."""
    check_length(request)
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit() and int(length[:20]) <= largest):
        raise BodyTooLarge(f"A body may have {largest:,} bytes.", limit_bytes=largest)
    body: bytes = request.body
    return body


def read(body: Any, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
    """What `read_body` does, with a value that is a body, or a row of one in bulk."""
    if not isinstance(body, dict):
        raise InvalidRequest.at("", "not_an_object", "The body must be a JSON object.")
    bound = serializer(data=body)
    errors = list(_unknown_fields(bound, body, ""))
    if not bound.is_valid():
        errors += _flat(bound.errors, "")
    if errors:
        raise InvalidRequest(_summary(errors), errors=errors[:MOST_ERRORS])
    return dict(bound.validated_data)


def read_idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key header. Raises InvalidParameter unless it is 1 to 255 visible ASCII characters."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not usable_key(key):
        raise InvalidParameter(
            "An Idempotency-Key has 1 to 255 visible ASCII characters.",
            parameter="Idempotency-Key",
            longest=255,
        )
    return key


def usable_key(key: str) -> bool:
    """Whether this can be an Idempotency-Key."""
    return 0 < len(key) <= 255 and key.isascii() and key.isprintable()


def read_if_match(request: Request) -> int | None:
    """The version in the If-Match header, or None if any will do. Raises InvalidParameter."""
    header = request.headers.get("If-Match", "*").strip()
    if header == "*":
        return None
    version = header.removeprefix("W/").strip('"')
    if not version.isascii() or not version.isdigit() or len(version) > 18:
        raise InvalidParameter(
            'If-Match must be the ETag that you read, such as "3".',
            parameter="If-Match",
            value=header[:40],
        )
    return int(version)


def etag(version: int) -> dict[str, str]:
    """The header that tells a client the version of what it reads."""
    return {"ETag": f'"{version}"'}


def _unknown_fields(serializer: serializers.Serializer[Any], body: Any, path: str) -> Iterator[dict[str, Any]]:
    if not isinstance(body, Mapping):
        return  # the serializer says what is wrong with it
    fields = serializer.fields
    for name, value in body.items():
        shown = name[:LONGEST_NAME]
        at = f"{path}.{shown}" if path else shown
        field = fields.get(name)
        if field is None and name in PRICE_NAMES:
            yield _error(at, "price_not_accepted", "Prices come from the catalog; leave this field out.")
        elif field is None:
            yield _error(at, "unknown_field", f"There is no such field. Known: {', '.join(fields)}.")
        elif isinstance(field, serializers.ListSerializer):
            if isinstance(value, list):
                for index, item in enumerate(value):
                    yield from _unknown_fields(field.child, item, f"{at}[{index}]")  # type: ignore[arg-type]
        elif isinstance(field, serializers.Serializer):
            yield from _unknown_fields(field, value, at)


def _flat(errors: Any, path: str) -> Iterator[dict[str, Any]]:
    if isinstance(errors, Mapping):
        for name, below in errors.items():
            if name == "non_field_errors":
                yield from _flat(below, path)
            elif isinstance(name, int):
                yield from _flat(below, f"{path}[{name}]")
            else:
                yield from _flat(below, f"{path}.{name}" if path else str(name))
    elif isinstance(errors, list):
        for index, below in enumerate(errors):
            yield from _flat(below, f"{path}[{index}]" if isinstance(below, Mapping) else path)
    else:
        yield _error(path, errors.code, str(errors))


def _error(field: str, code: str, message: str) -> dict[str, Any]:
    return {"field": field, "code": code, "message": message}


def _summary(errors: list[dict[str, Any]]) -> str:
    first = f"{errors[0]['field']}: {errors[0]['message']}" if errors[0]["field"] else errors[0]["message"]
    return first if len(errors) == 1 else f"{first} ({len(errors) - 1} more)"
