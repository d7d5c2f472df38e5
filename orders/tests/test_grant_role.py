"""The role that the application works as: it can do all that Holdfast does, and unsay nothing."""

from collections.abc import Iterator
from decimal import Decimal
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from psycopg.sql import SQL, Identifier

from catalog.services import Count, adjust_stock, count_stock, edit_products, receive_stock
from customers.services import Buyer
from factories import ACTOR, BusinessFactory, api_key, on_shelf, order_in, pay, place, product, verb
from orders import tasks
from orders.invariants import findings
from orders.services import Edit, Line, expire_due, merge_customers
from orders.stats import rebuild
from orders_project.clock import database_now
from orders_project.transactions import sqlstate

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed")]

INSUFFICIENT_PRIVILEGE = "42501"


def connect_as(user: str) -> None:
    """Work with connections of another role from now on."""
    connection.close()
    connection.close_pool()
    connection.settings_dict["USER"] = user


def run(sql: str, role: str = "") -> None:
    with connection.cursor() as cursor:
        cursor.execute(SQL(sql).format(role=Identifier(role)) if role else sql)


@pytest.fixture
def role(committed: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A role with the application's grants, which is gone in the end."""
    monkeypatch.setenv("ROLE_PASSWORD", "sesame")
    name = f"app_{uuid4().hex[:12]}"
    call_command("grant_role", name)
    yield name
    run("DROP OWNED BY {role}", name)
    run("DROP ROLE {role}", name)


@pytest.fixture
def as_role(role: str) -> Iterator[None]:
    """The test works as this role."""
    owner = connection.settings_dict["USER"]
    connect_as(role)
    yield
    connect_as(owner)


@pytest.mark.usefixtures("as_role", "all_is_well")
def test_role_can_do_all_that_holdfast_does() -> None:
    now = database_now()
    shop = BusinessFactory()
    mug = product(shop, stock=100)
    key = {"business_id": shop.id, "actor": ACTOR, "now": now}
    edit_products(business=shop, edits={mug.id: {"price": Decimal(9)}}, actor=ACTOR, now=now)
    receive_stock(**key, product_id=mug.id, quantity=5)
    adjust_stock(**key, product_id=mug.id, delta=-2, reason="broken")
    count_stock(**key, counts={mug.id: Count(104, 103)}, reason="counted")
    api_key(shop)
    for status in ("draft", "pending", "delivered", "cancelled"):
        order_in(shop, status)
    paid = order_in(shop, "paid")
    verb("cancel", paid, reason="broken")
    verb("record_refund", paid, provider="bank", reference="R-1", amount=paid.total)
    ada, bob = (
        place(shop, ("MUG-01", 1), now=now, buyer=Buyer(name=name, phone=phone))
        for name, phone in (("Ada", "+447700900123"), ("Bob", "+447700900124"))
    )
    merge_customers(**key, kept_id=ada.customer_id, merged_id=bob.customer_id)
    ada = verb("edit", ada, change=Edit(lines=(Line("MUG-01", 3),)), now=now)
    expire_due(business_id=shop.id, now=ada.payment_due_at)
    assert pay(ada, now=ada.payment_due_at).status == "paid"
    tasks.reconcile_stock()
    tasks.free_stuck_reservations()
    tasks.clean_up()
    rebuild(business_id=shop.id)
    assert on_shelf(shop)[0] == 104 - 2 - 3
    assert findings(business_id=shop.id) == []


@pytest.mark.parametrize(
    "table", ["catalog_stockmovement", "catalog_auditentry", "orders_orderevent", "orders_payment"]
)
@pytest.mark.parametrize(
    "rewrite",
    [
        "UPDATE {table} SET business_id = business_id",
        "DELETE FROM {table}",
        "TRUNCATE {table}",
        "ALTER TABLE {table} DISABLE TRIGGER USER",
        "DROP TABLE {table}",
    ],
)
def test_role_cannot_unsay_anything(as_role: None, table: str, rewrite: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        run(rewrite.format(table=table))
    assert sqlstate(refused.value) == INSUFFICIENT_PRIVILEGE


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id integer)",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "ALTER TABLE catalog_stock DROP CONSTRAINT stock_never_oversold",
        "DROP TRIGGER movement_never_changed ON catalog_stockmovement",
        "DROP FUNCTION catalog_ledger_is_append_only CASCADE",
        "SET session_replication_role = replica",
        "UPDATE django_migrations SET name = name",
        "COPY catalog_product TO PROGRAM 'cat'",
    ],
)
def test_role_cannot_change_the_rules(as_role: None, statement: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        run(statement)
    assert sqlstate(refused.value) == INSUFFICIENT_PRIVILEGE


def test_role_gets_a_password(role: str) -> None:
    """Of which the server only ever sees a hash; a second time it is given the same as the first."""
    call_command("grant_role", role)
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [role])
        assert cursor.fetchone()[0].startswith("SCRAM-SHA-256$")


def test_role_that_may_do_more_is_refused() -> None:
    with pytest.raises(CommandError, match="Choose another role"):
        call_command("grant_role", connection.settings_dict["USER"])
