"""How figures, times and names are written, wherever people read them."""

from datetime import datetime
from decimal import Decimal

from django.utils import timezone
from django.utils.html import format_html

from orders_project import money

DASH = "–"  # for what is unknown or isn't there


def _minus(figure: str) -> str:
    """The figure with a minus sign, not a hyphen."""
    return figure.replace("-", "−")


def grouped(number: int | None) -> str:
    """12,345, −3"""
    return DASH if number is None else _minus(f"{number:,}")


def signed(number: int) -> str:
    """+12, −3, and a dash for what didn't move."""
    return _minus(f"{number:+,}") if number else DASH


def of(number: int, noun: str) -> str:
    """1 unit, 12 units"""
    return f"{grouped(number)} {noun}{'' if number == 1 else 's'}"


def price(amount: Decimal | str | None, currency: str) -> str:
    """£1,234.50, −£3.00"""
    return DASH if amount is None else money.shown(Decimal(amount), currency)


def share(fraction: float | None) -> str:
    """12.3 %"""
    return DASH if fraction is None else f"{100 * fraction:.1f} %"


def person(username: str) -> str:
    """The actor that somebody is, as ledgers and timelines keep it."""
    return f"person:{username}"


def who(actor: str) -> str:
    """By whom something was done: by ada, by the key Website, by stripe, or, if a job did it, by Holdfast."""
    kind, _, name = actor.partition(":")
    return {"person": name, "provider": name, "key": f"the key {name}", "job": "Holdfast"}.get(kind, actor)


def spoken(code: str) -> str:
    """A code as words: refund_due, refund due."""
    return code.replace("_", " ").replace("-", " ")


def clock(instant: datetime) -> str:
    """An instant in the business's zone; the day only if it isn't today."""
    local, today = timezone.localtime(instant), timezone.localdate()
    return f"{local:%H:%M}" if local.date() == today else f"{local:%-d %b %H:%M}"


def _time(instant: datetime | None, kind: str) -> str:
    """An instant by the clock. The browser says how long ago."""
    if instant is None:
        return DASH
    return format_html(
        '<time datetime="{}" title="{}" data-{}>{}</time>',
        instant.isoformat(),
        f"{timezone.localtime(instant):%a %-d %b %Y, %H:%M:%S %Z}",
        kind,
        clock(instant),
    )


def ago(instant: datetime | None) -> str:
    """2 h ago"""
    return _time(instant, "ago")


def countdown(instant: datetime | None) -> str:
    """in 4 min 12 s"""
    return _time(instant, "countdown")


def at(instant: datetime | None) -> str:
    """14:05, or 20 Nov 14:05"""
    return _time(instant, "at")


def until(start: datetime, end: datetime | None) -> str:
    """0.25 s"""
    return DASH if end is None else f"{(end - start).total_seconds():,.2f} s"
