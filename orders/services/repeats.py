"""Who asks for an order again: by its key, by its external id, or by a double click."""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from catalog.errors import KeyReused
from catalog.models import Business
from customers.services import Person
from orders.errors import DuplicateOrder, ExternalIdTaken
from orders.lifecycle import Status
from orders.models import Order, OrderItem
from orders.services.placement import Placement
from orders_project.rows import Row, select

ASKED_BEFORE = """
    SELECT id FROM orders_order
    WHERE business_id = %s AND (idempotency_key = ANY(%s) OR external_id = ANY(%s))
"""


class Earlier:
    """The orders that were placed with the keys and external ids of a batch: what a repeat is answered with."""

    def __init__(self, business: Business, placements: Sequence[Placement]) -> None:
        self._by_key: dict[str, Row] = {}
        self._by_external_id: dict[tuple[str, str], Row] = {}
        keys = [p.idempotency_key for p in placements if p.idempotency_key is not None]
        external_ids = [p.external_id for p in placements if p.external_id is not None]
        found = select(ASKED_BEFORE, business.id, keys, external_ids) if keys or external_ids else []
        if found:  # seldom
            for row in Order.objects.filter(id__in=[order_id for (order_id,) in found]).values():
                self.remember(row)

    def remember(self, order: Row) -> None:
        if order["idempotency_key"] is not None:
            self._by_key[order["idempotency_key"]] = order
        if order["external_id"] is not None:
            self._by_external_id[order["channel"], order["external_id"]] = order

    def repeated_by(self, placement: Placement) -> Row | None:
        """The order that this placement asks for again. Raises KeyReused and ExternalIdTaken."""
        if order := self._by_key.get(placement.idempotency_key or ""):
            if order["fingerprint"] != placement.fingerprint:
                raise KeyReused(
                    "This Idempotency-Key was used for another order.",
                    idempotency_key=placement.idempotency_key,
                    order=str(order["id"]),
                    number=order["number"],
                )
            return order
        if order := self._by_external_id.get((placement.channel, placement.external_id or "")):
            if order["fingerprint"] != placement.fingerprint:
                raise ExternalIdTaken(
                    f"Order {order['number']} has the external_id {placement.external_id}, and is another order.",
                    external_id=placement.external_id,
                    order=str(order["id"]),
                    number=order["number"],
                )
            return order
        return None


class Recent:
    """What known customers ordered a moment ago: the same again is a double click, whatever key it carries.

    An `external_id` says that the order is one of its own, so it is not asked about.
    """

    def __init__(self, business: Business, customer_ids: Collection[UUID], now: datetime) -> None:
        self._window = timedelta(seconds=business.duplicate_window_seconds)
        self._now = now
        self._found: defaultdict[UUID, list[tuple[Row, Mapping[UUID, int]]]] = defaultdict(list)
        if customer_ids:
            placed = Order.objects.of(business.id).placed_since(now - self._window)
            orders = list(placed.filter(customer__any_of=customer_ids).values())
            units: defaultdict[UUID, dict[UUID, int]] = defaultdict(lambda: defaultdict(int))
            items = OrderItem.objects.filter(order__any_of=[order["id"] for order in orders])
            for order_id, product_id, quantity in items.values_list("order_id", "product_id", "quantity"):
                units[order_id][product_id] += quantity
            for order in orders:
                self.remember(order, units[order["id"]])

    def remember(self, order: Row, units: Mapping[UUID, int]) -> None:
        if self._window:
            self._found[order["customer_id"]].append((order, units))

    def refuse_double_click(self, placement: Placement, customer: Person, units: Mapping[UUID, int]) -> None:
        """Raises DuplicateOrder with the order that is already there."""
        if placement.external_id is not None or customer.id not in self._found:
            return
        for order, had in self._found[customer.id]:
            wait = order["created_at"] + self._window - (placement.at or self._now)
            alike = (had, order["channel"], order["status"] == Status.DRAFT)
            if alike == (units, placement.channel, placement.draft) and wait > timedelta(0):
                raise DuplicateOrder(
                    f"Order {order['number']} has the same goods for the same customer and was placed a moment "
                    "ago. If another one is meant, place it again later or give it an external_id.",
                    order=str(order["id"]),
                    number=order["number"],
                    possible_in=math.ceil(wait.total_seconds()),
                )
