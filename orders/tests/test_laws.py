"""The database's own laws: whoever goes round the verbs, in SQL or a shell, is refused by name.

Every CHECK, unique rule and foreign key of ours stands here with statements that break it and nothing
else; one test sees to it that none is missing.
"""

import re
from decimal import Decimal
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction

from catalog import audit
from catalog.models import Alert, Business, JobRun, Logo, Membership, StockMovement
from customers.services import Buyer
from factories import BusinessFactory, api_key, on_shelf, order_in, place, product, verb
from orders.lifecycle import PaymentStatus, Status
from orders.models import (
    BulkRow,
    BulkRun,
    Discrepancy,
    OrderEvent,
    Payment,
    PaymentNotice,
    PaymentSource,
    WebhookEndpoint,
)
from orders_project.transactions import violated_constraint
from reservations.models import RefusedDemand

pytestmark = pytest.mark.usefixtures("db", "all_is_well")


@pytest.fixture
def world(shop, now):
    """One of everything, in two shops: what the statements below may name."""
    WebhookEndpoint.objects.create(
        business=shop, url="https://shop.example", created_at=now, created_by="person:ada"
    )
    product(shop, "MUG-01", stock=20)
    product(shop, "TEA-01", stock=20)
    draft = place(shop, ("MUG-01", 2), ("TEA-01", 1), draft=True, buyer=Buyer(name="Ada", phone="+447700900123"))
    pending = place(shop, ("MUG-01", 2), ("TEA-01", 1), buyer=Buyer(name="Bob", external_id="c-2"))
    paid = order_in(shop, "paid", now=now)
    delivered = order_in(shop, "delivered", now=now)
    verb("record_refund", paid, provider="bank", reference="R-1", amount=Decimal(1))
    other = BusinessFactory()
    product(other)
    theirs = place(other, ("MUG-01", 1))
    api_key(shop)
    JobRun.objects.create(business=shop, job="reconcile", started_at=now)
    Alert.objects.create(business=shop, kind="drift", severity="critical", title="Off", opened_at=now, seen_at=now)
    Discrepancy.objects.create(business=shop, invariant="I4", subject="x", found="off", found_at=now, seen_at=now)
    RefusedDemand.objects.create(
        business=shop,
        minute=now,
        product_id=pending.items.first().product_id,
        channel="website",
        refusals=1,
        units=1,
        value=1,
        currency="GBP",
    )
    Membership.objects.create(business=shop, user=User.objects.create(username=str(uuid4())), role="owner")
    Logo.objects.create(business=shop, image=b"x", media_type="image/png")
    run = BulkRun.objects.create(business=shop, action="deliver", actor="person:ada", created_at=now)
    BulkRow.objects.create(business=shop, run=run, position=1, order=pending, version=1)
    source = PaymentSource.objects.create(business=shop, name="stripe", created_at=now, created_by="person:ada")
    PaymentNotice.objects.create(
        business=shop,
        source=source,
        message_id="1",
        type="ping",
        received_at=now,
        outcome="ignored",
        settled_at=now,
    )
    return {
        "shop": shop.id,
        "other": other.id,
        "slug": other.slug,
        "draft": draft.id,
        "pending": pending.id,
        "paid": paid.id,
        "delivered": delivered.id,
        "customer": pending.customer_id,
        "their_order": theirs.id,
        "their_customer": theirs.customer_id,
        "their_product": theirs.items.get().product_id,
    }


def change(table, what, where):
    return f"UPDATE {table} SET {what} WHERE {where}"


def order(what, which="pending"):
    return change("orders_order", what, f"id = %({which})s")


def of_shop(table, what):
    return change(table, what, "business_id = %(shop)s")


def child(table, what, which="pending"):
    return change(table, what, f"order_id = %({which})s")


def copy(table, where, **changes):
    """Insert a row once more, under another key and with some changes: what is append-only can't be updated."""
    columns = ", ".join(f"'{column}', {value}" for column, value in {"id": "gen_random_uuid()", **changes}.items())
    row = f"(SELECT {table} AS row FROM {table} WHERE {where} LIMIT 1) AS one"
    return f"INSERT INTO {table} SELECT (jsonb_populate_record(row, jsonb_build_object({columns}))).* FROM {row}"


def ledger(kind, stock, reserved, *, order=None, **more):
    changes = {
        "kind": f"'{kind}'::text",
        "stock_delta": stock,
        "reserved_delta": reserved,
        "order_id": f"%({order})s::uuid" if order else "NULL::uuid",
        "reason": "'because'::text",
        **more,
    }
    return copy("catalog_stockmovement", "business_id = %(shop)s", **changes)


def event(**changes):
    return copy("orders_orderevent", "order_id = %(paid)s", **changes)


def payment(**changes):
    return copy("orders_payment", "order_id = %(paid)s", **changes)


LAWS = {
    # catalog
    "audit_actor_named": [
        "INSERT INTO catalog_auditentry (id, business_id, at, actor, action, kind, subject, title, changes) "
        "VALUES (gen_random_uuid(), %(shop)s, now(), '', 'changed', 'product', '', '', '{}')"
    ],
    "logo_can_be_shown": [of_shop("catalog_logo", "media_type = 'text/html'")],
    "business_country_code": [change("catalog_business", "country = 'gb'", "id = %(shop)s")],
    "business_currency_code": [change("catalog_business", "currency = 'gbp'", "id = %(shop)s")],
    "business_loyal_spend_positive": [change("catalog_business", "loyal_spend = 0", "id = %(shop)s")],
    "business_most_open_orders": [
        change("catalog_business", f"most_open_orders = {most}", "id = %(shop)s") for most in (0, 10_001)
    ],
    "business_payment_window": [
        change("catalog_business", f"payment_window_minutes = {minutes}", "id = %(shop)s") for minutes in (0, 1441)
    ],
    "catalog_business_slug_key": [change("catalog_business", "slug = %(slug)s", "id = %(shop)s")],
    "membership_role_known": [of_shop("catalog_membership", "role = 'king'")],
    "membership_once": [copy("catalog_membership", "business_id = %(shop)s")],
    "api_key_scope_known": [of_shop("catalog_apikey", "scope = 'admin'")],
    "catalog_apikey_prefix_key": [copy("catalog_apikey", "business_id = %(shop)s")],
    "product_currency_code": [of_shop("catalog_product", "currency = 'gbp'")],
    "product_price_not_negative": [of_shop("catalog_product", "price = -0.01")],
    "product_sku_not_empty": [change("catalog_product", "sku = ''", "business_id = %(shop)s AND sku = 'MUG-01'")],
    "product_sku_once": [of_shop("catalog_product", "sku = 'MUG-01'")],
    "stock_never_oversold": [
        of_shop("catalog_stock", "reserved_stock = -1"),
        of_shop("catalog_stock", "reserved_stock = stock_quantity + 1"),
        of_shop("catalog_stock", "stock_quantity = reserved_stock - 1"),
        of_shop("catalog_stock", "stock_quantity = -1, reserved_stock = -1"),
    ],
    "stock_product_same_business": [of_shop("catalog_stock", "business_id = %(other)s")],
    "movement_actor_named": [ledger("received", 1, 0, actor="''::text")],
    "movement_by_hand_has_reason": [ledger(kind, 1, 0, reason="''::text") for kind in ("adjusted", "reconciled")],
    "movement_kind_fits_deltas": [
        ledger("opening", -1, 0),
        ledger("opening", 1, 1),
        ledger("received", 0, 0),
        ledger("received", -1, 0),
        ledger("returned", -1, 0, order="paid"),
        ledger("adjusted", 0, 0),
        ledger("adjusted", 1, 1),
        ledger("reserved", 0, -1, order="paid"),
        ledger("reserved", 1, 1, order="paid"),
        ledger("released", 0, 1, order="paid"),
        ledger("released", -1, -1, order="paid"),
        ledger("expired", 0, 1, order="paid"),
        ledger("sold", 1, 1, order="paid"),
        ledger("sold", -2, -1, order="paid"),
        ledger("reconciled", 0, 0),
        ledger("lost", -1, 0),
    ],
    "movement_order_named": [
        ledger("opening", 1, 0, order="paid"),
        ledger("received", 1, 0, order="paid"),
        ledger("adjusted", 1, 0, order="paid"),
        ledger("reconciled", 1, 0, order="paid"),
        ledger("returned", 1, 0),
        ledger("reserved", 0, 1),
        ledger("released", 0, -1),
        ledger("expired", 0, -1),
        ledger("sold", -1, -1),
    ],
    "movement_key_once": [
        ledger("received", 1, 0, idempotency_key="'k-1'::text").replace("LIMIT 1", "LIMIT 2"),
    ],
    "movement_order_same_business": [ledger("returned", 1, 0, order="their_order")],
    "movement_product_same_business": [ledger("received", 1, 0, product_id="%(their_product)s::uuid")],
    "alert_kind_known": [of_shop("catalog_alert", "kind = 'mood'")],
    "alert_severity_known": [of_shop("catalog_alert", "severity = 'grim'")],
    "alert_open_once": [copy("catalog_alert", "business_id = %(shop)s")],
    "job_run_ended_when_over": [
        of_shop("catalog_jobrun", "ended_at = now()"),
        of_shop("catalog_jobrun", "outcome = 'done'"),
        of_shop("catalog_jobrun", "outcome = 'lost', ended_at = now()"),
    ],
    # customers
    "customer_counters_not_negative": [
        of_shop("customers_customer", "total_orders = -1"),
        of_shop("customers_customer", "total_spent = -1"),
    ],
    "customer_phone_e164": [
        change("customers_customer", f"phone = '{phone}'", "id = %(customer)s")
        for phone in ("07700900123", "+44", "+44 7700 900", "")
    ],
    "customer_score_of_hundred": [of_shop("customers_customer", "engagement_score = 101")],
    "customer_external_id_once": [of_shop("customers_customer", "external_id = 'c-2'")],
    "customer_phone_once": [of_shop("customers_customer", "phone = '+447700900123'")],
    # reservations
    "hold_closed_when_ended": [
        child("reservations_stockreservation", "closed_at = now()"),
        child("reservations_stockreservation", "status = 'released'"),
        child("reservations_stockreservation", "status = 'lost', closed_at = now()"),
    ],
    "hold_quantity_positive": [child("reservations_stockreservation", "quantity = 0")],
    "hold_once_per_order": [copy("reservations_stockreservation", "order_id = %(pending)s")],
    "hold_order_same_business": [child("reservations_stockreservation", "order_id = %(their_order)s")],
    "hold_product_same_business": [
        change("reservations_stockreservation", "product_id = %(their_product)s", "order_id = %(paid)s")
    ],
    "refused_something": [
        of_shop("reservations_refuseddemand", f"{what} = {least}")
        for what, least in {"refusals": 0, "units": 0, "value": -1}.items()
    ],
    "refused_product_same_business": [of_shop("reservations_refuseddemand", "product_id = %(their_product)s")],
    # orders
    "order_amounts_not_negative": [
        order("discount = -1, total = total + 1"),
        order("shipping_fee = -1, total = total - 1"),
        order("subtotal = -1, shipping_fee = 2, total = 1"),
        order("discount = subtotal + 1, total = -1"),
    ],
    "order_cancelled_has_time_and_reason": [
        order("cancel_reason = 'x'"),
        order("cancelled_at = now()"),
        order("status = 'cancelled', payment_due_at = NULL, cancelled_at = now()"),
        order("status = 'cancelled', payment_due_at = NULL, cancel_reason = 'x'"),
    ],
    "order_channel_known": [order("channel = 'fax'")],
    "order_pending_has_due_time": [order("payment_due_at = NULL"), order("payment_due_at = now()", "paid")],
    "order_placed_unless_draft": [order("placed_at = NULL"), order("placed_at = NULL", "paid")],
    "order_sold_has_paid_time": [order("paid_at = NULL", "paid"), order("paid_at = NULL", "delivered")],
    "order_status_fits_payment": [order("status = 'lost'", "paid"), order("payment_status = 'lost'", "paid")],
    "order_total_adds_up": [order("total = total + 0.01"), order("discount = 1")],
    "order_version_positive": [order("version = 0")],
    "order_customer_same_business": [order("customer_id = %(their_customer)s", "draft")],
    "order_number_once": [of_shop("orders_order", "number = '261123-K7M2QX'")],
    "order_key_once": [of_shop("orders_order", "idempotency_key = 'k-1'")],
    "order_external_id_once": [of_shop("orders_order", "external_id = 'web-1'")],
    "item_price_not_negative": [child("orders_orderitem", "unit_price = -1, line_total = -quantity")],
    "item_quantity_positive": [
        child("orders_orderitem", "quantity = 0, line_total = 0"),
        child("orders_orderitem", "quantity = -1, line_total = -unit_price"),
    ],
    "item_total_multiplies": [child("orders_orderitem", "line_total = line_total - 0.01")],
    "item_order_same_business": [
        child("orders_orderitem", "order_id = %(their_order)s, position = position + 10")
    ],
    "item_product_same_business": [child("orders_orderitem", "product_id = %(their_product)s")],
    "item_position_once": [child("orders_orderitem", "position = 1")],
    "event_actor_named": [event(version=99, actor="''::text")],
    "event_order_same_business": [event(version=99, order_id="%(their_order)s::uuid")],
    "event_once_per_version": [event()],
    "payment_kind_known": [payment(kind="'gift'::text")],
    "payment_amount_positive": [payment(amount=-1), payment(amount=0, kind="'refund'::text")],
    "payment_once": [payment()],
    "payment_order_same_business": [payment(reference="'TX-2'::text", order_id="%(their_order)s::uuid")],
    "shipment_can_be_tracked": [
        child("orders_shipment", "carrier = ''", "delivered"),
        child("orders_shipment", "tracking_number = ''", "delivered"),
    ],
    "shipment_delivered_after_shipped": [
        child("orders_shipment", "delivered_at = shipped_at - interval '1 second'", "delivered")
    ],
    "shipment_order_same_business": [child("orders_shipment", "order_id = %(their_order)s", "delivered")],
    "discrepancy_closed_when_over": [
        of_shop("orders_discrepancy", "closed_at = now()"),
        of_shop("orders_discrepancy", "status = 'gone'"),
        of_shop("orders_discrepancy", "status = 'lost', closed_at = now()"),
    ],
    "discrepancy_open_once": [copy("orders_discrepancy", "business_id = %(shop)s")],
    "bulk_run_confirmed_before_its_end": [of_shop("orders_bulkrun", "ended_at = now()")],
    "bulk_row_run_same_business": [of_shop("orders_bulkrow", "run_id = gen_random_uuid()")],
    "bulk_row_order_same_business": [of_shop("orders_bulkrow", "order_id = %(their_order)s")],
    "bulk_row_once": [copy("orders_bulkrow", "business_id = %(shop)s", position=2)],
    "payment_source_named_once": [copy("orders_paymentsource", "business_id = %(shop)s")],
    "paymentsource_rotated_since_its_first_secret": [
        of_shop("orders_paymentsource", "generation = 2"),
        of_shop("orders_paymentsource", "rotated_at = now()"),
    ],
    "notice_source_same_business": [of_shop("orders_paymentnotice", "source_id = gen_random_uuid()")],
    "notice_order_same_business": [of_shop("orders_paymentnotice", "order_id = %(their_order)s")],
    "notice_once": [copy("orders_paymentnotice", "business_id = %(shop)s")],
    "notice_outcome_known": [
        of_shop("orders_paymentnotice", "settled_at = NULL"),
        of_shop("orders_paymentnotice", "next_try_at = now()"),
        of_shop("orders_paymentnotice", "outcome = 'waiting'"),
        of_shop("orders_paymentnotice", "outcome = 'lost'"),
    ],
    "webhook_address_once": [copy("orders_webhookendpoint", "business_id = %(shop)s")],
    "webhookendpoint_rotated_since_its_first_secret": [
        of_shop("orders_webhookendpoint", "generation = 2"),
        of_shop("orders_webhookendpoint", "rotated_at = now()"),
    ],
    "webhook_order_same_business": [of_shop("orders_webhookdelivery", "order_id = %(their_order)s")],
    "webhook_waits_or_is_over": [
        of_shop("orders_webhookdelivery", "next_try_at = NULL"),
        of_shop("orders_webhookdelivery", "delivered_at = now()"),
        of_shop("orders_webhookdelivery", "given_up_at = now()"),
        of_shop("orders_webhookdelivery", "next_try_at = NULL, delivered_at = now(), given_up_at = now()"),
    ],
    "shipment_once_per_order": [copy("orders_shipment", "order_id = %(delivered)s")],
}

OURS = "^(catalog|customers|reservations|orders)_"
# Django's own: plain foreign keys, primary keys, positive integers. And UNIQUE (business_id, id), which the
# primary key implies, and which is there for foreign keys to refer to.
NOT_BROKEN_HERE = re.compile(r"_fk_|_pkey$|_check$|_of_business$")


def rows(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def run(sql, names=None):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, names)
        return cursor.rowcount


def refusal(sql, names):
    """The name of the law that refuses a statement; None, and nothing changed, if it would be accepted."""
    try:
        with transaction.atomic():
            assert run(sql, names)
            transaction.set_rollback(True)
    except IntegrityError as error:
        return violated_constraint(error)
    return None


@pytest.mark.parametrize("subject", sorted({law.split("_")[0] for law in LAWS}))
def test_law_refuses(world, subject):
    for law in (law for law in LAWS if law.split("_")[0] == subject):
        for statement in LAWS[law]:
            assert refusal(statement, world) == law, statement


def test_laws_are_all_here():
    constraints = rows(
        "SELECT conname FROM pg_constraint "
        f"WHERE conrelid::regclass::text ~ '{OURS}' AND contype IN ('c', 'u', 'f', 'x')"
    )
    indexes = rows(f"SELECT indexname FROM pg_indexes WHERE tablename ~ '{OURS}' AND indexdef ~ 'UNIQUE'")
    assert {name for (name,) in constraints + indexes if not NOT_BROKEN_HERE.search(name)} == set(LAWS)


# --- which payment fits which status, every pair ---------------------------------------------

FITS = {
    "draft": {"pending"},
    "pending": {"pending", "failed"},
    "paid": {"paid", "partially_refunded", "refunded"},
    "processing": {"paid", "partially_refunded", "refunded"},
    "shipped": {"paid", "partially_refunded", "refunded"},
    "delivered": {"paid", "partially_refunded", "refunded"},
    "cancelled": {"pending", "failed", "refund_due", "refunded"},
}


def accepts(world, status, payment):
    """Whether the table takes the paid order in this status with this payment; its other columns fit."""
    facts = {
        "status": status,
        "payment_status": payment,
        "payment_due_at": "now()" if status == "pending" else None,
        "cancelled_at": "now()" if status == "cancelled" else None,
        "cancel_reason": "x" if status == "cancelled" else "",
    }
    refused = refusal(order(", ".join(f"{column} = %({column})s" for column in facts), "paid"), world | facts)
    assert refused in (None, "order_status_fits_payment")
    return refused is None


@pytest.mark.parametrize("status", FITS)
def test_law_status_fits_payment(world, status):
    assert set(FITS) == set(Status.values)
    assert {payment for payment in PaymentStatus.values if accepts(world, status, payment)} == FITS[status]


# --- what happened can't be unsaid -----------------------------------------------------------

APPEND_ONLY = {
    "catalog_stockmovement": "reason",
    "catalog_auditentry": "title",
    "orders_orderevent": "actor",
    "orders_payment": "reference",
}


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize(
    "rewrite",
    [
        "UPDATE {table} SET {column} = 'nothing to see here'",
        "UPDATE {table} SET {column} = {column}",
        "DELETE FROM {table}",
        "TRUNCATE {table}",
    ],
)
def test_what_happened_cannot_be_rewritten(world, now, table, rewrite):
    """Failure 17: nobody can say who changed the stock. Nobody can unsay it, either."""
    shop = Business.objects.get(id=world["shop"])
    audit.record(business_id=shop.id, actor="person:ada", now=now, action="changed", subject=shop)
    run("SET CONSTRAINTS ALL IMMEDIATE")  # no table is truncated while its foreign keys wait to be checked
    with pytest.raises(IntegrityError, match="append-only"):
        run(rewrite.format(table=table, column=APPEND_ONLY[table]))


def test_what_happened_cannot_be_rewritten_with_what_it_happened_to(world):
    run("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(IntegrityError, match="append-only"):
        run("TRUNCATE orders_order CASCADE")


@pytest.mark.parametrize(
    ("model", "column"), [(StockMovement, "reason"), (OrderEvent, "actor"), (Payment, "reference")]
)
def test_what_happened_cannot_be_rewritten_by_the_orm(world, model, column):
    row = model.objects.filter(business=world["shop"]).first()
    setattr(row, column, "nothing to see here")
    for rewrite in (row.save, row.delete, model.objects.all().delete):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            rewrite()


# --- what has a history can't vanish ---------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "which"),
    [("orders_order", "pending"), ("customers_customer", "customer"), ("catalog_product", "their_product")],
)
def test_row_with_a_history_cannot_be_deleted(world, table, which):
    with pytest.raises(IntegrityError):
        run(f"DELETE FROM {table} WHERE id = %({which})s", world)


def test_oversold_by_hand_is_refused_by_the_database(shop):
    """Failure 1: two buyers get the last unit. Even with all of Python out of the way."""
    product(shop, stock=1)
    place(shop, ("MUG-01", 1))
    with pytest.raises(IntegrityError) as refused:
        run("UPDATE catalog_stock SET reserved_stock = reserved_stock + 1 WHERE business_id = %s", [shop.id])
    assert violated_constraint(refused.value) == "stock_never_oversold"
    assert on_shelf(shop) == (1, 1)
