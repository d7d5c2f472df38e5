"""The questions that are asked of the catalog, by name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import models
from django.db.models import F, Q, Sum
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Greatest

if TYPE_CHECKING:
    from catalog.models import (  # noqa: F401  (type arguments)
        Alert,
        ApiKey,
        JobRun,
        Membership,
        Product,
        Stock,
        StockMovement,
    )


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def live(self) -> ApiKeyQuerySet:
        """Keys that were not revoked."""
        return self.filter(revoked_at__isnull=True)


class MembershipQuerySet(models.QuerySet["Membership"]):
    def accepted(self) -> MembershipQuerySet:
        """Places that are held, and not only offered."""
        return self.filter(accepted_at__isnull=False)


class ProductQuerySet(models.QuerySet["Product"]):
    def of(self, business_id: UUID) -> ProductQuerySet:
        return self.filter(business_id=business_id)

    def named(self, *, skus: Iterable[str] = (), ids: Iterable[UUID] = ()) -> ProductQuerySet:
        """Products with one of these SKUs or ids."""
        return self.filter(Q(sku__any_of=skus) | Q(id__any_of=ids))

    def id_of(self, sku: str) -> models.QuerySet[Any]:
        """The id of the product with this SKU, to be compared with: so an index of products is entered
        at the right place, which a join would not do."""
        return self.filter(sku=sku).values("id")[:1]

    def as_filed(self, typed: Iterable[str]) -> dict[str, str]:
        """The SKUs on file for those that somebody typed, by these: the same, else the only one that differs in no
        more than its capitals. What there is none of, or several, stays as it was typed."""
        filed = {sku: sku for sku in typed}
        known = set(self.named(skus=filed).values_list("sku", flat=True))
        if unknown := filed.keys() - known:
            patterns = "|".join(map(re.escape, unknown))
            alike = defaultdict(list)
            for sku in self.filter(sku__iregex=f"^({patterns})$").values_list("sku", flat=True):
                alike[sku.lower()].append(sku)
            filed |= {sku: alike[sku.lower()][0] for sku in unknown if len(alike[sku.lower()]) == 1}
        return filed

    def matching(self, words: str) -> ProductQuerySet:
        """Products with these words in their name or SKU."""
        # Not icontains: it asks for the column in capitals, which no index of trigrams is of.
        found = re.escape(words)
        return self.filter(Q(name__iregex=found) | Q(sku__iregex=found))

    def short(self) -> ProductQuerySet:
        """Products of which no more is available than where they are low: those that are out among them."""
        threshold = Coalesce("low_stock_threshold", "business__low_stock_default")
        return self.filter(stock__stock_quantity__lte=F("stock__reserved_stock") + threshold)

    def out(self) -> ProductQuerySet:
        """Products of which nothing is available."""
        return self.filter(stock__stock_quantity__lte=F("stock__reserved_stock"))

    def held(self) -> ProductQuerySet:
        """Products of which units are held for orders."""
        return self.filter(stock__reserved_stock__gt=0)

    def lock(self) -> ProductQuerySet:
        """Lock the products for change, in key order; orders of them don't wait for it."""
        return self.order_by("id").select_for_update(no_key=True, of=("self",))


class StockQuerySet(models.QuerySet["Stock"]):
    def of(self, business_id: UUID) -> StockQuerySet:
        return self.filter(business_id=business_id)

    def lock(self) -> StockQuerySet:
        """Lock the rows for change, in key order, so that two who lock the same rows can't deadlock."""
        return self.order_by("product_id").select_for_update(no_key=True, of=("self",))


class StockMovementQuerySet(models.QuerySet["StockMovement"]):
    def of(self, business_id: UUID) -> StockMovementQuerySet:
        return self.filter(business_id=business_id)

    UNITS_SOLD = Greatest(-Sum("stock_delta"), 0)  # of `sales`: what comes back may have been sold before them

    def sales(self, since: datetime | Combinable) -> StockMovementQuerySet:
        """What was sold since then, and what came back."""
        return self.filter(kind__in=("sold", "returned"), at__gte=since)

    def units_sold(self, product_ids: Iterable[UUID], *, since: datetime) -> dict[UUID, int]:
        """How many units of each of these products were sold since then and didn't come back; one that sold
        nothing may be left out."""
        sales = self.sales(since).filter(product_id__any_of=product_ids)
        return dict(sales.values_list("product_id").annotate(units=self.UNITS_SOLD))


class AlertQuerySet(models.QuerySet["Alert"]):
    def of(self, business_id: UUID) -> AlertQuerySet:
        """A business's alerts, and those about Holdfast itself."""
        return self.filter(Q(business_id=business_id) | Q(business_id=None))

    def only_of(self, business_id: UUID | None) -> AlertQuerySet:
        """A business's own alerts; without a business, those about Holdfast itself."""
        return self.filter(Q(business_id=business_id))

    def open(self) -> AlertQuerySet:
        """Alerts of what is still so."""
        return self.filter(closed_at__isnull=True)

    def unheard(self, now: datetime) -> AlertQuerySet:
        """Open alerts that nobody acknowledged, and that don't sleep."""
        return self.open().filter(Q(snoozed_until=None) | Q(snoozed_until__lte=now), acknowledged_at__isnull=True)

    def untold(self, now: datetime) -> AlertQuerySet:
        """Unheard alerts of which no mail has told, or none since they woke."""
        return self.unheard(now).filter(Q(emailed_at=None) | Q(emailed_at__lt=F("snoozed_until")))

    def lock(self) -> AlertQuerySet:
        """Lock the alerts for change, in key order."""
        return self.order_by("id").select_for_update(no_key=True, of=("self",))


class JobRunQuerySet(models.QuerySet["JobRun"]):
    def of(self, business_id: UUID) -> JobRunQuerySet:
        """The runs for a business, and those for all of them."""
        return self.filter(Q(business_id=business_id) | Q(business_id=None))

    def unfinished(self, job: str, business_id: UUID | None) -> JobRunQuerySet:
        """The runs of a job, for one business or for all of them, that have not ended."""
        return self.filter(Q(business_id=business_id), job=job, outcome="running")
