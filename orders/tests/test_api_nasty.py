"""What hostile and clumsy clients put into the fields: each is refused by name, and nothing is changed."""

import copy

import pytest

from callers import Caller, an_order, everything_of, is_problem, refused
from catalog.models import Product
from customers.models import Customer
from factories import BusinessFactory, order_in, place, product
from orders.models import Order

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

MISSING = object()
SOME_ID = "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"

NO_QUANTITIES = [
    *(0, -5, -1, 100_001, 10**9, 10**19, 10**30, 10**400),
    *(1.0, 1.5, 1e2, True, False, None),
    *("1", "-1", "1.0", "1_000", "１", "٣", " 7", "", "x", [], [1], {}, {"$gt": 0}),
    MISSING,
]
NO_TEXTS = [
    *(5, 1.5, True, [], ["x"], {}, {"x": 1}),
    *("\x00", "a\x00b", "\x07", "\x1b[31m", "\x7f", "\x85", "\ud800", "a\udfffb"),
    *("\u202eabc", "a\u2066b", "\u200b", "a\u2060", "\ufeffa", "a\u2028b"),
]
NO_NAMES = [*NO_TEXTS, "", " ", "\n", None]
NO_AMOUNTS = [
    *(
        "-0",
        "-1",
        "1e5",
        "1E5",
        " 7",
        "7 ",
        "1,00",
        "1_000",
        "NaN",
        "Infinity",
        "-Infinity",
        "",
        "x",
        "１",
        "+5",
        "0x10",
    ),
    *(
        "9" * 16,
        "0.0001",
        ".5",
        "5.",
        "£5",
        "5 GBP",
        "1\n",
        -1,
        -0.5,
        10**15,
        1e400,
        True,
        None,
        [],
        {},
        {"amount": 1},
    ),
]
NO_IDS = ["x", "", "1", None, [], {}, True, "01939f2e", SOME_ID[:-1], f"{SOME_ID}0", "\x00", "../admin"]
NO_PHONES = [
    *("+44 ABCDEF", "call me", "0800 FLOWERS", "+1 800 GO FEDEX", "12", "+4", "+", "000"),
    *("+44" + "7" * 20, "7" * 20, "+49123456789012345", "x" * 41, "", " ", 447700900123, True, [], {}),
    *("\u202a+447700900123\u202c", "+44\x007700900123", "<script>", "'; DROP TABLE", "+999123456789"),
]
NO_EMAILS = [
    *("ada", "ada@", "@example.com", "a b@example.com", "ada@example", "ada@exa mple.com", "ada@@example.com"),
    *(f"{'a' * 250}@example.com", f"a@{'.'.join(['İ' * 20] * 11)}.com", "ada@example.com\nbcc: x@y.zz", ""),
    *(5, True, [], {}, "ada\x00@example.com", "\u202eada@example.com"),
]
NO_WORDS = ["", "fax", "WHATSAPP", " whatsapp", None, 1, True, [], ["whatsapp"], {}]
NO_FLAGS = ["true", "false", "no", "", 0, 1, None, [], {}]
NO_CURRENCIES = ["", "GB", "GBPS", "gbp", "£", None, 826, True, []]

NASTY_ORDERS = {
    "channel": [*NO_WORDS, MISSING],
    "customer": [MISSING, None, {}, [], "Ada", 1, {"id": SOME_ID, "name": "Ada"}, {"phone": "+447700900123"}],
    "customer.name": [*NO_NAMES, "x" * 201],
    "customer.id": NO_IDS,
    "customer.phone": [phone for phone in NO_PHONES if phone is not None],
    "customer.email": NO_EMAILS,
    "customer.external_id": [*NO_TEXTS, "", "x" * 121],
    "customer.total_spent": ["0.00"],
    "items": [MISSING, None, [], {}, "MUG-01", 1, [None], [[]], ["MUG-01"], [1], [{}], [{"quantity": 1}]],
    "items.0.quantity": NO_QUANTITIES,
    "items.0.sku": [*NO_NAMES, "x" * 65],
    "items.0.product": [*NO_IDS, SOME_ID],  # beside the sku
    "items.0.price": ["0.01", 0],
    "items.0.unit_price": ["0.01", 0],
    "items.0.line_total": ["0.01"],
    "items.0.name": ["A mug"],
    "price": ["0.01"],
    "subtotal": ["0.01"],
    "total": ["0.01", 1],
    "status": ["paid"],
    "payment_status": ["paid"],
    "number": ["261123-AAAAAA"],
    "version": [9],
    "business": [SOME_ID],
    "business_id": [SOME_ID],
    "id": [SOME_ID],
    "created_at": ["2026-01-01T00:00:00Z"],
    "paid_at": ["2026-01-01T00:00:00Z"],
    "idempotency_key": ["k"],
    "payment_due_at": ["2999-01-01T00:00:00Z"],
    "__proto__": [{}],
    "": [1],
    "shipping_fee": NO_AMOUNTS,
    "discount": NO_AMOUNTS,
    "currency": NO_CURRENCIES,
    "external_id": [*NO_TEXTS, "", " ", "x" * 121],
    "draft": NO_FLAGS,
    "note": [*NO_TEXTS, None, "x" * 2001],
    "shipping_address": [
        "",
        " ",
        5,
        True,
        [],
        {},
        "x" * 1001,
        *(text for text in NO_TEXTS if isinstance(text, str)),
    ],
    "shipping_address.line1": [*NO_NAMES, "x" * 201],
    "shipping_address.country": [5, "", "x" * 61],
    "shipping_address.planet": ["Earth"],
}


def put_at(body, path, value):
    """The body with a value at a path such as items.0.quantity, or without what is there."""
    body = copy.deepcopy(body)
    place_, *rest = path.split(".")
    inside = body
    while rest:
        inside = inside[int(place_) if isinstance(inside, list) else place_]
        place_, *rest = rest
    if value is MISSING:
        inside.pop(place_, None)
    else:
        inside[place_] = value
    return body


def full_order():
    return an_order(
        customer={"name": "Ada"},
        shipping_address={"line1": "12 High St"},
        shipping_fee="1.00",
        note="x",
        draft=False,
    )


def refuses(call, body, path, values):
    for value in values:
        response = call(put_at(body, path, value))
        assert response.status_code in (400, 422), (path, value, response.content)
        problem = is_problem(response)
        if problem["code"] == "invalid_request":
            start = path.split(".")[0]
            named = [
                error["field"].startswith(start) and error["code"] and error["message"]
                for error in problem["errors"]
            ]
            assert all(named), (path, value, problem)
            assert problem["errors"][0]["message"] in problem["detail"]


@pytest.mark.slow
def test_place_refuses_nonsense(shop, api):
    product(shop)
    before = everything_of(shop)
    for path, values in NASTY_ORDERS.items():
        refuses(lambda body: api.post("/orders", body), full_order(), path, values)
    assert everything_of(shop) == before


NASTY_EDITS = {
    path: values
    for path, values in NASTY_ORDERS.items()
    if path.split(".")[0] not in ("channel", "customer", "currency", "external_id", "draft")
} | {name: ["x"] for name in ("channel", "customer", "currency", "external_id", "draft", "number", "status")}


@pytest.mark.slow
def test_edit_refuses_nonsense(shop, api):
    product(shop)
    order = place(shop, ("MUG-01", 2))
    body = {name: value for name, value in full_order().items() if name in ("items", "shipping_address", "note")}
    before = everything_of(shop)
    for path, values in NASTY_EDITS.items():
        refuses(lambda body: api.put(f"/orders/{order.id}", body), body, path, values)
    assert everything_of(shop) == before


NASTY_CHANGES = {
    "status": {
        "status": [MISSING, *NO_WORDS],
        "reason": [*NO_NAMES, "x" * 201],
        "carrier": [*NO_NAMES, "x" * 61],
        "tracking_number": [*NO_NAMES, "x" * 121],
        "tracking_url": ["x", "ftp:", "javascript:alert(1)", "data:text/html,x", "http://", "", 5, None, "\x00"],
        "payment_status": ["paid"],
        "force": [True],
    },
    "payment": {
        "status": ["pending", "refund_due", "partially_refunded", *NO_WORDS],
        "provider": [MISSING, *NO_NAMES, "x" * 61],
        "reference": [MISSING, *NO_NAMES, "x" * 121],
        "amount": [MISSING, *NO_AMOUNTS, "9.89", "9.91", "0.00", "19.80", "9.901"],
        "currency": ["USD", *NO_CURRENCIES],
        "release": NO_FLAGS,
        "reason": [*NO_NAMES, "x" * 201],
        "paid_at": ["2026-01-01T00:00:00Z"],
        "card_number": ["4242424242424242"],
    },
    "shipping": {
        "carrier": [*NO_NAMES, "x" * 61],
        "tracking_number": [*NO_NAMES, "x" * 121],
        "tracking_url": ["x", "javascript:alert(1)", f"https://example.com/{'x' * 500}", "", 5, None],
        "shipped_at": [
            "",
            "yesterday",
            "2026-13-01",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
            5,
            None,
            [],
        ],
        "delivered_at": ["", "soon", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", True, None, {}],
        "status": ["shipped"],
    },
}
GOOD_CHANGES = {
    "status": {"status": "processing"},
    "payment": {"provider": "bank", "reference": "TX-1", "amount": "9.90"},
    "shipping": {"carrier": "Royal Mail", "tracking_number": "RM1"},
}


@pytest.mark.slow
@pytest.mark.parametrize("what", NASTY_CHANGES)
def test_change_refuses_nonsense(shop, api, what):
    product(shop)
    order = order_in(shop, "pending" if what == "payment" else "paid", ("MUG-01", 1))
    before = everything_of(shop)
    for path, values in NASTY_CHANGES[what].items():
        refuses(lambda body: api.patch(f"/orders/{order.id}/{what}", body), GOOD_CHANGES[what], path, values)
    assert everything_of(shop) == before


def test_change_refuses_what_goes_with_another_status(shop, api):
    product(shop)
    order = order_in(shop, "paid", ("MUG-01", 1))
    before = everything_of(shop)
    money = {"provider": "bank", "reference": "RF-1", "amount": "1.00"}
    for path, body, field in (
        ("status", {"status": "processing", "reason": "x"}, "reason"),
        ("status", {"status": "processing", "carrier": "Royal Mail"}, "carrier"),
        ("status", {"status": "cancelled", "reason": "x", "tracking_number": "RM1"}, "tracking_number"),
        ("payment", {"status": "refunded", "release": True, **money}, "release"),
        ("payment", {"reason": "returned", **money}, "reason"),
    ):
        problem = refused(api.patch(f"/orders/{order.id}/{path}", body), 422, "invalid_request")
        assert [(error["field"], error["code"]) for error in problem["errors"]] == [(field, "not_with_status")]
    assert everything_of(shop) == before


def test_place_too_many_lines_is_refused(shop, api):
    product(shop, stock=1000)
    lines = [{"sku": "MUG-01", "quantity": 1}] * 101
    problem = refused(api.post("/orders", an_order(items=lines)), 422, "invalid_request")
    assert problem["errors"][0]["field"] == "items"
    assert api.post("/orders", an_order(items=lines[:100])).json()["items"][0]["quantity"] == 100


def test_place_with_many_mistakes_names_them_all_and_a_thousand_a_few(shop, api):
    product(shop)
    body = an_order(channel="fax", items=[{"sku": "", "quantity": 0}, {"quantity": "1"}], total="1", note=5)
    problem = refused(api.post("/orders", body), 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == [
        *("total", "items[0].sku", "items[0].quantity", "items[1].quantity", "note", "channel"),
    ]
    assert "(5 more)" in problem["detail"]
    response = api.post("/orders", an_order(**{f"x{n}": n for n in range(5000)}))
    assert len(refused(response, 422, "invalid_request")["errors"]) == 50
    assert len(response.content) < 20_000


def test_place_at_a_price_of_ones_own_says_where_prices_come_from(shop, api):
    product(shop)
    lines = [{"sku": "MUG-01", "quantity": 1, "unit_price": "0.01"}]
    [error] = refused(api.post("/orders", an_order(items=lines)), 422, "invalid_request")["errors"]
    assert (error["field"], error["code"]) == ("items[0].unit_price", "price_not_accepted")
    assert "catalog" in error["message"]


def test_place_with_what_belongs_to_another_shop_is_refused(shop, api):
    theirs = BusinessFactory()
    product(shop)
    their_mug = product(theirs, "THEIRS")
    their_order = order_in(theirs, "pending", ("THEIRS", 1))
    before = everything_of(theirs), everything_of(shop)
    for line in ({"sku": "THEIRS", "quantity": 1}, {"product": str(their_mug.id), "quantity": 1}):
        refused(api.post("/orders", an_order(items=[line])), 422, "unknown_sku")
    customer = {"id": str(their_order.customer_id)}
    refused(api.post("/orders", an_order(customer=customer)), 422, "unknown_customer")
    assert (everything_of(theirs), everything_of(shop)) == before


def test_place_for_somebody_known_to_another_shop_makes_a_customer_of_ones_own(shop, api):
    theirs = BusinessFactory()
    ada = {"name": "Ada", "phone": "+447700900123", "email": "ada@example.com", "external_id": "c-1"}
    for business in (theirs, shop):
        product(business)
        assert Caller(business).post("/orders", an_order(customer=ada)).status_code == 201
    assert [Customer.objects.filter(business=business).count() for business in (theirs, shop)] == [1, 1]


@pytest.mark.parametrize(
    "text",
    [
        "محمد بن عبد الله",
        "می‌خواهم",  # with a zero-width non-joiner, as Persian is written
        "क्‍षत्रिय",  # with a zero-width joiner
        "👩‍👩‍👧‍👦 & 🏴󠁧󠁢󠁥󠁮󠁧󠁿",  # a family and England, joined of several signs
        "Zoë Núñez-Ångström",
        "Zoe\u0308",  # an accent as a sign of its own
        "שָׁלוֹם \u200f(שלום)",  # with a right-to-left mark
        "王小明",
        "O'Brien; DROP TABLE orders_order; --",
        '<script>alert("1")</script> & "quotes" \\ / %s {0} ${x} {{ 7 * 7 }}',
        "two\nlines\tand a tab",
    ],
)
def test_place_keeps_text_of_every_language_as_it_was_written(shop, api, text):
    product(shop)
    body = an_order(customer={"name": text, "external_id": text[:120]}, note=text, shipping_address={"text": text})
    order = api.post("/orders", body).json()
    again = api.get(f"/orders/{order['id']}").json()
    assert again["customer"]["name"] == again["note"] == again["shipping_address"]["text"] == text
    assert api.get("/orders", {"search": text[:100]}).json()["results"][0]["id"] == order["id"]


def test_place_a_sku_of_any_letters(shop, api):
    product(shop, "كوب/ أزرق,1")
    order = api.post("/orders", an_order(("كوب/ أزرق,1", 1))).json()
    assert api.get("/orders", {"sku": "كوب/ أزرق,1"}).json()["results"][0]["id"] == order["id"]


def test_place_an_order_of_the_largest_amounts(db):
    shop = BusinessFactory(currency="KWD")
    product(shop, stock=1_000_000, price="999999999.999")
    response = Caller(shop).post(
        "/orders", an_order(("MUG-01", 100_000), shipping_fee="999999999999999.999", note="x" * 2000)
    )
    order = response.json()
    assert (order["subtotal"], order["total"]) == ("99999999999900.000", "1099999999999899.999")
    amounts = Order.objects.values_list("subtotal", "total").get(business=shop)
    assert [str(amount) for amount in amounts] == [order["subtotal"], order["total"]]


def test_place_at_the_price_of_the_moment(shop, api):
    mug = product(shop)
    first = api.post("/orders", an_order()).json()
    Product.objects.filter(id=mug.id).update(price="12.00")
    assert api.post("/orders", an_order()).json()["total"] == "12.00"
    assert api.get(f"/orders/{first['id']}").json()["total"] == "9.90"
    edited = api.put(f"/orders/{first['id']}", {"items": [{"sku": "MUG-01", "quantity": 2}]}).json()
    assert edited["total"] == "19.80"
