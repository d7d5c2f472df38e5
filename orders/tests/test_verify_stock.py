"""A checker must be shown to fail: for each invariant the data is broken on purpose, in a transaction that
is rolled back, and exactly that invariant is named."""

from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from customers.services import Buyer
from factories import BusinessFactory, order_in, pay, place, product, verb
from orders.invariants import INVARIANTS, findings
from orders.models import WebhookEndpoint
from orders.tests.careless import do

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture
def world(shop, now):
    """Two shops with an order in every condition, by the verbs."""
    WebhookEndpoint.objects.create(
        business=shop, url="https://shop.example", created_at=now - timedelta(hours=1), created_by="person:ada"
    )
    product(shop, "MUG-01", stock=20)
    product(shop, "TEA-01", stock=20)
    ada = Buyer(name="Ada", phone="+447700900123")
    draft = place(shop, ("MUG-01", 1), draft=True)
    pending = place(shop, ("MUG-01", 2), ("TEA-01", 1), buyer=ada, idempotency_key="k-1")
    paid = pay(place(shop, ("MUG-01", 3), buyer=ada, idempotency_key="k-2"), now=now)
    delivered = order_in(shop, "delivered", now=now)
    verb("record_refund", delivered, provider="bank", reference="R-1", amount=Decimal(1))
    cancelled = verb("cancel", pay(place(shop, ("TEA-01", 4))), reason="broken")
    other = BusinessFactory()
    return {
        "mug": draft.items.get().product_id,
        "draft": draft.id,
        "pending": pending.id,
        "paid": paid.id,
        "delivered": delivered.id,
        "cancelled": cancelled.id,
        "ada": paid.customer_id,
        "other": other.id,
        "shop": shop.id,
    }


def line(kind, stock, reserved, *, order="NULL"):
    """A ledger line of mugs, and the counters moved by it, as a careless hand would."""
    return [
        "INSERT INTO catalog_stockmovement (id, business_id, product_id, kind, stock_delta, reserved_delta,"
        f" order_id, actor, reason, at) VALUES (gen_random_uuid(), %(shop)s, %(mug)s, '{kind}', {stock},"
        f" {reserved}, {order}, 'person:careless', 'oops', now())",
        f"UPDATE catalog_stock SET stock_quantity = stock_quantity + {stock},"
        f" reserved_stock = reserved_stock + {reserved} WHERE product_id = %(mug)s",
    ]


def of_order(which, table, what):
    return [f"UPDATE {table} SET {what} WHERE order_id = %({which})s"]


# What breaks each invariant, and no other. The laws that stand in the way are taken out first.
BROKEN = {
    "I1": ["ALTER TABLE catalog_stock DROP CONSTRAINT stock_never_oversold", *line("adjusted", -15, 0)],
    "I2": line("reserved", 0, 1, order="%(pending)s"),
    "I3": [
        "ALTER TABLE catalog_stockmovement DROP CONSTRAINT movement_kind_fits_deltas",
        *line("released", 1, 0, order="%(pending)s"),
    ],
    "I4": [
        "ALTER TABLE catalog_stockmovement DISABLE TRIGGER USER",
        "DELETE FROM catalog_stockmovement WHERE order_id = %(pending)s AND product_id = %(mug)s",
    ],
    "I5": of_order("pending", "reservations_stockreservation", "expires_at = now() - interval '3 minutes'"),
    "I5b": of_order("pending", "reservations_stockreservation", "expires_at = now() + interval '25 hours'"),
    "I6": of_order("paid", "reservations_stockreservation", "quantity = quantity + 1"),
    "I6b": ["DELETE FROM orders_orderitem WHERE order_id = %(draft)s"],
    "I6c": ["UPDATE orders_order SET subtotal = subtotal + 1, discount = discount + 1 WHERE id = %(paid)s"],
    "I7": [
        "INSERT INTO reservations_stockreservation (id, business_id, order_id, product_id, quantity, status,"
        " expires_at, created_at, closed_at) VALUES (gen_random_uuid(), %(shop)s, %(draft)s, %(mug)s, 1,"
        " 'released', now(), now(), now())"
    ],
    "I8": [
        "DROP INDEX order_key_once",
        "UPDATE orders_order SET idempotency_key = 'k-1' WHERE id = %(paid)s",
    ],
    "I9": ["DELETE FROM orders_orderevent WHERE order_id = %(paid)s AND version = 1"],
    "I11": ["DELETE FROM orders_webhookdelivery WHERE order_id = %(paid)s AND sequence = 2"],
    "I12": of_order("paid", "orders_payment", "amount = amount - 1"),
    "I12b": ["UPDATE customers_customer SET total_spent = total_spent + 1 WHERE id = %(ada)s"],
    "I12c": ["UPDATE orders_dailysales SET gross = gross + 1 WHERE paid > 0"],
    "I13": ["UPDATE orders_order SET business_id = %(other)s WHERE id = %(draft)s"],
    "I14": [
        "INSERT INTO orders_payment (id, business_id, order_id, kind, provider, reference, currency, amount, at,"
        " actor) VALUES (gen_random_uuid(), %(shop)s, gen_random_uuid(), 'capture', 'bank', 'TX-0', 'GBP', 1,"
        " now(), 'person:careless')"
    ],
}

# More ways to break some of them.
ALSO_BROKEN = [
    ("I1", ["ALTER TABLE catalog_stock DROP CONSTRAINT stock_never_oversold", *line("adjusted", -30, 0)]),
    (
        "I6",  # a pending order lost one of its holds, with clean books
        [
            "UPDATE reservations_stockreservation SET status = 'released', closed_at = now()"
            " WHERE order_id = %(pending)s AND product_id = %(mug)s",
            *line("released", 0, -2, order="%(pending)s"),
        ],
    ),
    ("I9", ["UPDATE orders_order SET version = version + 1 WHERE id = %(paid)s"]),
    ("I12", ["DELETE FROM orders_payment WHERE order_id = %(paid)s"]),
    ("I12", of_order("cancelled", "orders_payment", "amount = amount * 2")),
    ("I12", ["UPDATE orders_order SET payment_status = 'refunded' WHERE id = %(cancelled)s"]),
    ("I12", of_order("paid", "orders_payment", "at = at - interval '1 day'")),
    ("I12c", ["DELETE FROM orders_dailysales WHERE business_id = %(shop)s"]),
    ("I12c", ["UPDATE orders_dailysales SET day = day + 1, slot = 2 WHERE business_id = %(shop)s"]),
    ("I12c", ["UPDATE orders_order SET placed_at = placed_at + interval '1 day' WHERE id = %(pending)s"]),
    (
        "I12c",
        [
            "UPDATE orders_payment SET at = at - interval '2 days'"
            " WHERE order_id = %(delivered)s AND kind = 'refund'"
        ],
    ),
    ("I12b", ["UPDATE customers_customer SET total_orders = total_orders + 1 WHERE id = %(ada)s"]),
    ("I12b", ["UPDATE customers_customer SET last_paid_at = NULL WHERE id = %(ada)s"]),
    (
        "I14",
        [
            "INSERT INTO reservations_stockreservation (id, business_id, order_id, product_id, quantity, status,"
            " expires_at, created_at) VALUES (gen_random_uuid(), %(shop)s, gen_random_uuid(), %(mug)s, 1,"
            " 'active', now() + interval '1 minute', now())",
            *line("reconciled", 0, 1),
        ],
    ),
]

# Tried each time; the others take as long, and there are many.
QUICK = [(name, BROKEN[name]) for name in ("I1", "I4", "I12b")]

CHILDREN = {
    "catalog_stock": "product_id = %(mug)s",
    "catalog_stockmovement": "order_id = %(paid)s",
    "reservations_stockreservation": "order_id = %(paid)s",
    "orders_order": "id = %(draft)s",
    "orders_orderitem": "order_id = %(paid)s",
    "orders_orderevent": "order_id = %(paid)s",
    "orders_payment": "order_id = %(paid)s",
    "orders_shipment": "order_id = %(delivered)s",
    "orders_webhookdelivery": "order_id = %(paid)s",
}


def named(finding):
    return finding.split(" ")[0]


def verify():
    """What verify_stock prints, and how it exits."""
    said = StringIO()
    try:
        call_command("verify_stock", stdout=said)
    except CommandError as error:
        return said.getvalue(), error.returncode
    return said.getvalue(), 0


def test_verify_stock_clean(world):
    said, status = verify()
    assert status == 0
    assert f"All {len(INVARIANTS)} invariants hold." in said


def test_verify_stock_every_invariant_is_broken_here():
    assert [named(invariant) for invariant in INVARIANTS] == list(BROKEN)


@pytest.mark.parametrize(
    ("name", "statements"),
    [
        pytest.param(*broken, marks=[] if broken in QUICK else pytest.mark.slow)
        for broken in (*BROKEN.items(), *ALSO_BROKEN)
    ],
)
def test_verify_stock_names_what_is_broken(world, name, statements):
    assert findings() == []
    do(statements, world)
    assert {named(finding.invariant) for finding in findings()} == {name}
    said, status = verify()
    assert status != 0
    assert said.startswith(f"{name} ")


@pytest.mark.slow
@pytest.mark.parametrize("table", CHILDREN)
def test_verify_stock_names_a_row_of_another_business(world, table):
    do([f"UPDATE {table} SET business_id = %(other)s WHERE {CHILDREN[table]}"], world)
    assert {named(finding.invariant) for finding in findings()} == {"I13"}
    assert any(table in finding.found for finding in findings())


def test_findings_are_bounded(world):
    do(["UPDATE orders_orderevent SET business_id = %(other)s"], world)
    assert len(findings(at_most=3)) == 3
