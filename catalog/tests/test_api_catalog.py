"""Products, what is available of them, corrections of the count, and the ledger, over the API."""

from datetime import timedelta
from urllib.parse import quote
from uuid import UUID

import pytest

from callers import Caller, everything_of, is_problem, refused
from catalog.models import Product, StockMovement
from factories import BusinessFactory, on_shelf, place, product, verb

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

UNKNOWN = UUID(int=7)


@pytest.fixture
def mug(shop):
    return product(shop)


def skus(response):
    return [row["sku"] for row in response.json()["results"]]


def adjust(api, mug, delta, reason="counted", **headers):
    return api.post(f"/products/{mug.id}/stock-adjustments", {"delta": delta, "reason": reason}, **headers)


# --- Products and availability ---------------------------------------------------------------------


def test_products_show_what_is_available(shop, api, mug):
    place(shop, ("MUG-01", 3))
    [shown] = api.get("/products").json()["results"]
    assert shown == {
        "id": str(mug.id),
        "sku": "MUG-01",
        "name": "Product MUG-01",
        "description": "",
        "price": "9.90",
        "currency": "GBP",
        "is_active": True,
        "available": 7,
        "created_at": mug.created_at.isoformat().replace("+00:00", "Z"),
    }


def test_products_are_narrowed_and_ordered(shop, api, now):
    for n, (sku, price) in enumerate([("A-1", "3.00"), ("B-1", "1.00"), ("C-1", "2.00")]):
        product(shop, sku, price=price, now=now - timedelta(hours=n))
    Product.objects.filter(business=shop, sku="B-1").update(is_active=False)
    assert skus(api.get("/products")) == ["A-1", "B-1", "C-1"]
    assert skus(api.get("/products?ordering=price")) == ["B-1", "C-1", "A-1"]
    assert skus(api.get("/products?ordering=-sku")) == ["C-1", "B-1", "A-1"]
    assert skus(api.get("/products?is_active=false")) == ["B-1"]
    assert skus(api.get("/products?is_active=true")) == ["A-1", "C-1"]
    assert skus(api.get("/products?sku=C-1")) == ["C-1"]
    assert skus(api.get("/products?search=product+c")) == ["C-1"]
    assert skus(api.get("/products?search=-1&ordering=sku&limit=2")) == ["A-1", "B-1"]
    for query in (
        "is_active=1",
        "is_active=zz",
        "is_active=TRUE",
        "search=x",
        f"sku={'x' * 65}",
        "ordering=stock",
    ):
        refused(api.get(f"/products?{query}"), 400, "invalid_parameter")


@pytest.mark.parametrize("ordering", ["sku", "-price"])
def test_products_page_by_page_show_each_once(shop, api, ordering):
    for n in range(11):
        product(shop, f"SKU-{n:02}, ü", price=f"{n % 3}.00")
    seen, path = [], f"/products?ordering={ordering}&limit=3"
    while path:
        page = api.get(path.removeprefix("http://testserver")).json()
        seen += [row["sku"] for row in page["results"]]
        path = page["next"]
    assert len(seen) == len(set(seen)) == 11
    assert skus(api.get(f"/products?ordering={ordering}&limit=200")) == seen


def test_availability_is_stock_less_what_is_held(shop, api, mug):
    place(shop, ("MUG-01", 3))
    response = api.get(f"/products/{mug.id}/availability")
    assert response.json() == {
        "product": str(mug.id),
        "sku": "MUG-01",
        "stock_quantity": 10,
        "reserved_stock": 3,
        "available": 7,
        "version": 3,
    }
    assert response["ETag"] == '"3"'


def test_availability_is_one_question_to_the_database(shop, api, mug, django_assert_num_queries):
    for n in range(10):
        product(shop, f"SKU-{n}")
    api.get("/availability?sku=MUG-01")  # the key's use is noted
    with django_assert_num_queries(2):  # the key, the shelves
        assert len(api.get("/availability?sku=" + ",".join(f"SKU-{n}" for n in range(10))).json()) == 10
    with django_assert_num_queries(2):
        api.get(f"/products/{mug.id}/availability")


def test_availability_of_several_leaves_out_what_is_not_sold(shop, api, mug):
    product(shop, "CUP-01", stock=0)
    product(BusinessFactory(), "THEIRS")
    answer = api.get("/availability?sku=MUG-01,,THEIRS,NONE, CUP-01 ,MUG-01".replace(" ", "%20")).json()
    assert [(row["sku"], row["available"]) for row in answer] == [("CUP-01", 0), ("MUG-01", 10)]


def test_availability_takes_a_hundred_of_the_longest_skus_and_no_more(shop, api):
    names = [f"{n:064}" for n in range(100)]
    product(shop, names[99])
    assert [row["sku"] for row in api.get(f"/availability?sku={','.join(names)}").json()] == [names[99]]
    problem = refused(api.get(f"/availability?sku={','.join(map(str, range(101)))}"), 400, "invalid_parameter")
    assert (problem["parameter"], problem["most"]) == ("sku", 100)
    for query in (
        "",
        "?sku=",
        "?sku=,,%20",
        "?sku=a&sku=b",
        "?skus=a",
        "?sku=%00",
        "?sku=%ff",
        f"?sku={'x' * 9000}",
    ):
        refused(api.get(f"/availability{query}"), 400, "invalid_parameter")


def test_availability_of_what_is_not_ours_is_not_found(shop, api):
    theirs = product(BusinessFactory())
    for product_id in (UNKNOWN, theirs.id):
        problem = refused(api.get(f"/products/{product_id}/availability"), 404, "product_not_found")
        assert problem["product"] == str(product_id)
    refused(api.get(f"/products/{theirs.id}/availability?x=1"), 400, "invalid_parameter")


# --- Corrections -----------------------------------------------------------------------------------


def test_adjust_answers_the_new_availability(shop, api, mug):
    response = adjust(api, mug, -3, "three broke")
    assert response.status_code == 201
    assert response.json() == {
        "product": str(mug.id),
        "sku": "MUG-01",
        "stock_quantity": 7,
        "reserved_stock": 0,
        "available": 7,
        "version": 3,
    }
    assert response["ETag"] == '"3"'
    assert adjust(api, mug, 5).json()["available"] == 12
    newest = api.get("/stock-movements?kind=adjusted").json()["results"]
    assert [(row["stock_delta"], row["reason"], row["actor"]) for row in newest] == [
        (5, "counted", "key:Test"),
        (-3, "three broke", "key:Test"),
    ]


def test_adjust_below_what_is_held_is_refused(shop, api, mug):
    place(shop, ("MUG-01", 4))
    problem = refused(adjust(api, mug, -7), 409, "stock_below_reserved")
    assert (problem["stock_quantity"], problem["reserved_stock"], problem["delta"]) == (10, 4, -7)
    assert "6 can be taken off at most" in problem["detail"]
    assert adjust(api, mug, -6).json()["available"] == 0


def test_adjust_a_version_that_passed_is_refused(shop, api, mug):
    etag = api.get(f"/products/{mug.id}/availability")["ETag"]
    place(shop, ("MUG-01", 1))
    problem = refused(adjust(api, mug, 1, If_Match=etag), 412, "version_changed")
    assert (problem["version"], problem["expected"]) == (3, 2)
    assert on_shelf(shop) == (10, 1)
    assert adjust(api, mug, 1, If_Match='W/"3"').status_code == 201
    assert adjust(api, mug, 1, If_Match="*").status_code == 201


def test_adjust_with_the_same_key_is_done_once(shop, api, mug):
    cup = product(shop, "CUP-01")
    first, again = [adjust(api, mug, 2, Idempotency_Key="k-1", If_Match='"2"') for _ in "12"]
    assert first.status_code == 201
    assert again.status_code in (200, 201)
    assert again.json() == first.json()
    for response in (
        adjust(api, mug, 3, Idempotency_Key="k-1"),
        adjust(api, mug, 2, "another reason", Idempotency_Key="k-1"),
        adjust(api, cup, 2, Idempotency_Key="k-1"),
    ):
        assert refused(response, 422, "idempotency_key_reused")["idempotency_key"] == "k-1"
    assert (on_shelf(shop), on_shelf(shop, "CUP-01")) == ((12, 0), (10, 0))
    theirs = BusinessFactory()
    assert adjust(Caller(theirs), product(theirs), 2, Idempotency_Key="k-1").status_code == 201


def test_adjust_refuses_nonsense(shop, api, mug):
    before = everything_of(shop)
    deltas = [0, 1_000_001, -1_000_001, 10**30, 1.5, 1.0, True, None, "1", "+1", [], {}]
    reasons = ["", " ", None, 5, [], "x" * 201, "\x00", "\ud800", "a\u200bb"]
    bodies = [
        *({"delta": delta, "reason": "counted"} for delta in deltas),
        *({"delta": 1, "reason": reason} for reason in reasons),
        *({}, {"delta": 1}, {"reason": "counted"}),
        *({"delta": 1, "reason": "x", "stock_quantity": 99}, {"delta": 1, "reason": "x", "actor": "root"}),
    ]
    for body in bodies:
        problem = is_problem(api.post(f"/products/{mug.id}/stock-adjustments", body))
        assert (problem["status"], problem["code"]) == (422, "invalid_request"), body
        assert problem["errors"][0]["field"]
    assert everything_of(shop) == before


def test_adjust_what_is_not_ours_is_not_found(shop, api):
    theirs = BusinessFactory()
    their_mug = product(theirs)
    refused(adjust(api, their_mug, 1), 404, "product_not_found")
    refused(
        api.post(f"/products/{UNKNOWN}/stock-adjustments", {"delta": 1, "reason": "x"}), 404, "product_not_found"
    )
    assert on_shelf(theirs) == (10, 0)


# --- The ledger ------------------------------------------------------------------------------------


def test_ledger_tells_every_move_and_is_narrowed(shop, api, now, mug):
    product(shop, "CUP-01")
    order = place(shop, ("MUG-01", 2))
    verb("cancel", order, reason="changed their mind")
    rows = api.get(f"/stock-movements?product={mug.id}").json()["results"]
    assert set(rows[0]) == {
        *("id", "product", "sku", "kind", "stock_delta", "reserved_delta", "order", "actor", "reason", "at"),
    }
    assert [(row["kind"], row["stock_delta"], row["reserved_delta"]) for row in rows] == [
        ("released", 0, -2),
        ("reserved", 0, 2),
        ("opening", 10, 0),
    ]
    assert [row["order"] for row in rows] == [str(order.id), str(order.id), None]
    assert skus(api.get("/stock-movements?sku=CUP-01")) == ["CUP-01"]
    assert len(skus(api.get(f"/stock-movements?order={order.id}"))) == 2
    assert len(skus(api.get("/stock-movements?kind=opening"))) == 2
    assert skus(api.get(f"/stock-movements?before={quote(now.isoformat())}")) == []
    assert len(skus(api.get(f"/stock-movements?after={quote(now.isoformat())}"))) == 4
    assert [row["kind"] for row in api.get("/stock-movements?ordering=at&limit=1").json()["results"]] == [
        "opening"
    ]
    for query in (
        "kind=zz",
        "kind=sold,opening",
        "product=1",
        "order=x",
        "after=now",
        "ordering=kind",
        "actor=me",
    ):
        refused(api.get(f"/stock-movements?{query}"), 400, "invalid_parameter")


def test_ledger_page_asks_as_much_for_many_as_for_few(shop, api, mug, now, django_assert_num_queries):
    api.get("/stock-movements")
    for rows in (5, 50):
        StockMovement.objects.bulk_create(
            StockMovement(
                business=shop,
                product=mug,
                kind="adjusted",
                stock_delta=delta,
                reserved_delta=0,
                actor="x",
                reason="x",
                at=now,
            )
            for delta in (1, -1) * (rows // 2)
        )
        with django_assert_num_queries(2):
            assert len(skus(api.get("/stock-movements?limit=200"))) >= rows - 1


def test_products_page_asks_as_much_for_many_as_for_few(shop, api, mug, django_assert_num_queries):
    api.get("/products")
    for n in range(20):
        if n in (4, 19):
            with django_assert_num_queries(2):
                assert len(skus(api.get("/products?limit=200"))) == n + 1
        product(shop, f"SKU-{n}")
