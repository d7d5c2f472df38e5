"""The questions that are asked of customers, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from customers.models import Customer  # noqa: F401  (a type argument)


class CustomerQuerySet(models.QuerySet["Customer"]):
    def of(self, business_id: UUID) -> CustomerQuerySet:
        return self.filter(business_id=business_id)

    def matching(self, words: str) -> CustomerQuerySet:
        """Customers with these words in their name, email or phone."""
        return self.filter(Q(name__icontains=words) | Q(email__icontains=words) | Q(phone__contains=words))
