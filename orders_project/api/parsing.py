"""JSON as the API takes it: bounded, unambiguous, and in text that a person can read."""

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import IO, Any, NoReturn

from rest_framework.parsers import BaseParser

from orders_project.errors import BodyTooLarge, InvalidRequest, MalformedBody

LARGEST_BODY = 256 * 1024  # bytes
LARGEST_BULK_BODY = 4 * 1024 * 1024
DEEPEST = 10  # levels of nesting
LONGEST_PATH = 200  # characters of a field's path that an answer repeats

# Control characters, but for the line breaks and tabs that belong in notes and addresses; half a surrogate
# pair; and what is not seen but changes what is read: bidirectional embeddings, overrides and isolates,
# zero-width spaces. The joiners U+200C and U+200D stay, for Persian, Indian scripts and emoji need them.
UNREADABLE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff"
    r"\u200b\u2028\u2029\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)


class StrictJSONParser(BaseParser):
    """Reads a JSON body. Numbers with a decimal point become Decimal, so that money stays exact.

    Raises BodyTooLarge, MalformedBody (also for a name that stands twice in one object, NaN, and too
    deep nesting) and InvalidRequest for text with unreadable characters.
    """

    media_type = "application/json"
    largest = LARGEST_BODY

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = stream.read(self.largest + 1)
        if len(body) > self.largest:
            raise BodyTooLarge(f"A body may have {self.largest:,} bytes.", limit_bytes=self.largest)
        value = read_json(body)
        for path, text in _texts(value):
            check_readable(path[:LONGEST_PATH], text)
        return value


class BulkJSONParser(StrictJSONParser):
    largest = LARGEST_BULK_BODY


def read_json(body: bytes) -> Any:
    """The value of a JSON text. Raises MalformedBody."""
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_float=Decimal,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object_of_unique_names,
        )
    except json.JSONDecodeError as error:
        raise MalformedBody(
            f"The body is not valid JSON: {error.msg}, at line {error.lineno}, column {error.colno}.",
            reason=error.msg,
            line=error.lineno,
            column=error.colno,
        ) from error
    except RecursionError as error:
        raise MalformedBody("The body is nested too deeply.", reason="too_deep", deepest=DEEPEST) from error
    except (ValueError, InvalidOperation) as error:  # not UTF-8, or a number beyond all bounds
        raise MalformedBody("The body is not valid JSON in UTF-8.", reason="unreadable") from error


def unreadable_character(text: str) -> str | None:
    """The first character of a text that is a control, unseen or half a surrogate pair, as "U+202E"."""
    found = UNREADABLE.search(text)
    return found and f"U+{ord(found[0]):04X}"


def check_readable(field: str, text: str) -> None:
    """Raises InvalidRequest for a text in a field that has an unreadable character."""
    if unreadable := unreadable_character(text):
        raise InvalidRequest.at(
            field,
            "unreadable_text",
            f"This contains the character {unreadable}, which nobody can see. Take it out.",
            character=unreadable,
        )


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Every text in a JSON value, with the path to it."""
    ahead: list[tuple[str, Any, int]] = [("", value, 0)]
    while ahead:
        path, value, depth = ahead.pop()
        if depth > DEEPEST:
            raise MalformedBody("The body is nested too deeply.", reason="too_deep", deepest=DEEPEST)
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, list):
            ahead += [(f"{path}[{index}]", item, depth + 1) for index, item in enumerate(value)]
        elif isinstance(value, dict):
            for name, item in value.items():
                yield path, name
                ahead.append((f"{path}.{name}" if path else name, item, depth + 1))


def _object_of_unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        shown = twice[:60].encode("ascii", "replace").decode()
        raise MalformedBody(
            f"The name {shown} stands twice in one object; it is not clear which one counts.",
            reason="repeated_name",
            name=shown,
        )
    return found


def _refuse_constant(constant: str) -> NoReturn:
    raise MalformedBody(f"{constant} is not JSON.", reason="not_a_number")
