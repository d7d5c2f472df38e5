"""From the money to the door: start processing, ship, deliver. None of these moves a counter."""

from datetime import datetime
from typing import Any
from uuid import UUID

from orders.errors import ShippingDetailsRequired
from orders.lifecycle import Status
from orders.models import Order, OrderEvent, Shipment
from orders.services.timeline import change_locked, find_order, move, refuse_move, write_event
from orders_project.errors import InvalidRequest
from orders_project.transactions import one_transaction

Kind = OrderEvent.Kind


@one_transaction
def start_processing(*, business_id: UUID, order_id: UUID, actor: str, now: datetime) -> Order:
    """The order is being packed. Raises IllegalTransition, OrderNotFound."""
    order, moved = move(business_id=business_id, order_id=order_id, to=Status.PROCESSING)
    if moved:
        write_event(order, Kind.PROCESSING, actor=actor, now=now)
    return order


@one_transaction
def ship(
    *,
    business_id: UUID,
    order_id: UUID,
    carrier: str = "",
    tracking_number: str = "",
    tracking_url: str | None = None,
    shipped_at: datetime | None = None,
    actor: str,
    now: datetime,
) -> Order:
    """The parcel left, at `shipped_at` or now. For an order that is on its way already, its details are
    set right. Raises IllegalTransition, ShippingDetailsRequired, InvalidRequest, OrderNotFound."""
    order, moved = move(business_id=business_id, order_id=order_id, to=Status.SHIPPED)
    details = {"carrier": carrier, "tracking_number": tracking_number}
    missing = [name for name, text in details.items() if not text.strip()]
    if missing:
        raise ShippingDetailsRequired("A parcel needs a carrier and a tracking number.", missing=missing)
    if tracking_url is not None:
        details["tracking_url"] = tracking_url
    left_at = shipped_at or now
    _refuse_time("shipped_at", left_at, order.paid_at, now)
    if moved:
        Shipment.objects.create(business_id=business_id, order=order, shipped_at=left_at, **details)
        write_event(order, Kind.SHIPPED, actor=actor, now=now, **details)
        return order
    return _correct_shipment(order, details, shipped_at, actor=actor, now=now)


def _correct_shipment(
    order: Order, details: dict[str, str], shipped_at: datetime | None, *, actor: str, now: datetime
) -> Order:
    # The order's row is locked first, as by every verb: else a delivery at the same moment is a deadlock.
    order = find_order(business_id=order.business_id, order_id=order.id, locked=True)
    shipment = order.shipments.get()
    changes = details | ({"shipped_at": shipped_at} if shipped_at else {})
    if all(getattr(shipment, name) == value for name, value in changes.items()):
        return order
    if order.status != Status.SHIPPED:
        raise refuse_move(order, Status.SHIPPED)
    order = change_locked(order)
    order.shipments.update(**changes)
    write_event(order, Kind.SHIPMENT_CHANGED, actor=actor, now=now, **details)
    return order


@one_transaction
def deliver(
    *,
    business_id: UUID,
    order_id: UUID,
    delivered_at: datetime | None = None,
    actor: str,
    now: datetime,
) -> Order:
    """The parcel arrived, at `delivered_at` or now. Raises IllegalTransition, InvalidRequest, OrderNotFound."""
    arrived_at = delivered_at or now
    order, moved = move(business_id=business_id, order_id=order_id, to=Status.DELIVERED)
    if moved:
        _refuse_time("delivered_at", arrived_at, order.shipments.get().shipped_at, now)
        order.shipments.update(delivered_at=arrived_at)
        write_event(order, Kind.DELIVERED, actor=actor, now=now, delivered_at=arrived_at.isoformat())
    return order


def _refuse_time(field: str, at: datetime, earliest: datetime | None, now: datetime) -> None:
    """A step of a parcel lies between the step before it and now."""
    if at > now:
        raise InvalidRequest.at(field, "in_the_future", "This has not happened yet.")
    if earliest is not None and at < earliest:
        raise InvalidRequest.at(
            field,
            "too_early",
            "This is before the step that comes before it.",
            earliest=earliest.isoformat(),
        )


@one_transaction
def record_shipping(
    *,
    business_id: UUID,
    order_id: UUID,
    shipped_at: datetime | None = None,
    delivered_at: datetime | None = None,
    actor: str,
    now: datetime,
    **details: Any,
) -> Order:
    """What a carrier or a packer tells of a parcel in one go: that it left, what its details are, that it
    arrived. A paid order that is sent is processed by that; both steps stand in its timeline.

    Raises as `ship` and `deliver` do.
    """
    key: dict[str, Any] = {"business_id": business_id, "order_id": order_id, "actor": actor, "now": now}
    order = find_order(business_id=business_id, order_id=order_id)
    if details or shipped_at or not delivered_at:
        if order.status == Status.PAID:
            start_processing(**key)
        order = ship(**key, **details, shipped_at=shipped_at)
    if delivered_at:
        order = deliver(**key, delivered_at=delivered_at)
    return order
