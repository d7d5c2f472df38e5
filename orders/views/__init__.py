"""Orders over the API."""

from orders.views.bulk import OrderBulk, PaymentBulk
from orders.views.notices import PaymentNotices
from orders.views.orders import OrderDetail, OrderEventList, OrderList, OrderPayment, OrderShipping, OrderStatus
from orders.views.statistics import OrderStats

__all__ = [
    "OrderBulk",
    "OrderDetail",
    "OrderEventList",
    "OrderList",
    "OrderPayment",
    "OrderShipping",
    "OrderStats",
    "OrderStatus",
    "PaymentBulk",
    "PaymentNotices",
]
