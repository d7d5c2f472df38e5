"""The demo shop that `make run` shows."""

import json
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client

from callers import Caller
from catalog.channels import Channel
from catalog.digest import send_digest
from catalog.models import ApiKey, Business, Stock
from customers.models import Customer
from orders.lifecycle import PaymentStatus, Status
from orders.models import Order, OrderEvent
from orders.watching import watch
from orders_project.clock import database_now

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("seeded", "db", "all_is_well")]


def seed() -> dict:
    out = StringIO()
    call_command("seed_demo", "--format", "json", stdout=out)
    return json.loads(out.getvalue())


@pytest.fixture(scope="module")
def seeded(django_db_setup: None, django_db_blocker: Any) -> Iterator[dict]:
    """What a first seed printed. Each test is rolled back to here, and all of it after the last one."""
    with django_db_blocker.unblock(), transaction.atomic():
        way_in = seed()
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")  # else what asks for these rows is planned as if there were none
        yield way_in
        transaction.set_rollback(True)


def test_seed_makes_a_believable_shop(seeded):
    way_in = seeded
    shop = Business.objects.get(id=way_in["business_id"], slug="demo")
    orders = Order.objects.filter(business=shop)
    assert shop.products.count() == 60
    assert shop.customers.count() == 200
    assert orders.count() > 350
    assert set(orders.values_list("status", flat=True)) == set(Status)
    assert set(orders.values_list("payment_status", flat=True)) == set(PaymentStatus)
    assert set(orders.values_list("channel", flat=True)) == set(Channel)
    happened = Counter(OrderEvent.objects.filter(business=shop).values_list("kind", flat=True))
    assert {"expired", "paid_late", "refund_due", "payment_failed"} <= set(happened)
    left = [shelf.available for shelf in Stock.objects.filter(business=shop)]
    assert left.count(0) >= 3
    assert sum(1 for units in left if 0 < units <= shop.low_stock_default) >= 5
    assert Caller(key=way_in["api_key"]).get("/products?sku=MUG-01").json()["results"][0]["available"] > 0
    assert Client().post("/admin/login/", way_in["admin"]).status_code == 302


def test_seed_owner_gets_mails_where_they_are_files(settings, seeded):
    settings.LOCAL = True
    shop = Business.objects.get(id=seeded["business_id"])
    watch(business_id=shop.id, now=database_now())
    assert send_digest(business_id=shop.id, now=database_now()) > 0
    [sent] = mail.outbox
    assert (sent.to, sent.subject.startswith("Harbour & Hearth: ")) == (["demo@localhost"], True)


def test_seed_twice_adds_nothing_and_says_the_same(seeded):
    counts = [model.objects.count() for model in (Order, OrderEvent, Customer, ApiKey)]
    assert seed() == seeded
    assert [model.objects.count() for model in (Order, OrderEvent, Customer, ApiKey)] == counts


def test_seed_with_another_secret_makes_what_it_prints_work(settings, seeded):
    settings.SECRET_KEY = "another-" * 8
    second = seed()
    assert second["api_key"] != seeded["api_key"]
    assert Caller(key=second["api_key"]).get("/orders").status_code == 200
    assert Caller(key=seeded["api_key"]).get("/orders").status_code == 401
    assert Client().post("/admin/login/", second["admin"]).status_code == 302


def test_rebuild_customers_after_seed_changes_nothing():
    before = list(Customer.objects.order_by("id").values())
    call_command("rebuild_customers", stdout=StringIO())
    assert list(Customer.objects.order_by("id").values()) == before


def test_seed_refuses_production_unless_told(settings):
    Business.objects.filter(slug="demo").update(slug="not-the-demo")
    settings.LOCAL = settings.DEBUG = False
    with pytest.raises(CommandError, match="--force"):
        seed()
    assert not Business.objects.filter(slug="demo").exists()
