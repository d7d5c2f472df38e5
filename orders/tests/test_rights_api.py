"""Who may do what over the API, address by address, and what a stranger finds at every address there is. One that
is added without a row fails here; test_rights.py has those of the back office."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from django.apps import apps
from django.test import Client
from django.urls import URLPattern, get_resolver
from django.urls.converters import UUIDConverter

from callers import Caller, an_order
from catalog.express import AvailabilityLane
from catalog.models import ApiKey, Business, Membership
from catalog.rights import OF_SCOPE, Right
from catalog.services import make_api_key
from conftest import PATIENCE
from factories import BusinessFactory, api_key, order_in, product
from orders.express import LANES
from orders.models import Order
from orders.tests.staff import signed_in
from orders.tests.test_rights import EVERYONE, may, things_of
from orders_project.urls import api as api_urls

# Of each address of the API: the right that it takes to read (GET), and to change something. (A packer may move an
# order to some statuses; the verbs refuse the others, see test_api_access.py.)
API: dict[str, dict[str, Right | None]] = {
    "orders": {"GET": EVERYONE, "POST": Right.ORDERS},
    "orders/bulk": {"POST": Right.ORDERS},
    "orders/bulk/payment": {"PATCH": Right.PAYMENTS},
    "orders/<uuid:order_id>": {"GET": EVERYONE, "PUT": Right.ORDERS, "DELETE": Right.ORDERS},
    "orders/<uuid:order_id>/status": {"PATCH": Right.PACKING},
    "orders/<uuid:order_id>/payment": {"PATCH": Right.PAYMENTS},
    "orders/<uuid:order_id>/shipping": {"PATCH": Right.PACKING},
    "orders/<uuid:order_id>/events": {"GET": EVERYONE},
    "orders/stats/<uuid:business_id>": {"GET": EVERYONE},
    "products": {"GET": EVERYONE},
    "products/<uuid:product_id>/availability": {"GET": EVERYONE},
    "products/<uuid:product_id>/stock-adjustments": {"POST": Right.STOCK},
    "availability": {"GET": EVERYONE},
    "alerts": {"GET": EVERYONE},
    "alerts/<uuid:alert_id>": {"GET": EVERYONE, "PATCH": Right.ALERTS},
    "stock-movements": {"GET": EVERYONE},
    "lost-demand": {"GET": EVERYONE},
    "reservations": {"GET": EVERYONE},
    "customers": {"GET": EVERYONE},
    "customers/<uuid:customer_id>": {"GET": EVERYONE},
}

# Those that know their caller by something else than a key: it is tested where they are.
BY_SIGNATURE = {"payment-notices/<uuid:source_id>"}

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")

# What anybody may look at, and where anybody may send something.
LOOK, SEND = {"GET", "HEAD"}, set(METHODS)
OPEN = {
    **dict.fromkeys(("api/schema", "api/docs", "healthz", "readyz"), LOOK),
    **dict.fromkeys(("favicon.ico", "admin/login/", "forgotten/", "welcome/<uidb64>/<token>/"), SEND),
}


def addresses(patterns: Any = None, before: str = "") -> Iterator[tuple[str, str]]:
    """Every address there is: as the URL conf has it, and with something in the place of each id."""
    for pattern in patterns or get_resolver().url_patterns:
        route = before + str(pattern.pattern).lstrip("^")
        if isinstance(pattern, URLPattern):
            address = route
            for name, converter in pattern.pattern.converters.items():
                value = str(UUID(int=1)) if isinstance(converter, UUIDConverter) else "x"
                kind = "uuid:" if isinstance(converter, UUIDConverter) else ""
                address = address.replace(f"<{kind}{name}>", value).replace(f"<path:{name}>", value)
            yield route, "/" + address.removesuffix("$").replace("(?P<url>.*)", "x").replace("(?:/|$)", "/x")
        else:
            yield from addresses(pattern.url_patterns, route)


def refuses(status: int) -> bool:
    return status in {401, 403}


# --- Strangers ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("db")
def test_strangers_get_in_nowhere() -> None:
    """At no address there is, by no method: they are asked to sign in or for a key, or it isn't there."""
    let_in, tried = [], 0
    for route, address in addresses():
        for method in METHODS:
            if method in OPEN.get(route, ()):
                continue
            answer = Client().generic(method, address)
            leads = answer.headers.get("Location", "")
            asked = leads.startswith("/admin/login/") or leads == "/admin/"
            if not (asked or answer.status_code in {401, 403, 404, 405}):
                let_in.append((method, address, answer.status_code, leads))
            tried += 1
    assert let_in == []
    assert tried > 1500


# --- Over the API ------------------------------------------------------------------------------


def test_every_address_of_the_api_has_its_row() -> None:
    assert {str(pattern.pattern) for pattern in api_urls} == API.keys() | BY_SIGNATURE


def calls(things: dict[str, Any]) -> Iterator[tuple[str, str, Right | None]]:
    """Every method of every address, with what it is about, and the right that it takes."""
    for route, methods in API.items():
        for method, right in methods.items():
            yield method, about(route, things), right


def about(route: str, things: dict[str, Any]) -> str:
    for name, value in things.items():
        route = route.replace(f"<uuid:{name}>", str(value))
    return f"/{route}"


@pytest.fixture
def things(shop: Business) -> dict[str, Any]:
    return {**things_of(shop), "business_id": shop.id}


@pytest.mark.slow
@pytest.mark.usefixtures("db")
def test_calls_are_for_keys_that_may(shop: Business, things: dict[str, Any], now: Any) -> None:
    revoked = api_key(shop)
    ApiKey.objects.filter(prefix=revoked[:9]).update(revoked_at=now)
    keys = {
        "": None,
        "hf_unknown": None,
        revoked: None,
        api_key(shop, ApiKey.Scope.READ): ApiKey.Scope.READ,
        api_key(shop): ApiKey.Scope.WRITE,
    }
    wrong = []
    for key, scope in keys.items():
        api = Caller(key=key)
        for method, address, right in calls(things):
            status = api.call(method, address, {}).status_code
            expected = 401 if scope is None else 403 if right not in {None, *OF_SCOPE[scope]} else None
            if status != expected if expected else refuses(status):
                wrong.append((key[:9], method, address, status))
    assert wrong == []


@pytest.mark.slow
@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("role", Membership.Role.values)
def test_calls_are_for_people_who_have_the_right(shop: Business, things: dict[str, Any], role: str) -> None:
    api = Caller(client=signed_in(shop, role))
    wrong = []
    for method, address, right in calls(things):
        status = api.call(method, address, {}).status_code
        if refuses(status) == may(role, right):
            wrong.append((method, address, status))
    assert wrong == []


# --- Between businesses ------------------------------------------------------------------------

# What a change sends that would be done, were it one's own.
CHANGES: dict[tuple[str, str], dict[str, Any] | None] = {
    ("PATCH", "orders/<uuid:order_id>/status"): {"status": "processing"},
    ("PATCH", "orders/<uuid:order_id>/payment"): {"provider": "bank", "reference": "TX-9", "amount": "19.80"},
    ("PATCH", "orders/<uuid:order_id>/shipping"): {"carrier": "DPD", "tracking_number": "1"},
    ("PUT", "orders/<uuid:order_id>"): {"items": [{"sku": "MUG-01", "quantity": 1}], "note": "Mine"},
    ("POST", "products/<uuid:product_id>/stock-adjustments"): {"delta": 1, "reason": "found"},
    ("PATCH", "alerts/<uuid:alert_id>"): {"acknowledged": True},
    ("DELETE", "orders/<uuid:order_id>"): None,
}


def rows_of(shop: Business) -> dict[str, list[Any]]:
    """Every row of a business, of every kind."""
    return {
        model.__name__: sorted(model._default_manager.filter(business=shop).values_list(), key=str)
        for model in apps.get_models()
        if any(field.name == "business" for field in model._meta.fields)
    }


@pytest.mark.slow
@pytest.mark.usefixtures("db")
def test_nothing_of_another_business_is_read_or_changed(shop: Business, things: dict[str, Any]) -> None:
    """By the ids of theirs in every address, whoever asks; the same calls about one's own are answered."""
    others = BusinessFactory()
    theirs = {**things_of(others), "business_id": others.id}
    before = rows_of(others)
    assert sum(map(len, before.values())) > 15
    ours: list[Any] = []
    with_ids = [(method, route) for route, methods in API.items() if "<" in route for method in methods]
    assert {call for call in with_ids if call[0] != "GET"} == set(CHANGES)
    for api in (Caller(shop), Caller(client=signed_in(shop))):
        found = [
            (method, route, answer.status_code)
            for method, route in with_ids
            if (answer := api.call(method, about(route, theirs), CHANGES.get((method, route)))).status_code != 404
        ]
        assert found == []
        ours = [
            api.call(method, about(route, things), CHANGES.get((method, route))).status_code
            for method, route in with_ids
        ]
    assert 404 not in ours
    assert rows_of(others) == before


@pytest.mark.slow
@pytest.mark.usefixtures("db")
def test_nothing_of_another_business_is_put_in_what_is_sent(shop: Business, things: dict[str, Any]) -> None:
    others = BusinessFactory()
    theirs = things_of(others)
    before = rows_of(others), Order.objects.filter(business=shop).count()
    api = Caller(shop)
    line = {"product": str(theirs["product_id"]), "quantity": 1}
    paid = {"order": str(theirs["order_id"]), "provider": "bank", "reference": "TX-9", "amount": "19.80"}
    for answer in (
        api.post("/orders", an_order(items=[line])),
        api.post("/orders", an_order(customer={"id": str(theirs["customer_id"])})),
        api.put(f"/orders/{things['order_id']}", {"items": [line]}),
    ):
        assert 404 <= answer.status_code <= 422
    bulk = [
        api.post("/orders/bulk", {"orders": [an_order(items=[line], idempotency_key="k")]}),
        api.patch("/orders/bulk/payment", {"payments": [paid]}),
    ]
    for answer in bulk:
        assert [result["outcome"] for result in answer.json()["results"]] == ["refused"]
    for name in ("orders", "reservations", "stock-movements", "lost-demand", "products", "customers", "alerts"):
        for parameter in ("business", "business_id"):
            assert api.get(f"/{name}", {parameter: str(others.id)}).status_code == 400
    for parameter, name in (("customer", "orders"), ("order", "reservations"), ("product", "stock-movements")):
        answer = api.get(f"/{name}", {parameter: str(theirs[f"{parameter}_id"])})
        assert answer.status_code == 400 or answer.json()["results"] == []
    assert (rows_of(others), Order.objects.filter(business=shop).count()) == before


# --- In the lanes ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("committed", "all_is_well")
def test_lanes_let_in_and_refuse_the_same(server: str, shop: Business, now: Any) -> None:
    """Django never sees these calls; so they are tried once more on the server, with keys that it has let in."""
    mug = product(shop)
    order = order_in(shop, "pending")
    things = {"product_id": mug.id, "order_id": order.id}
    others = BusinessFactory()
    product(others)
    row, revoked = make_api_key(business=shop, name="Old", scope=ApiKey.Scope.WRITE)
    bodies = {
        "api/v1/orders": an_order(),
        "api/v1/orders/bulk": {"orders": [an_order(idempotency_key=str(uuid4()))]},
        "api/v1/orders/bulk/payment": {
            "payments": [{"order": str(order.id), "provider": "b", "reference": "1", "amount": "1"}]
        },
        "api/v1/orders/<uuid:order_id>/payment": {"provider": "bank", "reference": "1", "amount": "19.80"},
    }
    lanes = [(lane.method, lane.route, bodies.get(lane.route)) for lane in (*LANES, AvailabilityLane())]

    def tried(key: str) -> list[int]:
        headers = {"Authorization": f"Api-Key {key}"}
        with httpx.Client(base_url=server, headers=headers, timeout=PATIENCE) as client:
            return [
                client.request(method, about(route, things), json=body).status_code
                if body
                else client.request(method, about(route, things)).status_code
                for method, route, body in lanes
            ]

    before = rows_of(shop)
    assert tried(api_key(shop, ApiKey.Scope.READ)) == [200 if method == "GET" else 403 for method, *_ in lanes]
    assert tried("hf_unknown") == [401] * len(lanes)
    foreign = dict(zip((route for _, route, _ in lanes), tried(api_key(others)), strict=True))
    assert {status for route, status in foreign.items() if "<" in route} == {404}
    after = rows_of(shop)
    assert {kind: rows for kind, rows in after.items() if kind != "ApiKey"} == {
        kind: rows for kind, rows in before.items() if kind != "ApiKey"
    }
    assert 401 not in tried(revoked)
    ApiKey.objects.filter(id=row.id).update(revoked_at=now)
    assert tried(revoked) == [401] * len(lanes)
