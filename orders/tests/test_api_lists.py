"""The list of orders: what narrows it, how it is ordered, and that its pages leave nothing out."""

import base64
import json
import re
from datetime import timedelta
from urllib.parse import quote, unquote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from callers import Caller, refused
from catalog.models import Product
from customers.models import Customer
from customers.services import Buyer
from factories import ACTOR, BusinessFactory, order_in, pay, place, placement, product, verb
from orders import services
from orders.models import Order, Shipment
from orders.services import Receipt

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

ADA = Buyer(name="Ada Lovelace", phone="+447700900123", email="ada@example.com")


@pytest.fixture
def mug(shop):
    return product(shop, stock=1000)


def ids(response):
    return [row["id"] for row in response.json()["results"]]


def follow(api, path, link="next"):
    """Every page from `path` on, as lists of ids."""
    pages = []
    while path:
        page = api.get(path.removeprefix("http://testserver")).json()
        pages.append([row["id"] for row in page["results"]])
        path = page[link]
    return pages


@pytest.fixture
def many(shop, mug, now):
    """Twenty-three orders with three totals, made at three instants: nearly all of them tie."""
    return [
        place(shop, ("MUG-01", 1 + n % 3), now=now - timedelta(minutes=n % 3), channel=channel)
        for n, channel in enumerate(["whatsapp", "instagram", "website"] * 7 + ["whatsapp"] * 2)
    ]


# --- Pages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordering", ["-created_at", "created_at", "total", "-total"])
def test_list_pages_show_each_row_once_among_many_that_tie(api, many, ordering):
    [every] = follow(api, f"/orders?ordering={ordering}&limit=200")
    assert sorted(every) == sorted(str(order.id) for order in many)
    pages = follow(api, f"/orders?ordering={ordering}&limit=4")
    assert [len(page) for page in pages] == [4, 4, 4, 4, 4, 3]
    assert [row for page in pages for row in page] == every


@pytest.mark.parametrize("ordering", ["-created_at", "total"])
def test_list_pages_lead_back_the_way_they_came(api, many, ordering):
    path = f"/orders?ordering={ordering}&limit=4"
    forwards = follow(api, path)
    while link := api.get(path.removeprefix("http://testserver")).json()["next"]:
        path = link
    backwards = follow(api, path, "previous")
    assert backwards[0] == forwards[-1]
    assert [row for page in reversed(backwards) for row in page] == [row for page in forwards for row in page]


def test_list_first_page_has_no_previous_and_the_last_no_next(api, many):
    first = api.get("/orders?limit=22").json()
    assert set(first) == {"next", "previous", "results"}
    assert first["previous"] is None
    last = api.get(first["next"].removeprefix("http://testserver")).json()
    assert (last["next"], len(last["results"])) == (None, 1)
    back = api.get(last["previous"].removeprefix("http://testserver")).json()
    assert (back["previous"], back["results"][0]["id"]) == (None, first["results"][0]["id"])
    assert api.get("/orders?limit=23").json()["next"] is None


@pytest.mark.parametrize("ordering", ["-created_at", "created_at"])
def test_list_pages_skip_and_repeat_nothing_while_orders_come_in(shop, api, many, now, ordering):
    seen, path = [], f"/orders?ordering={ordering}&limit=5"
    while path:
        page = api.get(path.removeprefix("http://testserver")).json()
        seen += [row["id"] for row in page["results"]]
        path = page["next"]
        place(shop, ("MUG-01", 1), now=now)  # at an instant that ties with a third of the others
        place(shop, ("MUG-01", 1), now=now + timedelta(seconds=1))
    assert len(seen) == len(set(seen))
    assert {str(order.id) for order in many} <= set(seen)


def test_list_pages_stand_firm_when_the_row_they_began_after_is_gone_from_them(api, many):
    first = api.get("/orders?limit=5&status=pending").json()
    verb("cancel", Order.objects.get(id=first["results"][-1]["id"]), reason="gone")
    rest = follow(api, first["next"])
    assert len([row for page in rest for row in page]) == 18


def test_list_keeps_its_filters_from_page_to_page(api, many):
    pages = follow(api, "/orders?channel=website&limit=2&search=ada")
    assert [len(page) for page in pages] == [2, 2, 2, 1]


def test_list_is_newest_first_and_fifty_long_unless_told_otherwise(shop, api, mug, now):
    for n in range(51):
        place(shop, ("MUG-01", 1), now=now - timedelta(seconds=n))
    page = api.get("/orders").json()
    made = [row["created_at"] for row in page["results"]]
    assert (len(made), made) == (50, sorted(made, reverse=True))
    assert page["next"]


def cursor(*parts):
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


SOME_ID = "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"
SOME_TIME = "2026-11-23T10:15:00+00:00"
NO_CURSORS = [
    *("", "x", "%%%", "💩", "bnVsbA==", "e30=", "W10=", base64.urlsafe_b64encode(b"[" * 5000).decode()),
    base64.urlsafe_b64encode(b'"\\ud800"').decode(),
    cursor("next", "-created_at", SOME_TIME),
    cursor("sideways", "-created_at", SOME_TIME, SOME_ID),
    cursor("next", "total", "9.90", SOME_ID),
    cursor("next", "-created_at", "yesterday", SOME_ID),
    cursor("next", "-created_at", "0001-01-01T00:00:00+14:00", SOME_ID),
    cursor("next", "-created_at", "9999-12-31T23:59:59-14:00", SOME_ID),
    cursor("next", "-created_at", 5, SOME_ID),
    cursor("next", "-created_at", None, SOME_ID),
    cursor("next", "-created_at", [SOME_TIME], SOME_ID),
    cursor("next", "-created_at", SOME_TIME, "not-an-id"),
    cursor("next", "-created_at", SOME_TIME, 5),
    cursor("next", "-created_at", SOME_TIME, None),
]


def test_list_refuses_what_is_no_cursor_of_it(api):
    for text in NO_CURSORS:
        problem = refused(api.get(f"/orders?cursor={quote(text)}"), 400, "invalid_parameter")
        assert problem["parameter"] == "cursor"


def test_list_by_total_refuses_a_cursor_with_no_amount(api):
    for value in ("NaN", "sNaN", "Infinity", "1e9", "1e-99999999", "", "x", "\x00", 5, [0, [1], 0]):
        path = f"/orders?ordering=total&cursor={cursor('next', 'total', value, SOME_ID)}"
        assert refused(api.get(path), 400, "invalid_parameter")["parameter"] == "cursor"


def test_list_takes_a_cursor_at_the_ends_of_time_and_of_the_world(api, many):
    for instant in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-11-23T10:15:00-20:50"):
        assert api.get(f"/orders?cursor={cursor('next', '-created_at', instant, SOME_ID)}").status_code == 200


def test_timeline_refuses_a_cursor_with_no_version(shop, api, mug):
    order = order_in(shop, "paid")
    for value in ("abc", "1.5", "", "\x00", None, 1, "9" * 5000):
        path = f"/orders/{order.id}/events?cursor={cursor('next', 'version', value, SOME_ID)}"
        assert refused(api.get(path), 400, "invalid_parameter")["parameter"] == "cursor"
    path = f"/orders/{order.id}/events?cursor={cursor('next', 'version', '9' * 30, SOME_ID)}"
    assert api.get(path).json()["results"] == []


def test_list_refuses_a_limit_out_of_bounds(api):
    for limit in ("0", "-1", "201", "99999999", "1.0", "1e2", "abc", "１", "1_0", " 1", "٣", "9" * 5000):
        problem = refused(api.get(f"/orders?limit={quote(limit)}"), 400, "invalid_parameter")
        assert (problem["parameter"], problem["smallest"], problem["largest"]) == ("limit", 1, 200)


def test_list_refuses_an_ordering_that_it_does_not_know(api):
    for ordering in ("id", "-id", "created_at,total", "--created_at", "customer", "total; DROP", "?"):
        problem = refused(api.get("/orders", {"ordering": ordering}), 400, "invalid_parameter")
        assert problem["allowed"] == ["created_at", "total", "-created_at", "-total"]


@pytest.mark.parametrize("length", [5, 50])
def test_list_asks_as_many_questions_for_a_long_page_as_for_a_short_one(shop, api, mug, now, length):
    wanted = [placement(("MUG-01", 1), buyer=Buyer(name=f"Buyer {n}")) for n in range(length)]
    placed = services.place_many(business=shop, placements=wanted, actor=ACTOR, now=now)
    receipts = [Receipt(each.order.id, "bank", each.order.number, each.order.total) for each in placed[::2]]
    services.confirm_payments(business_id=shop.id, receipts=receipts, actor=ACTOR, now=now)
    assert len(ids(api.get("/orders?limit=200"))) == length
    with CaptureQueriesContext(connection) as asked:
        api.get("/orders?limit=200")
    # The key, the page, its customers, items, payments, shipments and holds.
    assert len(asked) == 7, [query["sql"][:80] for query in asked]


# --- Filters ---------------------------------------------------------------------------------------


def test_list_by_status_takes_several(shop, api, mug):
    orders = {
        status: str(order_in(shop, status).id) for status in ("draft", "pending", "paid", "shipped", "cancelled")
    }
    assert ids(api.get("/orders?status=paid")) == [orders["paid"]]
    assert set(ids(api.get("/orders?status=paid,shipped"))) == {orders["paid"], orders["shipped"]}
    assert set(ids(api.get("/orders?payment_status=pending"))) == {
        orders[s] for s in ("draft", "pending", "cancelled")
    }


def test_list_by_channel_customer_and_sku(shop, api, mug):
    product(shop, "CUP-01")
    one = place(shop, ("MUG-01", 1), channel="website", buyer=ADA)
    two = place(shop, ("MUG-01", 1), ("CUP-01", 1), channel="instagram")
    assert ids(api.get("/orders?channel=website")) == [str(one.id)]
    assert ids(api.get("/orders?channel=website,instagram")) == [str(two.id), str(one.id)]
    assert ids(api.get(f"/orders?customer={one.customer_id}")) == [str(one.id)]
    assert ids(api.get("/orders?sku=CUP-01")) == [str(two.id)]
    assert ids(api.get("/orders?sku=MUG-01&channel=instagram,whatsapp")) == [str(two.id)]
    assert ids(api.get("/orders?sku=NONE")) == []


def test_list_between_two_instants_counts_the_first_and_not_the_last(shop, api, mug, now):
    early, middle, late = (
        str(place(shop, ("MUG-01", 1), now=now - timedelta(hours=h, minutes=0)).id) for h in (2, 1, 0)
    )
    after, before = quote((now - timedelta(hours=1)).isoformat()), quote(now.isoformat())
    assert ids(api.get(f"/orders?created_after={after}")) == [late, middle]
    assert ids(api.get(f"/orders?created_before={before}")) == [middle, early]
    assert ids(api.get(f"/orders?created_after={after}&created_before={before}")) == [middle]
    for order in Order.objects.filter(business=shop):
        verb("cancel", order, reason="done")


def test_list_reads_instants_as_people_write_them(shop, api, mug):
    order = place(shop, ("MUG-01", 1))
    for instant in (
        "2020-01-01",
        "2020-01-01T00:00:00Z",
        "2020-01-01T00:00%2B05:30",
        "2020-01-01T00:00",
        "2020-01-01T00:00-20:50",
    ):
        assert ids(api.get(f"/orders?created_after={instant}")) == [str(order.id)]
        assert ids(api.get(f"/orders?created_before={instant}")) == []


def test_list_by_total(shop, api, mug):
    small, large = place(shop, ("MUG-01", 1)), place(shop, ("MUG-01", 3))
    assert ids(api.get("/orders?min_total=9.91")) == [str(large.id)]
    assert ids(api.get("/orders?max_total=9.90")) == [str(small.id)]
    assert ids(api.get("/orders?min_total=9.90&max_total=29.700&ordering=total")) == [str(small.id), str(large.id)]


def test_search_finds_an_order_by_what_people_know_of_it(shop, api, mug):
    product(shop, "Cup%01")
    order = place(shop, ("MUG-01", 1), buyer=ADA, external_id="web_1001")
    sent = order_in(shop, "shipped")
    place(shop, ("Cup%01", 1))
    for words in (order.number, order.number[:8].lower(), "web_1001", "lovelace", "900123", "ADA@EX"):
        assert str(order.id) in ids(api.get("/orders", {"search": words})), words
    assert ids(api.get("/orders?search=RM1")) == [str(sent.id)]
    assert len(ids(api.get("/orders?search=mug-01"))) == 2
    assert len(ids(api.get("/orders?search=cup%2501"))) == 1
    # Signs that SQL reads as patterns are only signs here.
    for words in ("web%1001", "___", "%%", "' OR 1=1 --", "\\\\"):
        assert ids(api.get("/orders", {"search": words})) == [], words


@pytest.mark.parametrize("few", [0, 1, 1000])
def test_search_finds_the_same_by_few_and_by_many(shop, api, mug, monkeypatch, few):
    monkeypatch.setattr("orders.querysets.FEW", few)
    hers = [str(place(shop, ("MUG-01", n), buyer=ADA, now=None).id) for n in (1, 2)]
    sent = [str(order_in(shop, "shipped").id) for _ in range(2)]
    stranger = BusinessFactory()
    product(stranger)
    place(stranger, ("MUG-01", 1), buyer=ADA)
    for words, found in {"900123": hers, "rm1": sent, "mug-01": hers + sent, "lovelace": hers}.items():
        assert sorted(ids(api.get(f"/orders?search={words}"))) == sorted(found), words


def test_search_looks_for_two_letters_where_words_begin(shop, api, mug):
    order = place(shop, ("MUG-01", 1), buyer=ADA)
    for words in ("ad", "Lo", "lovelace", "vel"):
        assert ids(api.get(f"/orders?search={words}")) == [str(order.id)], words
    assert ids(api.get("/orders?search=ov")) == []


def test_list_by_statuses_that_exclude_each_other_is_empty(shop, api, mug):
    paid, pending = order_in(shop, "paid"), order_in(shop, "pending")
    assert ids(api.get("/orders?status=pending&payment_status=paid")) == []
    assert ids(api.get("/orders?status=pending,draft&payment_status=paid,refunded")) == []
    assert ids(api.get("/orders?status=pending,paid&payment_status=paid")) == [str(paid.id)]
    assert ids(api.get("/orders?status=pending,paid&payment_status=pending")) == [str(pending.id)]


@pytest.mark.parametrize(
    ("index", "question"),
    [
        ("customer_words", Customer.objects.matching("900123")),
        ("product_words", Product.objects.matching("mug")),
        ("shipment_by_tracking", Shipment.objects.filter(business=SOME_ID, tracking_number__istartswith="rm1")),
    ],
)
def test_search_asks_an_index(index, question):
    """The index is of the very expression that the question has."""
    with connection.cursor() as cursor:  # else a small table is read whole
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = force_custom_plan")
    plan = question.explain()
    assert re.search(rf"{index}.*\n *Index Cond: .*(~\*|upper)", plan), plan


# An empty one is refused as well: a client whose variable is empty doesn't mean everybody's orders.
NO_FILTERS = {
    "status": ["", "payed", "PAID", "paid;pending", ",", "paid,", "draft,zz", "0"],
    "payment_status": ["", "zz", "refunded,,paid"],
    "channel": ["", "email", "WhatsApp"],
    "customer": ["", "zz", "1", "%00", "01939f2e-6b7c-7cc3-98c4", "{}"],
    "sku": ["", "x" * 65, "%00", "%ff", "%E2%80%AE", "a%E2%80%8Bb"],
    "created_after": [
        "",
        "yesterday",
        "2026-13-01T00:00:00Z",
        "2026-11-23T10:00:00+00:00",
        "1e9",
        "9" * 400,
        "%00",
    ],
    "created_before": ["", "99999-01-01T00:00:00Z", "-2026-01-01", "2026-02-30"],
    "min_total": [
        "",
        "abc",
        "-1",
        "-0",
        "1e5",
        "1e400",
        "1e-9999999",
        "NaN",
        "Infinity",
        "1_000",
        "1,00",
        "%EF%BC%91",
        "+5",
    ],
    "max_total": ["", "inf", "9" * 16, "0x10", "1.2345", ".", "%20"],
    "search": ["", "a", "x" * 101, "a%00", "%ED%A0%80"],
    "business": ["abc"],
    "id": ["zz"],
    "name": ["%00"],
    "total__gte": ["1"],
    "customer__business__slug": ["x"],
    "%00": ["1"],
    "page": ["2"],
}


@pytest.mark.parametrize("name", NO_FILTERS)
def test_list_refuses_filters_that_make_no_sense(api, name):
    for value in NO_FILTERS[name]:
        problem = refused(api.get(f"/orders?{name}={value}"), 400, "invalid_parameter")
        assert problem["parameter"] == unquote(name)


@pytest.mark.parametrize("path", ["orders", "products", "customers", "reservations", "stock-movements", "alerts"])
def test_lists_refuse_a_parameter_that_is_unknown_or_empty_or_comes_twice(api, path):
    problem = refused(api.get(f"/{path}?statuss=paid"), 400, "invalid_parameter")
    assert problem["parameter"] == "statuss"
    assert {"limit", "cursor", "ordering"} < set(problem["allowed"])
    for name in ("limit", "cursor", "ordering"):
        assert refused(api.get(f"/{path}?{name}="), 400, "invalid_parameter")["parameter"] == name
    problem = refused(api.get(f"/{path}?limit=1&limit=2"), 400, "invalid_parameter")
    assert problem["parameter"] == "limit"
    refused(api.get(f"/{path}?{'a=1&' * 1100}"), 400, "bad_request")
    refused(api.get(f"/{path}?format=xml"), 400, "invalid_parameter")


@pytest.mark.parametrize("path", ["orders", "products", "customers", "reservations", "stock-movements"])
def test_lists_show_one_shop_only(shop, api, mug, path):
    pay(place(shop, ("MUG-01", 1), buyer=ADA))
    stranger = Caller(BusinessFactory())
    assert len(api.get(f"/{path}").json()["results"]) > 0
    assert stranger.get(f"/{path}").json() == {"next": None, "previous": None, "results": []}


def test_list_by_a_customer_of_another_shop_finds_nothing(shop, api, mug):
    order = place(shop, ("MUG-01", 1), buyer=ADA)
    stranger = Caller(BusinessFactory())
    assert ids(stranger.get(f"/orders?customer={order.customer_id}")) == []
    assert ids(stranger.get("/orders?search=lovelace")) == []
    assert ids(stranger.get("/orders?sku=MUG-01")) == []
    theirs = api.get("/orders?limit=1").json()
    at = cursor("next", "-created_at", (order.created_at + timedelta(seconds=1)).isoformat(), str(order.id))
    assert ids(stranger.get(f"/orders?cursor={at}")) == []
    assert theirs["results"][0]["id"] == str(order.id)
