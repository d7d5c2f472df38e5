"""The questions that are asked of customers, by name."""

from __future__ import annotations

import re
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
        """Customers with these words in their name, email or phone; two letters are looked for where a
        word begins, for in the midst of one they are no trigram."""
        # Not icontains: it asks for the column in capitals, which no index of trigrams is of.
        found = re.escape(words) if len(words) > 2 else f"(^| ){re.escape(words)}"
        return self.filter(Q(name__iregex=found) | Q(email__iregex=found) | Q(phone__iregex=found))
