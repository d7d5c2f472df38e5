"""What customers have been worth: the counters after every verb, the score, and counting anew."""

import math
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command

from customers.models import Customer
from customers.services import Buyer, rescore, rescore_everyone, scoring
from customers.tasks import rescore_customers
from factories import BusinessFactory, pay, place, product, verb
from orders import services

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

DAY = timedelta(days=1)
ADA = Buyer(name="Ada", phone="+447700900123")


@pytest.fixture
def goods(shop):
    return product(shop, stock=1000, price="10.00")


@pytest.fixture
def order(shop, goods):
    """A new order of Ada's of so many mugs at ten pounds, every time it is called."""

    def place_one(quantity, **more):
        return place(shop, ("MUG-01", quantity), buyer=ADA, **more)

    return place_one


def counters(shop):
    ada = Customer.objects.get(business=shop, phone=ADA.phone)
    return ada.total_orders, ada.total_spent, ada.last_paid_at


def refund(order, amount, reference):
    return verb("record_refund", order, provider="bank", reference=reference, amount=Decimal(amount))


# --- counters --------------------------------------------------------------------------------


def test_counters_count_what_was_paid(shop, order, now):
    order(1, draft=True)
    order(2)
    assert counters(shop) == (0, 0, None)
    pay(order(3), now=now)
    pay(order(4), now=now + DAY)
    assert counters(shop) == (2, Decimal(70), now + DAY)
    pay(order(5), now=now - DAY)  # a payment that is told of late is not the last one
    assert counters(shop) == (3, Decimal(120), now + DAY)


def test_counters_of_a_payment_told_twice(shop, order, now):
    paid = order(3)
    for _ in range(3):
        pay(paid, now=now)
    assert counters(shop) == (1, Decimal(30), now)


def test_counters_after_a_paid_order_is_cancelled(shop, order, now):
    """Failure 15: lifetime value wrong: cancelled counted, refunds subtracted twice."""
    pay(order(1), now=now)
    called_off = pay(order(5), now=now + DAY)
    for _ in range(2):
        verb("cancel", called_off, reason="broken")
        assert counters(shop) == (1, Decimal(10), now)
    refund(called_off, "20.00", "R-1")
    refund(called_off, "30.00", "R-2")
    assert counters(shop) == (1, Decimal(10), now)


def test_counters_after_a_pending_order_is_cancelled_or_expires(shop, order, now):
    pay(order(1), now=now)
    verb("cancel", order(2), reason="changed their mind")
    order(3)
    services.expire_due(business_id=shop.id, now=now + DAY)
    assert counters(shop) == (1, Decimal(10), now)


def test_counters_after_refunds(shop, order, now):
    """Failure 15: lifetime value wrong: refunds subtracted twice."""
    paid = pay(order(5), now=now)
    for _ in range(2):
        refund(paid, "20.00", "R-1")
        assert counters(shop) == (1, Decimal(30), now)
    refund(paid, "30.00", "R-2")
    assert counters(shop) == (0, 0, None)


def test_counters_of_late_money(shop, order, now):
    lives_on, gone = order(2, now=now), order(3, now=now)
    services.expire_due(business_id=shop.id, now=now + DAY)
    verb("cancel", gone, reason="x")
    pay(lives_on, now=now + DAY)
    called_off = verb("cancel", order(4), reason="changed their mind")
    pay(called_off, now=now + DAY)  # owed back, so not kept
    assert counters(shop) == (1, Decimal(20), now + DAY)


def test_counters_of_one_batch_of_payments(shop, order, goods, now):
    other = place(shop, ("MUG-01", 1), buyer=Buyer(name="Bob", phone="+447700900456"))
    orders = [order(1), order(2), other]
    receipts = [services.Receipt(each.id, "bank", each.number, each.total) for each in orders]
    services.confirm_payments(business_id=shop.id, receipts=receipts, actor="job:import", now=now)
    assert counters(shop) == (2, Decimal(30), now)
    other.customer.refresh_from_db()
    assert other.customer.total_spent == 10


# --- the engagement score --------------------------------------------------------------------


def documented_score(*, orders, spent, loyal_spend, last_paid, today):
    """Recency 40, halved every 90 days of silence; frequency 30, half at three orders; money 30, half at
    what the shop calls a good customer's spending. Nothing for who never bought."""
    if orders == 0:
        return 0
    recency = 40 * math.pow(0.5, max((today - last_paid).days, 0) / 90)
    frequency = 30 * (1 - math.pow(0.5, orders / 3))
    monetary = 30 * (1 - math.pow(0.5, float(spent) / float(loyal_spend)))
    return round(recency + frequency + monetary)


def score(customer):
    customer.refresh_from_db()
    return customer.engagement_score


def test_engagement_score_of_a_first_order():
    """By hand: 40 for today, 30 x (1 - 0.5^(1/3)) = 6.19, 30 x (1 - 0.5^(10/200)) = 1.02: 47."""
    shop = BusinessFactory()
    product(shop, price="10.00")
    paid = pay(place(shop, ("MUG-01", 1)))
    assert score(paid.customer) == 47


def test_engagement_score_by_the_documented_formula(now):
    """Five hundred customers of every kind, against plain Python."""
    chance = random.Random(20261123)
    shop = BusinessFactory(loyal_spend=Decimal(350))
    now = now.replace(hour=12)
    customers = Customer.objects.bulk_create(
        Customer(
            business=shop,
            name=f"Customer {number}",
            created_at=now,
            total_orders=(orders := chance.choice([0, 1, 2, 3, 10, chance.randint(1, 5000)])),
            total_spent=chance.choice([0, 350, chance.randint(1, 10**7)]) if orders else 0,
            last_paid_at=now - chance.random() * chance.choice([1, 90, 900, 90000]) * DAY if orders else None,
        )
        for number in range(500)
    )
    rescore(customer_ids=[customer.id for customer in customers], now=now)
    scores = {customer.id: customer.engagement_score for customer in Customer.objects.filter(business=shop)}
    for customer in customers:
        assert scores[customer.id] == documented_score(
            orders=customer.total_orders,
            spent=customer.total_spent,
            loyal_spend=350,
            last_paid=customer.last_paid_at and customer.last_paid_at.date(),
            today=now.date(),
        )
    assert min(scores.values()) == 0
    assert max(scores.values()) == 100
    Customer.objects.filter(business=shop).delete()  # their counters were made up


def test_engagement_score_is_true_all_day_long(order, now):
    """The days are UTC's, so that a sale at night and a job in the morning agree."""
    paid_at = datetime(now.year + 1, 3, 1, 23, 59, tzinfo=UTC)
    paid = pay(order(20), now=paid_at)
    scores = []
    for hour in range(0, 60, 4):
        at = datetime(now.year + 1, 3, 1, tzinfo=UTC) + timedelta(hours=hour)
        rescore(customer_ids=[paid.customer_id], now=at)
        days = (at.date() - date(now.year + 1, 3, 1)).days
        assert (days, score(paid.customer)) == (
            days,
            documented_score(
                orders=1, spent=200, loyal_spend=200, last_paid=date(now.year + 1, 3, 1), today=at.date()
            ),
        )
        scores.append(days)
    assert set(scores) == {0, 1, 2}


def test_engagement_score_fades_in_silence(order, now):
    paid = pay(order(20), now=now)  # 40 + 6.19 + 15
    seen = [score(paid.customer)]
    for days in (90, 180, 36500):
        rescore_everyone(now=now + days * DAY)
        seen.append(score(paid.customer))
    assert seen == [61, 41, 31, 21]
    rescore_everyone(now=now)


def test_engagement_score_of_everyone_batch_by_batch(shop, goods, now, monkeypatch):
    monkeypatch.setattr(scoring, "RESCORE_BATCH", 2)
    for _ in range(5):
        pay(place(shop, ("MUG-01", 20)), now=now)
    rescore_everyone(now=now + 90 * DAY)
    assert set(Customer.objects.filter(business=shop).values_list("engagement_score", flat=True)) == {41}
    assert rescore_everyone(now=now + 90 * DAY) == 0
    rescore_everyone(now=now)
    assert rescore_customers() == 0  # the job, by the database's own clock


def test_engagement_score_moves_with_every_verb(shop, order, now):
    paid = pay(order(20), now=now)
    assert score(paid.customer) == 61
    refund(paid, "100.00", "R-1")
    assert score(paid.customer) == documented_score(
        orders=1, spent=100, loyal_spend=200, last_paid=now.date(), today=now.date()
    )
    verb("cancel", paid, reason="broken")
    assert score(paid.customer) == 0


# --- rebuild_customers -----------------------------------------------------------------------


def test_rebuild_customers_changes_nothing_of_what_the_verbs_counted(shop, order):
    pay(order(1))
    verb("cancel", pay(order(2)), reason="broken")
    refund(pay(order(3)), "10.00", "R-1")
    refund(pay(order(4)), "40.00", "R-2")
    verb("cancel", order(5), reason="changed their mind")
    before = list(Customer.objects.filter(business=shop).order_by("id").values())
    call_command("rebuild_customers", verbosity=0)
    assert list(Customer.objects.filter(business=shop).order_by("id").values()) == before


def test_rebuild_customers_repairs_what_drifted(shop, order, now):
    pay(order(2), now=now)
    right = Customer.objects.values().get(business=shop)
    Customer.objects.filter(business=shop).update(
        total_orders=9, total_spent=9, last_paid_at=None, engagement_score=9
    )
    call_command("rebuild_customers", verbosity=0)
    assert Customer.objects.values().get(business=shop) == right
