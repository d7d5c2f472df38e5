"""The log: what each line tells beside its message, and what never stands in it."""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType

import msgspec

_facts: ContextVar[Mapping[str, str]] = ContextVar("facts", default=MappingProxyType({}))


def about(**facts: str) -> None:
    """What begins now, in this thread or task, is about something else: each line of the log tells these facts
    from now on, and none of those before. A request, an order, a job."""
    _facts.set(facts)


def also_about(**facts: str) -> None:
    """Facts that became known meanwhile, such as the business: each line tells them too."""
    _facts.set({**_facts.get(), **facts})


@contextmanager
def telling(**facts: str) -> Iterator[None]:
    """Meanwhile each line tells these facts too, and afterwards those of before: one of many businesses."""
    before = _facts.set({**_facts.get(), **facts})
    try:
        yield
    finally:
        _facts.reset(before)


# A message of ours tells no secret and nobody's address. This is for the messages of others: PostgreSQL quotes
# the row that it refuses, and an exception whatever it was given.
NOT_TO_BE_TOLD = [
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), instead)
    for pattern, instead in (
        # A row that was refused. Who waits for whom in a deadlock, and in which statement, may be read.
        (r"\b(DETAIL|CONTEXT):  (?!Process |while |SQL ).*?(?=\n\n|\n[A-Z]+:  |\Z)", r"\1:  …"),
        (r"\bhf_[\w-]+", "hf_…"),
        (r"\bwhsec_[\w+/=-]+", "whsec_…"),
        (r"\b(Api-Key|Bearer|Basic)\s+[^\s'\",;]+", r"\1 …"),
        (r"\b(Idempotency[-_]Key|sessionid|csrftoken|password)(['\"]?\s*[:=]\s*|\s+(?='))[^\s,;)}]+", r"\1\2…"),
        (r"://[^\s/@]+@", "://…@"),
        (r"[\w.+-]+@[\w-]+(\.[\w-]+)+", "…@…"),
        (r"(?<![\w.-])(\+|0)[1-9][\d ()-]{6,14}\d(?![\w-])", "+…"),
    )
]


def without_secrets(text: str) -> str:
    """The text, with what must not be told left out: keys, passwords, e-mail addresses, phone numbers, rows."""
    for pattern, instead in NOT_TO_BE_TOLD:
        text = pattern.sub(instead, text)
    return text


class PlainLines(logging.Formatter):
    """For a person at a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        facts = " ".join(f"{name}={value}" for name, value in _facts.get().items())
        return f"{super().formatMessage(record)} [{facts}]" if facts else super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


class JsonLines(logging.Formatter):
    """For programs: one JSON object a line. It tells what stands here and no more: Django hands the whole
    request to the log."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
            **{name: without_secrets(fact) for name, fact in _facts.get().items()},
        }
        if record.exc_info:
            line["error"] = without_secrets(self.formatException(record.exc_info))
        return msgspec.json.encode(line).decode()
