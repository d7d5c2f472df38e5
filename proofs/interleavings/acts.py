"""The acts that meet, and the shop in which they do: one shelf, one order that waits for its payment.

The shelf has three mugs, and Ada's order holds two of them. So whoever wants one gets the last one, and whoever
wants three gets them only when Ada's time is over. What is in time is done a second before that, and the rest at
the instant.
"""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import F

from catalog.models import Product, Stock
from catalog.services import Count, adjust_stock, count_stock
from customers.models import Customer
from customers.services import Buyer
from factories import ACTOR, BusinessFactory, place, product, verb
from orders import services
from orders.models import Discrepancy, Order
from orders.reconciliation import RECOUNT, apply_remedy, reconcile
from orders.services import Edit, Line, Receipt
from orders_project.clock import database_now

ADA = Buyer(name="Ada", phone="+447700900001")
BEA = Buyer(name="Bea", phone="+447700900002")
CLEO = Buyer(name="Cleo", phone="+447700900003")


def _tables() -> list[str]:
    """The tables that have rows of a business."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.columns "
            "WHERE table_schema = 'public' AND column_name = 'business_id' ORDER BY table_name"
        )
        return [name for (name,) in cursor]


class Shop:
    """A shop that is put back to where it began, with the same keys, before each schedule. For acts that set books
    right the books are off: the shelf's counter, or the customer's."""

    def __init__(self, acts: Collection[str]) -> None:
        self.business = BusinessFactory.create(reconcile_up_to=5)
        placed_at = database_now() - timedelta(hours=1)  # so the time of a hold is over by the clock as well
        self.mug: Product = product(self.business, stock=4 if "reconcile" in acts else 3, now=placed_at)
        product(self.business, "TEA-01", stock=9, now=placed_at)
        self.bea: Customer = place(self.business, ("MUG-01", 1), buyer=BEA, draft=True, now=placed_at).customer
        self.order: Order = place(self.business, ("MUG-01", 2), buyer=ADA, now=placed_at)
        self.ada: Customer = self.order.customer
        assert self.order.payment_due_at is not None
        self.due: datetime = self.order.payment_due_at
        self.in_time = self.due - timedelta(seconds=1)
        if "reconcile" in acts:
            Stock.objects.filter(product=self.mug).update(stock_quantity=F("stock_quantity") - 1)
        if "recount" in acts:
            Customer.objects.filter(id=self.ada.id).update(total_orders=1, total_spent=5, last_paid_at=placed_at)
            reconcile(business_id=self.business.id, now=placed_at)
        self._keep()

    def _keep(self) -> None:
        """Remember all rows of the shop, and the statements that put them back."""
        its = f"business_id = '{self.business.id}'"
        with connection.cursor() as cursor:
            for table in _tables():
                cursor.execute(f"DROP TABLE IF EXISTS pg_temp.kept_{table}")
                cursor.execute(f"CREATE TEMP TABLE kept_{table} AS SELECT * FROM {table} WHERE {its}")
        # Without triggers and references: they would count what comes and goes, and the ledger is only added to.
        self._back = "SET LOCAL session_replication_role = replica;" + "".join(
            f"DELETE FROM {table} WHERE {its}; INSERT INTO {table} SELECT * FROM kept_{table};"
            for table in _tables()
        )

    def put_back(self) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(self._back)

    def state(self) -> tuple[str, ...]:
        """All that the two acts were about, without keys and times: what a merchant would call the same."""
        with connection.cursor() as cursor:
            cursor.execute(STATE, {"shop": self.business.id, "order": self.order.id, "due": self.due})
            return tuple(line for (line,) in cursor)


STATE = """
    WITH named AS (
        SELECT orders.*, customer.name AS buyer,
            CASE WHEN orders.id = %(order)s THEN 'the order' ELSE 'an order' END AS called
        FROM orders_order AS orders JOIN customers_customer AS customer ON customer.id = customer_id
        WHERE orders.business_id = %(shop)s
    )
    SELECT concat_ws(' ', called, 'of', buyer, status, payment_status, cancel_reason, trim_scale(total),
        payment_due_at - %(due)s) AS line
    FROM named
    UNION ALL SELECT concat_ws(' ', 'timeline of', called, 'of', buyer,
        string_agg(kind, ', ' ORDER BY event.version))
    FROM orders_orderevent AS event JOIN named ON named.id = order_id GROUP BY order_id, called, buyer
    UNION ALL SELECT concat_ws(' ', 'hold of', called, 'of', buyer, quantity, hold.status)
    FROM reservations_stockreservation AS hold JOIN named ON named.id = order_id
    UNION ALL SELECT concat_ws(' ', 'payment of', called, kind, reference, trim_scale(amount))
    FROM orders_payment JOIN named ON named.id = order_id
    UNION ALL SELECT concat_ws(' ', 'shelf', stock_quantity, reserved_stock)
    FROM catalog_stock WHERE business_id = %(shop)s
    UNION ALL SELECT concat_ws(' ', 'ledger', kind, sum(stock_delta), sum(reserved_delta), count(*))
    FROM catalog_stockmovement WHERE business_id = %(shop)s GROUP BY kind
    UNION ALL SELECT concat_ws(' ', 'customer', name, total_orders, trim_scale(total_spent), engagement_score)
    FROM customers_customer WHERE business_id = %(shop)s
    UNION ALL SELECT concat_ws(' ', 'finding', invariant, status, applied)
    FROM orders_discrepancy WHERE business_id = %(shop)s AND status <> 'gone'
    ORDER BY line
"""

Act = Callable[[Shop, bool], object]  # in a shop, by the first or the second of the two; what it answers


def place_last(shop: Shop, second: bool) -> str:
    place(shop.business, ("MUG-01", 1), buyer=CLEO if second else ADA, now=shop.in_time)
    return "placed"


def place_all(shop: Shop, second: bool) -> str:
    place(shop.business, ("MUG-01", 3), buyer=CLEO if second else BEA, now=shop.due)
    return "placed"


def place_both(shop: Shop, second: bool) -> str:
    cart = [("MUG-01", 1), ("TEA-01", 2)]
    place(shop.business, *(reversed(cart) if second else cart), buyer=CLEO if second else BEA, now=shop.in_time)
    return "placed"


def edit(shop: Shop, second: bool) -> str:
    change = Edit(lines=(Line("MUG-01", 1 if second else 3),))
    return verb("edit", shop.order, change=change, now=shop.in_time).status


def pay(shop: Shop, second: bool, *, reference: str = "TX-1", late: bool = False) -> str:
    receipt = Receipt(shop.order.id, "bank", reference, shop.order.total)
    paid = services.confirm_payment(
        business_id=shop.business.id, receipt=receipt, actor=ACTOR, now=shop.due if late else shop.in_time
    )
    return f"{paid.status} {paid.payment_status}"


def pay_late(shop: Shop, second: bool) -> str:
    return pay(shop, second, reference="TX-2", late=True)


def expire(shop: Shop, second: bool) -> str:
    services.expire_due(business_id=shop.business.id, now=shop.due)
    return "swept"


def cancel(shop: Shop, second: bool) -> str:
    return verb("cancel", shop.order, reason="changed their mind", now=shop.in_time).status


def adjust(shop: Shop, second: bool) -> str:
    shelf = adjust_stock(
        business_id=shop.business.id,
        product_id=shop.mug.id,
        delta=-1,
        reason="broken",
        actor=ACTOR,
        now=shop.in_time,
    )
    return f"{shelf.stock_quantity} left"


def count(shop: Shop, second: bool) -> str:
    counts = {shop.mug.id: Count(counted=2, on_shelf=3)}
    count_stock(business_id=shop.business.id, counts=counts, reason="counted", actor=ACTOR, now=shop.in_time)
    return "counted"


def extend(shop: Shop, second: bool) -> str:
    verb("extend_hold", shop.order, minutes=10, reason="they asked", now=shop.in_time)
    return "extended"


def reconcile_books(shop: Shop, second: bool) -> str:
    reconcile(business_id=shop.business.id, now=shop.in_time)
    return "reconciled"


def recount(shop: Shop, second: bool) -> str:
    off = Discrepancy.objects.of(shop.business.id).get(subject=shop.ada.id)
    closed = apply_remedy(
        business_id=shop.business.id, discrepancy_id=off.id, remedy=RECOUNT, actor=ACTOR, now=shop.in_time
    )
    return closed.status


def merge(shop: Shop, second: bool) -> str:
    services.merge_customers(
        business_id=shop.business.id,
        kept_id=shop.bea.id,
        merged_id=shop.ada.id,
        actor=ACTOR,
        now=shop.in_time,
    )
    return "merged"


ACTS: dict[str, Act] = {
    "place": place_last,
    "place all": place_all,
    "place both": place_both,
    "edit": edit,
    "pay": pay,
    "pay late": pay_late,
    "expire": expire,
    "cancel": cancel,
    "adjust": adjust,
    "count": count,
    "extend": extend,
    "reconcile": reconcile_books,
    "recount": recount,
    "merge": merge,
}
