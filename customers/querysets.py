"""The questions that are asked of customers, by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import models
from django.db.models import Exists, OuterRef, Q

if TYPE_CHECKING:
    from customers.models import Customer


class CustomerQuerySet(models.QuerySet["Customer"]):
    def of(self, business_id: UUID) -> CustomerQuerySet:
        return self.filter(business_id=business_id)

    def matching(self, words: str) -> CustomerQuerySet:
        """Customers with these words in their name, email or phone; two letters are looked for where a
        word begins, for in the midst of one they are no trigram."""
        # Not icontains: it asks for the column in capitals, which no index of trigrams is of.
        found = re.escape(words) if len(words) > 2 else f"(^| ){re.escape(words)}"
        phone = _digits(words) or found
        return self.filter(Q(name__iregex=found) | Q(email__iregex=found) | Q(phone__iregex=phone))

    def who_paid(self) -> CustomerQuerySet:
        """Customers with an order that was paid and kept. One order is worth six points, and none is worth none;
        the score has an index."""
        return self.filter(engagement_score__gt=0)

    def who_never_paid(self) -> CustomerQuerySet:
        return self.filter(engagement_score=0)

    def alike(self, customer: Customer) -> CustomerQuerySet:
        """Others of the business who may be the same person: they have the same email. (No two have one phone.)"""
        if not customer.email:
            return self.none()
        return self.of(customer.business_id).filter(email=customer.email).exclude(id=customer.id)

    def possibly_twice(self) -> CustomerQuerySet:
        """Customers of whom another one has the email."""
        others = self.model._default_manager.filter(business=OuterRef("business"), email=OuterRef("email"))
        return self.filter(Exists(others.exclude(id=OuterRef("id"))))

    def lock(self, *, to_remove: bool = False) -> CustomerQuerySet:
        """Lock the rows in key order, so that two who lock the same can't deadlock: for change, or to remove some
        of them, which waits for every order that is being placed for them, and lets no other one begin."""
        return self.order_by("id").select_for_update(no_key=not to_remove, of=("self",))


def _digits(words: str) -> str:
    """What a phone has of these words, however they are written: “(07700) 900-123” is 7700900123. Nothing if they
    are no part of a phone."""
    is_phone = re.fullmatch(r"[\d\s()/.+-]{3,}", words, re.ASCII)
    digits = re.sub(r"\D", "", words).lstrip("0") if is_phone else ""
    return digits if len(digits) > 2 else ""
