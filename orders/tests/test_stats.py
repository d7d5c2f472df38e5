"""The shop's figures, against a second calculation of the same rows, written from the definitions.

The definitions are the docstring of orders/stats.py; nothing here is taken from its code.
"""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from callers import Caller, refused
from catalog.models import Business
from catalog.places import TIME_ZONES
from catalog.services import adjust_stock
from factories import ACTOR, BusinessFactory, order_in, pay, place, product, verb
from orders.invariants import findings
from orders.models import DailySales, Order, Payment
from orders.services import expire_due
from orders.stats import shop_stats

LONDON, NEW_YORK = "Europe/London", "America/New_York"

# Both clocks go back within these two months: London's on 25 October 2026, New York's on 1 November.
BEGIN, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)
CHANNELS = ("whatsapp", "instagram", "website")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


# --- A history -------------------------------------------------------------------------------------


def some_instant(chance: random.Random) -> datetime:
    """Anywhere in the two months, often within a second of somebody's midnight."""
    at = BEGIN + chance.random() * (END - BEGIN)
    if chance.random() < 0.5:
        zone = ZoneInfo(chance.choice([LONDON, NEW_YORK, "UTC"]))
        midnight = datetime.combine(at.astimezone(zone).date(), datetime.min.time(), zone)
        at = midnight.astimezone(UTC) + chance.choice([-1, 0, 1]) * timedelta(
            microseconds=chance.choice([1, 10**6])
        )
    return at


def refund(order, amount, now):
    count = Payment.objects.filter(order=order).count()
    return verb(
        "record_refund", order, provider="bank", reference=f"{order.number}-{count}", amount=amount, now=now
    )


def live(shop: Business, chance: random.Random) -> None:
    """One order, from its beginning to one of its ends, with some time between its steps."""
    at = some_instant(chance)

    def later(least=MINUTE, most=14 * DAY):
        nonlocal at
        at += least + chance.random() * (most - least)
        return at

    def in_time():
        return later(MINUTE / 60, 14 * MINUTE)

    def too_late():
        expire_due(business_id=shop.id, now=later(16 * MINUTE, 40 * MINUTE))
        return later()

    channel, lines = chance.choice(CHANNELS), [(chance.choice(["MUG-01", "CUP-01"]), chance.randint(1, 3))]
    end = chance.choice(list(ENDS))
    if "sell to another" in ENDS[end]:
        lines = [("LAST-01", 1)]
    draft = end == "draft" or chance.random() < 0.1
    order = place(shop, *lines, channel=channel, now=at, draft=draft)
    if end == "draft":
        if chance.random() < 0.5:
            verb("cancel", order, reason="not after all", now=later())
        return
    if draft:
        order = verb("submit", order, now=later())
    part = (order.total / 3).quantize(Decimal("0.01"))
    for step in ENDS[end]:
        match step:
            case "pay":
                order = pay(order, now=in_time())
            case "wait":
                too_late()
            case "pay late":
                order = pay(order, now=later())
            case "fail":
                verb("record_failed_payment", order, release=True, reason="declined", now=in_time())
            case "cancel":
                verb(
                    "cancel",
                    order,
                    reason="changed their mind",
                    now=in_time() if order.paid_at is None else later(),
                )
            case "refund a part":
                refund(order, part, later())
            case "refund the rest":
                paid, back = (
                    order.total,
                    sum(order.payments.filter(kind="refund").values_list("amount", flat=True)),
                )
                refund(order, paid - back, later())
            case "deliver":
                verb("start_processing", order, now=later())
                verb("ship", order, carrier="Royal Mail", tracking_number="RM1", now=later())
                verb("deliver", order, now=later())
            case "sell to another":
                other = place(shop, ("LAST-01", 1), channel=channel, now=later())
                pay(other, now=in_time())
                order = pay(order, now=later())
                assert order.payment_status == "refund_due"
                last = shop.products.get(sku="LAST-01")
                adjust_stock(
                    business_id=shop.id, product_id=last.id, delta=1, reason="one more", actor=ACTOR, now=later()
                )


ENDS = {
    "draft": (),
    "expired": ("wait",),
    "called off": ("cancel",),
    "called off, paid nevertheless": ("cancel", "pay late"),
    "failed": ("fail",),
    "failed, then paid": ("fail", "pay late"),
    "paid": ("pay",),
    "delivered": ("pay", "deliver"),
    "delivered, some back": ("pay", "deliver", "refund a part", "refund a part"),
    "all back": ("pay", "refund a part", "refund the rest"),
    "cancelled": ("pay", "cancel"),
    "cancelled and paid back": ("pay", "cancel", "refund a part", "refund the rest"),
    "some back, then cancelled": ("pay", "refund a part", "cancel"),
    "some back, cancelled, the rest back": ("pay", "refund a part", "cancel", "refund the rest"),
    "all back, then cancelled": ("pay", "refund the rest", "cancel"),
    "paid late": ("wait", "pay late"),
    "paid late, cancelled": ("wait", "pay late", "cancel", "refund a part"),
    "sold out meanwhile": ("wait", "sell to another"),
    "sold out meanwhile, paid back": ("wait", "sell to another", "refund the rest"),
}


@pytest.fixture(scope="module")
def history(django_db_setup, django_db_blocker) -> Business:
    """A shop that changed its currency half way; its rows stay, so that every test reads the same."""
    chance = random.Random(20261025)
    with django_db_blocker.unblock():
        shop = BusinessFactory(time_zone=LONDON, duplicate_window_seconds=0)
        early = BEGIN - DAY
        product(shop, "MUG-01", stock=10_000, price="9.90", now=early)
        product(shop, "CUP-01", stock=10_000, price="4.35", now=early)
        product(shop, "LAST-01", stock=1, price="20.00", now=early)
        for n in range(84):
            if n == 56:
                shop.currency = "EUR"
                shop.save(update_fields=["currency"])
            live(shop, chance)
        assert findings() == []
        connection.close()
    return shop


# --- The second calculation ------------------------------------------------------------------------


@dataclass
class Sums:
    gross: Decimal = Decimal(0)
    refunded: Decimal = Decimal(0)
    orders: int = 0
    placed: int = 0
    paid_since: int = 0
    timed_out: int = 0

    def shown(self) -> dict:
        cent = Decimal("0.01")
        return {
            "gross": str(self.gross.quantize(cent)),
            "refunded": str(self.refunded.quantize(cent)),
            "net": str((self.gross - self.refunded).quantize(cent)),
            "orders": self.orders,
            "aov": str((self.gross / self.orders).quantize(cent, ROUND_HALF_EVEN)) if self.orders else None,
            "placed": self.placed,
            "conversion": round(self.paid_since / self.placed, 4) if self.placed else None,
            "expiry_rate": round(self.timed_out / self.placed, 4) if self.placed else None,
        }


@dataclass
class Book:
    """One currency's figures."""

    total: Sums = field(default_factory=Sums)
    by_channel: defaultdict = field(default_factory=lambda: defaultdict(Sums))
    by_interval: defaultdict = field(default_factory=lambda: defaultdict(Sums))
    by_status: Counter = field(default_factory=Counter)


def interval_start(day: date, interval: str) -> date:
    return {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}[interval]


def expected(shop: Business, first: date, last: date, tz: str, interval: str) -> dict[str, Book]:
    """Every figure by its definition, one order after the other."""
    zone = ZoneInfo(tz)
    books: defaultdict[str, Book] = defaultdict(Book)

    def enter(order, at, **amounts):
        day = at.astimezone(zone).date()
        if first <= day <= last:
            book = books[order.currency]
            for sums in (
                book.total,
                book.by_channel[order.channel],
                book.by_interval[interval_start(day, interval)],
            ):
                for name, amount in amounts.items():
                    setattr(sums, name, getattr(sums, name) + amount)
            if "placed" in amounts:
                book.by_status[order.status] += 1

    for order in Order.objects.filter(business=shop).prefetch_related("payments"):
        was_sold = order.paid_at is not None
        timed_out = order.status == "cancelled" and order.cancel_reason == "payment_timeout"
        if order.placed_at:
            enter(order, order.placed_at, placed=1, paid_since=int(was_sold), timed_out=int(timed_out))
        if not was_sold:
            continue  # money without goods is no sale
        kept = Decimal(0)
        for payment in sorted(order.payments.all(), key=lambda payment: payment.at):
            cancelled = order.cancelled_at is not None and payment.at >= order.cancelled_at
            if payment.kind == "capture":
                kept += payment.amount
                enter(order, payment.at, gross=payment.amount, orders=1)
            elif not cancelled:
                kept -= payment.amount
                enter(order, payment.at, refunded=payment.amount)
        if order.cancelled_at is not None:
            enter(order, order.cancelled_at, refunded=kept)
    return dict(books)


def starts(first: date, last: date, interval: str) -> list[date]:
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return list(dict.fromkeys(interval_start(day, interval) for day in days))


RANGES = [
    (date(2026, 10, 1), date(2026, 12, 31)),
    (date(2026, 10, 25), date(2026, 10, 25)),  # London's day of 25 hours
    (date(2026, 11, 1), date(2026, 11, 1)),  # New York's
    (date(2026, 10, 14), date(2026, 11, 5)),  # cuts weeks and months
]
KEYS = ("gross", "refunded", "net", "orders", "aov", "placed", "conversion", "expiry_rate")


def figures(part):
    return {name: part[name] for name in KEYS}


@pytest.mark.slow
@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("interval", ["day", "week", "month"])
@pytest.mark.parametrize("tz", [LONDON, NEW_YORK, "UTC", "Asia/Kolkata", "Pacific/Kiritimati"])
def test_stats_are_what_a_second_calculation_says(history, tz, interval):
    for first, last in RANGES:
        stats = shop_stats(business=history, first=first, last=last, tz=tz, interval=interval)
        books = expected(history, first, last, tz, interval)
        assert [part["currency"] for part in stats["currencies"]] == sorted(books.keys() | {"EUR"})
        for part in stats["currencies"]:
            book = books.get(part["currency"], Book())
            assert figures(part) == book.total.shown()
            assert {each["channel"]: figures(each) for each in part["by_channel"]} == {
                channel: sums.shown() for channel, sums in book.by_channel.items()
            }
            assert [each["start"] for each in part["by_interval"]] == starts(first, last, interval)
            for each in part["by_interval"]:
                assert figures(each) == book.by_interval[each["start"]].shown(), (each, first, last)
            assert {status: count for status, count in part["by_status"].items() if count} == book.by_status
            assert "draft" not in part["by_status"]


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("interval", ["day", "week", "month"])
def test_stats_of_the_parts_add_up_to_the_whole(history, interval):
    first, last = RANGES[0]
    stats = shop_stats(business=history, first=first, last=last, tz=LONDON, interval=interval)
    assert {part["currency"] for part in stats["currencies"]} == {"GBP", "EUR"}
    for whole in stats["currencies"]:
        assert whole["orders"] > 10
        assert sum(whole["by_status"].values()) == whole["placed"]
        for parts in (whole["by_interval"], whole["by_channel"]):
            for name in ("orders", "placed"):
                assert sum(part[name] for part in parts) == whole[name]
            for name in ("gross", "refunded", "net"):
                assert sum(Decimal(part[name]) for part in parts) == Decimal(whole[name])


@pytest.mark.usefixtures("db")
def test_stats_history_has_every_kind_of_end(history):
    """The comparison above is worth what the history holds."""
    kinds = Counter(Order.objects.filter(business=history).values_list("status", "payment_status"))
    assert len(kinds) >= 9
    late = Order.objects.filter(business=history, payment_status="refund_due", paid_at=None)
    assert late.filter(cancel_reason="payment_timeout").exists()
    assert Payment.objects.filter(business=history, kind="refund").count() > 20
    assert {currency for (currency,) in Order.objects.filter(business=history).values_list("currency")} == {
        "GBP",
        "EUR",
    }


# --- One thing at a time ---------------------------------------------------------------------------

pytest_one = pytest.mark.usefixtures("db", "all_is_well")
NOON = datetime(2026, 10, 20, 12, tzinfo=UTC)


def total(shop, first=date(2026, 10, 1), last=date(2026, 11, 30), **more):
    [part] = shop_stats(business=shop, first=first, last=last, tz="UTC", interval="day", **more)["currencies"]
    return part


@pytest.fixture
def mug(shop):
    return product(shop, price="10.00", now=NOON - DAY)


@pytest_one
def test_stats_of_nothing_are_dashes_and_zeros(shop):
    part = total(shop)
    assert figures(part) == {
        "gross": "0.00",
        "refunded": "0.00",
        "net": "0.00",
        "orders": 0,
        "aov": None,
        "placed": 0,
        "conversion": None,
        "expiry_rate": None,
    }
    assert set(part["by_status"].values()) == {0}
    assert part["by_channel"] == []
    assert len(part["by_interval"]) == 61
    assert figures(part["by_interval"][30]) == figures(part)


@pytest_one
def test_stats_of_an_order_cancelled_after_a_part_went_back_subtract_each_pound_once(shop, mug):
    order = pay(place(shop, ("MUG-01", 3), now=NOON), now=NOON + MINUTE)
    refund(order, Decimal(12), NOON + DAY)
    assert (total(shop)["refunded"], total(shop)["net"]) == ("12.00", "18.00")
    verb("cancel", order, reason="x", now=NOON + 2 * DAY)
    part = total(shop)
    assert (part["gross"], part["refunded"], part["net"]) == ("30.00", "30.00", "0.00")
    by_day = {each["start"].day: each["refunded"] for each in part["by_interval"] if each["refunded"] != "0.00"}
    assert by_day == {21: "12.00", 22: "18.00"}
    refund(order, Decimal(18), NOON + 9 * DAY)
    assert figures(total(shop)) == figures(part)


@pytest_one
def test_stats_of_a_cancelled_order_count_what_went_back_afterwards_on_the_day_it_was_cancelled(shop, mug):
    order = pay(place(shop, ("MUG-01", 3), now=NOON), now=NOON + MINUTE)
    verb("cancel", order, reason="x", now=NOON + 2 * DAY)
    refund(order, Decimal(12), NOON + 3 * DAY)
    by_day = {each["start"]: each["refunded"] for each in total(shop)["by_interval"]}
    assert (by_day[date(2026, 10, 22)], by_day[date(2026, 10, 23)]) == ("30.00", "0.00")
    assert total(shop)["refunded"] == "30.00"


@pytest_one
def test_stats_do_not_count_money_whose_goods_were_gone(shop):
    product(shop, stock=1, price="10.00", now=NOON - DAY)
    late = place(shop, ("MUG-01", 1), now=NOON)
    expire_due(business_id=shop.id, now=NOON + 20 * MINUTE)
    pay(place(shop, ("MUG-01", 1), now=NOON + HOUR), now=NOON + HOUR + MINUTE)
    assert pay(late, now=NOON + 2 * HOUR).payment_status == "refund_due"
    part = total(shop)
    assert (part["gross"], part["refunded"], part["orders"], part["placed"]) == ("10.00", "0.00", 1, 2)
    assert (part["conversion"], part["expiry_rate"]) == (0.5, 0.5)
    refund(late, Decimal(10), NOON + DAY)
    assert figures(total(shop)) == figures(part)


@pytest_one
def test_stats_count_late_money_that_still_got_its_goods_on_the_day_it_came(shop, mug):
    order = place(shop, ("MUG-01", 1), now=NOON)
    expire_due(business_id=shop.id, now=NOON + 20 * MINUTE)
    assert total(shop)["expiry_rate"] == 1.0
    pay(order, now=NOON + DAY)
    part = total(shop)
    assert (part["gross"], part["conversion"], part["expiry_rate"]) == ("10.00", 1.0, 0.0)
    assert [each["start"].day for each in part["by_interval"] if each["orders"]] == [21]
    assert [each["start"].day for each in part["by_interval"] if each["placed"]] == [20]
    paid_later = total(shop, last=date(2026, 10, 20))
    assert (paid_later["gross"], paid_later["conversion"]) == ("0.00", 1.0)


@pytest_one
@pytest.mark.parametrize(
    ("at", "tz", "day"),
    [
        ("2026-10-24T22:59:59Z", LONDON, "2026-10-24"),
        ("2026-10-24T23:00:00Z", LONDON, "2026-10-25"),  # summer time still
        ("2026-10-25T23:59:59Z", LONDON, "2026-10-25"),  # no longer
        ("2026-10-26T00:00:00Z", LONDON, "2026-10-26"),
        ("2026-11-01T03:59:59Z", NEW_YORK, "2026-10-31"),
        ("2026-11-01T04:00:00Z", NEW_YORK, "2026-11-01"),
        ("2026-11-02T04:59:59Z", NEW_YORK, "2026-11-01"),
        ("2026-11-02T05:00:00Z", NEW_YORK, "2026-11-02"),
    ],
)
def test_stats_count_an_order_on_the_day_of_the_zone(shop, at, tz, day):
    product(shop, now=datetime.fromisoformat(at) - DAY)
    order = place(shop, ("MUG-01", 1), now=datetime.fromisoformat(at))
    pay(order, now=datetime.fromisoformat(at))
    first = date.fromisoformat(day)
    [part] = shop_stats(business=shop, first=first, last=first, tz=tz, interval="day")["currencies"]
    assert (part["placed"], part["orders"]) == (1, 1)
    for other in (first - DAY, first + DAY):
        [part] = shop_stats(business=shop, first=other, last=other, tz=tz, interval="day")["currencies"]
        assert (part["placed"], part["orders"]) == (0, 0)


# --- Over the API ----------------------------------------------------------------------------------


@pytest_one
def test_stats_over_the_api(shop, api, mug):
    order_in(shop, "paid")
    body = api.get(f"/orders/stats/{shop.id}?from=2026-11-01&interval=month&tz=Asia/Tokyo").json()
    assert set(body) == {"business", "from", "to", "tz", "interval", "currencies"}
    assert (body["business"], body["from"], body["tz"], body["interval"]) == (
        *(str(shop.id), "2026-11-01", "Asia/Tokyo", "month"),
    )
    [part] = body["currencies"]
    assert set(part) == {*KEYS, "currency", "by_status", "by_channel", "by_interval"}
    assert (part["gross"], part["aov"], part["conversion"]) == ("20.00", "20.00", 1.0)
    assert part["by_channel"] == [{"channel": "whatsapp", **figures(part)}]
    assert {each["start"][-2:] for each in part["by_interval"]} == {"01"}
    assert set(part["by_interval"][0]) == {*KEYS, "start"}


@pytest_one
def test_stats_are_of_thirty_days_until_today_in_the_zone_of_the_shop(api, shop, now):
    type(shop).objects.filter(id=shop.id).update(time_zone="Pacific/Kiritimati")
    body = api.get(f"/orders/stats/{shop.id}").json()
    today = now.astimezone(ZoneInfo("Pacific/Kiritimati")).date()
    assert (body["tz"], body["interval"]) == ("Pacific/Kiritimati", "day")
    assert body["to"] in (today.isoformat(), (today + DAY).isoformat())
    assert date.fromisoformat(body["to"]) - date.fromisoformat(body["from"]) == 30 * DAY
    assert len(body["currencies"][0]["by_interval"]) == 31


@pytest_one
def test_stats_of_another_shop_are_not_found(shop, api):
    theirs = BusinessFactory()
    for business_id in (theirs.id, "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"):
        refused(api.get(f"/orders/stats/{business_id}"), 404, "not_found")
    assert Caller(theirs).get(f"/orders/stats/{theirs.id}").status_code == 200
    refused(api.get("/orders/stats/x"), 404, "not_found")


NO_PARAMETERS = {
    "from": [
        "",
        "x",
        "2026-13-01",
        "2026-02-30",
        "0001-01-01",
        "9999-12-31",
        "2026-11-23T00:00:00Z",
        "1e9",
        "%00",
        "-1",
    ],
    "to": ["", "tomorrow", "1969-12-31", "2201-01-01", "99999-01-01", "%ff", "２０２６-11-23"],
    "tz": [
        "",
        "London",
        "europe/london",
        "GMT+25",
        "+01:00",
        "../../etc/passwd",
        "%00",
        "x" * 9000,
        "UTC;DROP",
        "localtime",
    ],
    "interval": ["", "year", "DAY", "hour", "1", "day,week", "%00"],
    "from=2026-11-02&to": ["2026-11-01", "2020-01-01"],
    "from=2000-01-01&to": ["2026-01-01"],
    "limit": ["1"],
    "currency": ["EUR"],
    "from=2026-11-01&from": ["2026-11-02"],
}


@pytest_one
@pytest.mark.parametrize("name", NO_PARAMETERS)
def test_stats_refuse_parameters_that_make_no_sense(shop, api, name):
    for value in NO_PARAMETERS[name]:
        problem = refused(api.get(f"/orders/stats/{shop.id}?{name}={value}"), 400, "invalid_parameter")
        assert problem["parameter"] in (name.split("&")[-1], "from")


@pytest.mark.slow
@pytest_one
def test_stats_of_five_years_by_day_ask_as_much_as_of_one(shop, api, mug, django_assert_num_queries):
    order_in(shop, "paid")
    api.get(f"/orders/stats/{shop.id}")  # the key's use is noted
    for since in ("2025-12-31", "2022-01-01"):
        with django_assert_num_queries(2):  # the key and the figures
            assert api.get(f"/orders/stats/{shop.id}?from={since}&to=2026-12-31").status_code == 200


# --- What the database keeps -----------------------------------------------------------------------


def slots(shop):
    return set(DailySales.objects.filter(business=shop).values_list("slot", flat=True))


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("tz", [NEW_YORK, "Pacific/Kiritimati"])
def test_stats_of_a_shop_that_moves_are_of_its_new_days(history, tz):
    history.time_zone = tz
    history.save(update_fields=["time_zone"])
    assert findings() == []
    first, last = RANGES[0]
    part = shop_stats(business=history, first=first, last=last, tz=tz, interval="day")["currencies"][0]
    book = expected(history, first, last, tz, "day")[part["currency"]]
    assert {each["start"]: figures(each) for each in part["by_interval"]} == {
        start: book.by_interval[start].shown() for start in starts(first, last, "day")
    }


@pytest_one
def test_stats_that_drifted_are_counted_anew(shop, mug):
    order_in(shop, "delivered")
    DailySales.objects.filter(business=shop).update(gross=7, slot=3)
    assert [finding.invariant[:4] for finding in findings()] == ["I12c"]
    call_command("rebuild_stats", verbosity=0, stdout=StringIO())


@pytest_one
def test_stats_of_money_told_of_in_any_order(shop, mug):
    """Rows may come in any order in their transaction, and from any hand."""
    order = pay(place(shop, ("MUG-01", 3), now=NOON), now=NOON + MINUTE)
    verb("cancel", order, reason="x", now=NOON + 2 * DAY)
    refund(order, Decimal(12), NOON + DAY)  # told of late: it went back before the order was cancelled
    by_day = {
        each["start"].day: each["refunded"] for each in total(shop)["by_interval"] if each["refunded"] != "0.00"
    }
    assert by_day == {21: "12.00", 22: "18.00"}
    assert findings() == []
    with transaction.atomic():
        Order.objects.filter(id=order.id).update(cancelled_at=NOON + HOUR)
        assert findings() == []
        Order.objects.filter(id=order.id).update(placed_at=NOON - DAY, cancelled_at=NOON + 5 * DAY)


@pytest.mark.usefixtures("committed", "all_is_well")
def test_stats_of_orders_at_once_wait_for_none_of_each_other(shop, at_once, now):
    """All of them have counted their order and none has committed when they meet at the shelf."""
    mug = product(shop, stock=100)
    orders = at_once([lambda: place(shop, ("MUG-01", 1), now=now)] * 8, behind=mug.stock)
    assert slots(shop) == set(range(1, 9))
    at_once([lambda order=order: pay(order, now=now) for order in orders], behind=mug.stock)
    part = total(shop, now.date(), now.date())
    assert (part["placed"], part["orders"]) == (8, 8)


@pytest.mark.usefixtures("committed", "all_is_well")
def test_stats_go_on_when_every_slot_is_taken(shop, another_session):
    product(shop)
    session = another_session()
    session.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, slot)) FROM generate_series(1, 64) AS slot",
        [str(shop.id)],
    )
    pay(place(shop, ("MUG-01", 1)))
    assert max(slots(shop)) < 0


@pytest.mark.usefixtures("committed", "all_is_well")
def test_stats_of_an_order_on_its_way_while_the_shop_moves(shop, at_once):
    """Who changes the time zone waits for those who have counted by the old one, and they don't wait."""
    mug = product(shop)

    def move():
        Business.objects.filter(id=shop.id).update(time_zone="Pacific/Kiritimati")

    def order():
        return place(shop, ("MUG-01", 1))

    one, _, other = at_once([order, move, order], behind=mug.stock, in_turn=True)
    there = {order.placed_at.astimezone(ZoneInfo("Pacific/Kiritimati")).date() for order in (one, other)}
    assert set(DailySales.objects.filter(business=shop).values_list("day", flat=True)) == there


@pytest_one
def test_stats_know_the_zones_that_the_database_knows():
    """A zone that Python takes and PostgreSQL doesn't would be a server error."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_timezone_names")
        known = {name for (name,) in cursor.fetchall()}
    assert set(dict(TIME_ZONES)) - known == set()
    assert len(TIME_ZONES) > 400
