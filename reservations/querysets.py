"""The questions that are asked of holds, by name."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import models

if TYPE_CHECKING:
    from reservations.models import StockReservation  # noqa: F401  (a type argument)


class StockReservationQuerySet(models.QuerySet["StockReservation"]):
    def of(self, business_id: UUID) -> StockReservationQuerySet:
        return self.filter(business_id=business_id)

    def of_orders(self, order_ids: Iterable[UUID]) -> StockReservationQuerySet:
        return self.filter(order_id__any_of=order_ids)

    def active(self) -> StockReservationQuerySet:
        """Holds that still keep their units."""
        return self.filter(status="active")

    def overdue(self, now: datetime) -> StockReservationQuerySet:
        """Active holds whose time is up: their units may be given to the next buyer."""
        return self.active().filter(expires_at__lte=now)

    def lock(self, *, skip_locked: bool = False) -> StockReservationQuerySet:
        """Lock the rows for change, in the order of the shelves."""
        return self.order_by("product_id", "id").select_for_update(
            no_key=True, skip_locked=skip_locked, of=("self",)
        )
