"""How figures and times are written on the pages, for the templates."""

from collections.abc import Mapping
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.text import capfirst

from catalog import wording
from catalog.channels import Channel
from orders.lifecycle import PaymentStatus, Status

register = template.Library()

for written in (
    wording.ago,
    wording.at,
    wording.countdown,
    wording.grouped,
    wording.of,
    wording.price,
    wording.share,
    wording.signed,
    wording.spoken,
    wording.until,
    wording.who,
):
    register.filter(written)


@register.filter
def channel(name: str) -> str:
    """WhatsApp"""
    return str(Channel(name).label)


@register.filter
def of_key(found: Mapping[str, Any], key: str) -> Any:
    """What a mapping has under a key, if anything."""
    return found.get(key)


# Available is ink, held is amber, sold is green, what needs a hand is red, what is over is grey.
TONES = {
    Status.DRAFT: "ended",
    Status.PENDING: "held",
    Status.CANCELLED: "ended",
    **dict.fromkeys((Status.PAID, Status.PROCESSING, Status.SHIPPED, Status.DELIVERED), "sold"),
}
TONES_OF_PAYMENT = {
    PaymentStatus.PENDING: "quiet",
    PaymentStatus.PAID: "sold",
    PaymentStatus.FAILED: "refused",
    PaymentStatus.REFUND_DUE: "refused",
    PaymentStatus.PARTIALLY_REFUNDED: "ended",
    PaymentStatus.REFUNDED: "ended",
}


@register.filter
def status_badge(status: str) -> str:
    """The status of an order in its colour."""
    known = Status(status)
    return format_html('<span class="hf-tag hf-{}">{}</span>', TONES[known], capfirst(known.label))


@register.filter
def payment_badge(status: str) -> str:
    """The status of an order's payment in its colour."""
    known = PaymentStatus(status)
    return format_html('<span class="hf-tag hf-{}">{}</span>', TONES_OF_PAYMENT[known], capfirst(known.label))
