"""An order with all that belongs to it, as people read it: on its page and on paper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db.models import Prefetch

from orders.lifecycle import PaymentStatus, Status
from orders.models import Order, OrderItem, Payment, Shipment

UNPAID = (PaymentStatus.PENDING, PaymentStatus.FAILED)


@dataclass(frozen=True, slots=True)
class Summary:
    """An order, and what its money comes to."""

    order: Order
    items: Sequence[OrderItem]
    payments: Sequence[Payment]
    shipment: Shipment | None

    @property
    def address(self) -> list[str]:
        """Where it goes, line by line."""
        return address_lines(self.order.shipping_address)

    @property
    def tracking_page(self) -> str:
        """Where its parcel can be followed, if that is an address to be opened."""
        address = self.shipment.tracking_url if self.shipment else ""
        return address if address.startswith(("https://", "http://")) else ""

    @property
    def paid(self) -> Decimal:
        return self._sum(Payment.Kind.CAPTURE)

    @property
    def refunded(self) -> Decimal:
        return self._sum(Payment.Kind.REFUND)

    @property
    def kept(self) -> Decimal:
        """What came in and didn't go back."""
        return self.paid - self.refunded

    @property
    def to_pay(self) -> Decimal:
        """What the buyer has still to pay."""
        waits = self.order.status in (Status.DRAFT, Status.PENDING)
        return self.order.total if waits else Decimal(0)

    @property
    def to_refund(self) -> Decimal:
        """What has still to go back to the buyer."""
        return self.kept if self.order.payment_status == PaymentStatus.REFUND_DUE else Decimal(0)

    @property
    def can_be_paid(self) -> bool:
        """Whether money for it would be recorded; also for one that was called off, to be paid back."""
        return self.order.status != Status.DRAFT and self.order.payment_status in UNPAID

    def _sum(self, kind: Payment.Kind) -> Decimal:
        return sum((payment.amount for payment in self.payments if payment.kind == kind), Decimal(0))


def summaries(*, business_id: UUID, order_ids: Sequence[UUID]) -> list[Summary]:
    """The orders of a business among these, as they are asked for; in the same few queries for any number."""
    found = (
        Order.objects.of(business_id)
        .filter(id__any_of=order_ids)
        .select_related("customer")
        .prefetch_related(
            Prefetch("items", OrderItem.objects.order_by("position")),
            Prefetch("payments", Payment.objects.order_by("at", "id")),
            "shipments",
        )
    )
    orders = {order.id: order for order in found}
    return [
        Summary(
            order=order,
            items=list(order.items.all()),
            payments=list(order.payments.all()),
            shipment=next(iter(order.shipments.all()), None),
        )
        for key in dict.fromkeys(order_ids)
        if (order := orders.get(key))
    ]


def address_lines(address: Mapping[str, str] | None) -> list[str]:
    """An address as it is written on a parcel."""
    if not address:
        return []
    town = " ".join(filter(None, map(address.get, ("city", "region", "postal_code"))))
    parts = [address.get("name"), address.get("line1"), address.get("line2"), town, address.get("country")]
    written = address.get("text", "").splitlines()
    return [line.strip() for line in [*parts, *written, address.get("phone")] if line and line.strip()]
