"""Many orders, or many payments, in one request: each row is answered as it would be alone."""

import json
from uuid import uuid4

import pytest

from callers import Caller, an_order, everything_of, refused
from catalog.models import ApiKey, Product
from factories import BusinessFactory, api_key, on_shelf, order_in, pay, place, product
from orders.models import Order
from orders.serializers import MOST_ROWS
from orders_project.api.parsing import LARGEST_BULK_BODY

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

PHONE = "+447700900123"


@pytest.fixture
def mug(shop):
    return product(shop, stock=10)


def row(*lines, key=None, **more):
    return an_order(
        *lines, **({"external_id": f"w-{uuid4()}"} if key is None else {"idempotency_key": key}), **more
    )


def bulk(api, *rows):
    answer = api.post("/orders/bulk", {"orders": rows})
    assert answer.status_code == 200, answer.content
    results = answer.json()["results"]
    assert len(results) == len(rows)
    return results


def paid(api, *rows):
    answer = api.patch("/orders/bulk/payment", {"payments": rows})
    assert answer.status_code == 200, answer.content
    results = answer.json()["results"]
    assert len(results) == len(rows)
    return results


def outcomes(results):
    """placed, replayed, confirmed, or the code of the refusal."""
    return [result["problem"]["code"] if "problem" in result else result["outcome"] for result in results]


def receipt(order, **more):
    return {
        "order": str(order.id),
        "provider": "bank",
        "reference": order.number,
        "amount": str(order.total),
        **more,
    }


# --- Placing -----------------------------------------------------------------------------------


def test_bulk_answers_row_by_row(api, shop, mug):
    first = bulk(api, row(key="k-1"))[0]["order"]
    results = bulk(
        api,
        row(("MUG-01", 3), key="k-2"),
        row(key="k-1"),
        row(("NIX-99", 1)),
        {"channel": "whatsapp"},
        row(("MUG-01", 99)),
        row(("MUG-01", 2), key="k-3"),
    )
    assert outcomes(results) == [
        *("placed", "replayed", "unknown_sku", "invalid_request", "insufficient_stock", "placed"),
    ]
    assert results[1]["order"] == first | {"holds": results[1]["order"]["holds"]}
    assert [results[n]["order"]["items"][0]["quantity"] for n in (0, 5)] == [3, 2]
    assert results[0]["order"]["created_at"] == results[5]["order"]["created_at"]
    for result in (results[0], results[5]):
        read = api.get(f"/orders/{result['order']['id']}").json()
        assert read | {"holds": []} == result["order"] | {"holds": []}
    assert on_shelf(shop) == (10, 6)


def test_bulk_knows_a_repeat_by_its_external_id(api, shop, mug):
    asked = row(external_id="w-1", key="k-1")
    (first,), (again,) = bulk(api, asked), bulk(api, {**asked, "idempotency_key": None})
    assert outcomes([first, again]) == ["placed", "replayed"]
    assert first["order"]["id"] == again["order"]["id"]
    assert on_shelf(shop) == (10, 1)


REFUSED = {
    "insufficient_stock": row(("MUG-01", 11), ("TEA-01", 1)),
    "unknown_sku": row(("NIX-99", 1), ("NIX-98", 1)),
    "inactive_product": row(("OLD-01", 1)),
    "currency_mismatch": row(currency="USD"),
    "discount_too_large": row(discount="99.00"),
    "unknown_customer": row(customer={"id": str(uuid4())}),
    "invalid_phone": row(customer={"name": "Ada", "phone": "12"}),
    "external_id_taken": an_order(("MUG-01", 2), external_id="w-1"),
    "duplicate_order": an_order(customer={"name": "Ada", "phone": PHONE}, idempotency_key="k-9"),
    "idempotency_key_reused": an_order(("MUG-01", 2), idempotency_key="k-1"),
    "missing": {"channel": "whatsapp", "external_id": "w-2"},
    "deep": row(items=[{"sku": "MUG-01", "quantity": 1}, {"sku": "MUG-01", "quantity": "2", "price": "1.00"}]),
    "unknown": row(customer={"name": "Ada", "nick": "A"}, shipping_address={}, total="1.00"),
    "not an object": ["MUG-01"],
    "null": None,
}


@pytest.mark.parametrize("asked", REFUSED.values(), ids=REFUSED)
def test_bulk_refuses_a_row_as_it_is_refused_alone(api, shop, mug, asked):
    product(shop, "TEA-01", stock=0)
    Product.objects.filter(id=product(shop, "OLD-01").id).update(is_active=False)
    api.post("/orders", an_order(external_id="w-1"), Idempotency_Key="k-1")
    api.post("/orders", an_order(customer={"name": "Ada", "phone": PHONE}))
    before = everything_of(shop)
    alone = dict(asked) if isinstance(asked, dict) else asked
    key = {"Idempotency_Key": alone.pop("idempotency_key")} if "idempotency_key" in (alone or ()) else {}
    problem = api.post("/orders", json.dumps(alone), **key).json()
    (result,) = bulk(api, asked)
    assert result.keys() == {"outcome", "problem"}
    assert result["outcome"] == "refused"
    for told in (problem, result["problem"]):
        if "possible_in" in told:  # counted in seconds, from this moment
            assert told.pop("possible_in") <= 10
    assert result["problem"] == problem
    assert everything_of(shop) == before


@pytest.mark.parametrize("key", [{}, {"idempotency_key": None}, {"idempotency_key": "ключ"}])
def test_bulk_wants_to_know_each_order_again(api, mug, key):
    """Who sends a bulk again after its answer was lost must not order twice."""
    (result,) = bulk(api, {**an_order(), **key})
    (error,) = result["problem"]["errors"]
    assert error["field"] == "idempotency_key"


def test_bulk_one_key_twice_in_one_request(api, shop, mug):
    results = bulk(api, row(key="k-1"), row(key="k-1"), row(("MUG-01", 2), key="k-1"))
    assert outcomes(results) == ["placed", "replayed", "idempotency_key_reused"]
    assert results[0]["order"]["id"] == results[1]["order"]["id"] == results[2]["problem"]["order"]
    assert on_shelf(shop) == (10, 1)


def test_bulk_the_last_unit_goes_to_the_first_who_asks(api, shop):
    product(shop, stock=1)
    results = bulk(api, row(key="k-1"), row(key="k-2"))
    assert outcomes(results) == ["placed", "insufficient_stock"]
    assert results[1]["problem"]["items"][0]["available"] == 0
    assert on_shelf(shop) == (1, 1)


def test_bulk_who_is_refused_takes_nothing_from_the_next(api, shop):
    product(shop, stock=2)
    product(shop, "TEA-01", stock=0)
    results = bulk(api, row(("MUG-01", 2), ("TEA-01", 1)), row(("MUG-01", 2)))
    assert outcomes(results) == ["insufficient_stock", "placed"]


def test_bulk_double_click_within_one_request(api, mug):
    """Two rows of one customer with the same goods, and different keys."""
    ada = {"name": "Ada", "phone": PHONE}
    results = bulk(api, row(key="k-1", customer=ada), row(key="k-2", customer=ada))
    assert outcomes(results) == ["placed", "duplicate_order"]
    assert results[1]["problem"]["order"] == results[0]["order"]["id"]


@pytest.mark.slow
def test_bulk_thousand_rows_and_the_same_again(api, shop):
    product(shop, stock=1000)
    rows = [row(key=f"k-{n}", customer={"name": f"Buyer {n}"}) for n in range(MOST_ROWS)]
    results = bulk(api, *rows)
    assert outcomes(results) == ["placed"] * MOST_ROWS
    assert [result["order"]["customer"]["name"] for result in results] == [f"Buyer {n}" for n in range(MOST_ROWS)]
    before = everything_of(shop)
    again = bulk(api, *rows)
    assert outcomes(again) == ["replayed"] * MOST_ROWS
    assert [result["order"]["id"] for result in again] == [result["order"]["id"] for result in results]
    assert everything_of(shop) == before
    assert on_shelf(shop) == (1000, 1000)


@pytest.mark.parametrize(
    "body",
    [
        {"orders": []},
        {"orders": [an_order(external_id="w-1")] * (MOST_ROWS + 1)},
        {"orders": an_order(external_id="w-1")},
        {"orders": None},
        {"orders": [an_order(external_id="w-1")], "dry_run": True},
        [an_order(external_id="w-1")],
        {},
        "null",
    ],
    ids=["none", "too many", "an object", "null", "more names", "a list", "empty", "nothing"],
)
def test_bulk_that_is_no_list_of_rows_is_refused_whole(api, shop, mug, body):
    problem = refused(api.post("/orders/bulk", body), 422, "invalid_request")
    assert problem["errors"][0]["code"] == "not_rows"
    assert not Order.objects.filter(business=shop).exists()


@pytest.mark.parametrize(("method", "path"), [("POST", "/orders/bulk"), ("PATCH", "/orders/bulk/payment")])
def test_bulk_body_that_is_too_large(api, method, path):
    name = "orders" if method == "POST" else "payments"
    fits = json.dumps({name: ["x" * (LARGEST_BULK_BODY - 20)]})
    assert len(fits) <= LARGEST_BULK_BODY
    assert api.call(method, path, fits).status_code == 200
    problem = refused(api.call(method, path, fits + " " * 20), 413, "body_too_large")
    assert problem["limit_bytes"] == LARGEST_BULK_BODY


@pytest.mark.parametrize(("method", "path"), [("POST", "/orders/bulk"), ("PATCH", "/orders/bulk/payment")])
def test_bulk_needs_a_key_that_may_write(shop, mug, method, path):
    reader = Caller(shop, key=api_key(shop, ApiKey.Scope.READ))
    refused(reader.call(method, path, {"orders": [row()]}), 403, "not_allowed")
    refused(Caller(key="hf_nobody").call(method, path, {"orders": [row()]}), 401, "not_authenticated")
    assert not Order.objects.filter(business=shop).exists()


@pytest.mark.parametrize(("method", "path"), [("POST", "/orders/bulk"), ("PATCH", "/orders/bulk/payment")])
def test_bulk_body_that_is_no_json(api, method, path):
    refused(api.call(method, path, '{"orders": ['), 400, "malformed_body")


# --- Paying ------------------------------------------------------------------------------------


def test_bulk_payments_answer_row_by_row(api, shop, mug):
    first, second, late = (place(shop, ("MUG-01", n)) for n in (1, 2, 3))
    results = paid(
        api,
        receipt(second),
        receipt(late, amount="1.00"),
        {"order": str(first.id)},
        "TX-1",
        receipt(first),
        receipt(second),
    )
    assert outcomes(results) == [
        *("confirmed", "payment_mismatch", "invalid_request", "invalid_request", "confirmed", "confirmed"),
    ]
    assert [results[n]["order"]["id"] for n in (0, 4, 5)] == [str(second.id), str(first.id), str(second.id)]
    assert {results[n]["order"]["status"] for n in (0, 4, 5)} == {"paid"}
    assert len(results[5]["order"]["payments"]) == 1
    assert on_shelf(shop) == (7, 3)


def test_bulk_payments_the_same_again_change_nothing(api, shop, mug):
    rows = [receipt(place(shop, ("MUG-01", 1))) for _ in range(3)]
    first = paid(api, *rows)
    before = everything_of(shop)
    assert paid(api, *rows) == first
    assert everything_of(shop) == before


@pytest.mark.parametrize(
    ("code", "more"),
    [
        ("payment_mismatch", {"amount": "1.00"}),
        ("currency_mismatch", {"currency": "USD"}),
        ("payment_reference_taken", {"reference": "TX-1"}),
        ("already_paid", {}),
        ("order_not_found", {}),
        ("invalid_request", {"amount": "1e2", "price": 5}),
    ],
)
def test_bulk_payment_is_refused_as_it_is_refused_alone(api, shop, mug, code, more):
    order = place(shop, ("MUG-01", 1))
    pay(place(shop, ("MUG-01", 1)), reference="TX-1")
    if code == "already_paid":
        pay(order, reference="TX-2")
    told = receipt(order, **more)
    if code == "order_not_found":
        other = BusinessFactory()
        product(other)
        told = receipt(order_in(other, "pending"))
    before = everything_of(shop)
    alone = {name: value for name, value in told.items() if name != "order"}
    problem = api.patch(f"/orders/{told['order']}/payment", alone).json()
    (result,) = paid(api, told)
    assert result == {"outcome": "refused", "problem": result["problem"]}
    assert problem["code"] == code
    if code == "invalid_request":  # the fields that it knows are others: it needs the order's id
        for refusal in (problem, result["problem"]):
            refusal["errors"] = [(error["field"], error["code"]) for error in refusal["errors"]]
            del refusal["detail"]
    assert result["problem"] == problem
    assert everything_of(shop) == before


@pytest.mark.parametrize("rows", [[], [{}] * (MOST_ROWS + 1), None])
def test_bulk_payments_that_are_no_list_of_rows_are_refused_whole(api, rows):
    problem = refused(api.patch("/orders/bulk/payment", {"payments": rows}), 422, "invalid_request")
    assert problem["errors"][0]["code"] == "not_rows"
