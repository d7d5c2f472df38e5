"""Which order may become what. One table, to be read aloud; the database's rules say the same."""

from django.db import models
from django.db.models import Q


class Status(models.TextChoices):
    DRAFT = "draft"
    PENDING = "pending"
    PAID = "paid"
    PROCESSING = "processing"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


class PaymentStatus(models.TextChoices):
    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"
    REFUND_DUE = "refund_due", "refund due"
    PARTIALLY_REFUNDED = "partially_refunded", "partially refunded"
    REFUNDED = "refunded"


class CancelReason(models.TextChoices):
    """Reasons that the house itself gives; people may write any other."""

    PAYMENT_TIMEOUT = "payment_timeout"
    PAYMENT_FAILED = "payment_failed"
    ABANDONED = "abandoned"


MAY_BECOME: dict[Status, tuple[Status, ...]] = {
    Status.DRAFT: (Status.PENDING, Status.CANCELLED),  # holds nothing
    Status.PENDING: (Status.PAID, Status.CANCELLED),  # holds its stock until payment_due_at
    Status.PAID: (
        Status.PROCESSING,
        Status.CANCELLED,
    ),  # sold; cancelling restocks and owes a refund
    Status.PROCESSING: (Status.SHIPPED, Status.CANCELLED),
    Status.SHIPPED: (Status.DELIVERED,),
    Status.DELIVERED: (),
    Status.CANCELLED: (),
}

# An order that was cancelled for want of money comes back to life by the money, if its goods are still there.
REVIVED_BY_PAYMENT = (CancelReason.PAYMENT_TIMEOUT, CancelReason.PAYMENT_FAILED)

EDITABLE = (Status.DRAFT, Status.PENDING)
SOLD = (Status.PAID, Status.PROCESSING, Status.SHIPPED, Status.DELIVERED)

# What the payment of an order in each status can look like.
PAYMENT_OF: dict[Status, tuple[PaymentStatus, ...]] = {
    Status.DRAFT: (PaymentStatus.PENDING,),
    Status.PENDING: (PaymentStatus.PENDING, PaymentStatus.FAILED),
    **dict.fromkeys(SOLD, (PaymentStatus.PAID, PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED)),
    Status.CANCELLED: (
        PaymentStatus.PENDING,
        PaymentStatus.FAILED,
        PaymentStatus.REFUND_DUE,
        PaymentStatus.REFUNDED,
    ),
}


def may_become(to: Status) -> tuple[Status, ...]:
    """The statuses from which an order may go to `to`."""
    return tuple(status for status, nexts in MAY_BECOME.items() if to in nexts)


def status_fits_payment() -> Q:
    """PAYMENT_OF as a rule for the database."""
    rule = Q()
    for status, payments in PAYMENT_OF.items():
        rule |= Q(status=status.value, payment_status__in=[payment.value for payment in payments])
    return rule
