"""How figures and times are written on the pages."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from babel.numbers import format_currency
from django import template
from django.utils import timezone
from django.utils.html import format_html

from orders.lifecycle import Channel

register = template.Library()

DASH = "–"  # for what is unknown or isn't there


@register.filter
def grouped(number: int | None) -> str:
    """12,345"""
    return DASH if number is None else f"{number:,}"


@register.filter
def signed(number: int) -> str:
    """+12, −3, and a dash for what didn't move."""
    return f"{number:+,}".replace("-", "−") if number else DASH


@register.filter
def of(number: int, noun: str) -> str:
    """1 unit, 12 units"""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@register.filter
def price(amount: Decimal | str | None, currency: str) -> str:
    """£1,234.50"""
    return DASH if amount is None else format_currency(Decimal(amount), currency, locale="en")


@register.filter
def share(fraction: float | None) -> str:
    """12.3 %"""
    return DASH if fraction is None else f"{100 * fraction:.1f} %"


@register.filter
def channel(name: str) -> str:
    """WhatsApp"""
    return str(Channel(name).label)


@register.filter
def who(actor: str) -> str:
    """A person's name, or which key or job it was."""
    kind, _, name = actor.partition(":")
    return {"person": name, "key": f"{name} (API key)", "job": f"{name.replace('_', ' ')} (job)"}.get(kind, actor)


@register.filter
def spoken(code: str) -> str:
    """A code as words: refund_due, refund due."""
    return code.replace("_", " ").replace("-", " ")


def _time(instant: datetime | None, kind: str) -> str:
    """An instant in the business's zone; the day only if it isn't today. The browser says how long ago."""
    if instant is None:
        return DASH
    local, today = timezone.localtime(instant), timezone.localdate()
    return format_html(
        '<time datetime="{}" title="{}" data-{}>{}</time>',
        instant.isoformat(),
        f"{local:%a %-d %b %Y, %H:%M:%S %Z}",
        kind,
        f"{local:%H:%M}" if local.date() == today else f"{local:%-d %b %H:%M}",
    )


@register.filter
def ago(instant: datetime | None) -> str:
    """2 h ago"""
    return _time(instant, "ago")


@register.filter
def countdown(instant: datetime | None) -> str:
    """in 4 min 12 s"""
    return _time(instant, "countdown")


@register.filter
def at(instant: datetime | None) -> str:
    """14:05, or 20 Nov 14:05"""
    return _time(instant, "at")


@register.filter
def until(start: datetime, end: datetime | None) -> str:
    """0.25 s"""
    return DASH if end is None else f"{(end - start).total_seconds():,.2f} s"


@register.filter
def of_key(found: Mapping[str, Any], key: str) -> Any:
    """What a mapping has under a key, if anything."""
    return found.get(key)
