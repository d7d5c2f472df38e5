"""Refusals. Every one has a stable code for machines, a sentence for people, and the facts behind it."""

from typing import Any, ClassVar


class DomainError(Exception):
    """Something that was asked for can't be done, and nothing was changed.

    `detail` is one sentence for a person. `facts` are JSON values; they stand beside the code in the
    answer, so that a client can act on them. `example` shows the facts in the API's documentation.
    """

    code: ClassVar[str]
    status: ClassVar[int] = 409
    title: ClassVar[str]
    example: ClassVar[dict[str, Any]] = {}

    def __init__(self, detail: str, **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.facts = facts


class InvalidRequest(DomainError):
    """The input can't be understood as what it should be; `errors` names each field and what is wrong."""

    code = "invalid_request"
    status = 422
    title = "The request is not valid"
    example = {
        "errors": [
            {
                "field": "items[0].quantity",
                "code": "not_an_integer",
                "message": "A whole number is needed.",
            }
        ]
    }

    @classmethod
    def at(cls, field: str, code: str, message: str, **facts: Any) -> "InvalidRequest":
        """The refusal of one field."""
        return cls(message, errors=[{"field": field, "code": code, "message": message, **facts}])


class MalformedBody(DomainError):
    code = "malformed_body"
    status = 400
    title = "The body is not readable JSON"
    example = {"reason": "Expecting ',' delimiter", "line": 1, "column": 14}


class BodyTooLarge(DomainError):
    code = "body_too_large"
    status = 413
    title = "The body is too large"
    example = {"limit_bytes": 262144}


class InvalidParameter(DomainError):
    code = "invalid_parameter"
    status = 400
    title = "A query parameter is not valid"
    example = {"parameter": "statuss", "allowed": ["channel", "status"]}


class PreconditionFailed(DomainError):
    code = "version_changed"
    status = 412
    title = "It was changed meanwhile"
    example = {"version": 4, "expected": 3}


class Busy(DomainError):
    """The database gave the transaction up several times; nothing was changed and it may be tried again."""

    code = "busy"
    status = 503
    title = "Too much is happening at once"
    example = {"retry_after": 1}


class OutcomeUnknown(DomainError):
    """The database went away before it said whether the transaction is kept."""

    code = "outcome_unknown"
    status = 503
    title = "It is not known whether this was done"
    example = {"retry_after": 1}
