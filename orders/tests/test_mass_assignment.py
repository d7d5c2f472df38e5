"""Whoever names a field of a model that a body or a form doesn't have changes nothing with it: every name of every
model is sent everywhere. So prices, totals, statuses, owners and rights are never what a client says.

Seen to fail where unknown fields of a body were passed over."""

import copy
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import models, transaction
from django.db.models import Field
from django.test import Client
from django.urls import reverse

from callers import Caller, an_order, refused
from catalog.models import Business
from factories import BusinessFactory, on_shelf, place, product
from orders.models import Order
from orders.tests.forms import Form, forms_on, pages_at
from orders.tests.staff import signed_in
from orders.tests.test_rights import STAFF, address_of, lists, one_of, pages, things_of
from orders.tests.test_rights_api import CHANGES, about, rows_of

pytestmark = [pytest.mark.usefixtures("db"), pytest.mark.slow]

OURS = ("catalog", "customers", "reservations", "orders", "auth")


def names() -> dict[str, Field]:
    """Every field of every model, by the names that it may be given by."""
    fields = [
        field
        for label in OURS
        for model in apps.get_app_config(label).get_models()
        for field in model._meta.fields
    ]
    return {name: field for field in fields for name in (field.name, field.attname)}


# --- The API -----------------------------------------------------------------------------------

# All that each body may have, at its first level and below.
LINE = {"sku", "product", "quantity"}
CUSTOMER = {"id", "name", "phone", "email", "external_id"}
ADDRESS = {"name", "line1", "line2", "city", "region", "postal_code", "country", "phone", "text"}
EDIT = {"items", "shipping_address", "shipping_fee", "discount", "note"}
PLACEMENT = EDIT | {"channel", "customer", "currency", "external_id", "draft"}
BODIES: dict[tuple[str, str], set[str]] = {
    ("POST", "orders"): PLACEMENT,
    ("PUT", "orders/<uuid:order_id>"): EDIT,
    ("PATCH", "orders/<uuid:order_id>/status"): {"status", "reason", "carrier", "tracking_number", "tracking_url"},
    ("PATCH", "orders/<uuid:order_id>/payment"): {
        *("status", "provider", "reference", "amount", "currency", "release", "reason"),
    },
    ("PATCH", "orders/<uuid:order_id>/shipping"): {
        *("carrier", "tracking_number", "tracking_url", "shipped_at", "delivered_at"),
    },
    ("POST", "products/<uuid:product_id>/stock-adjustments"): {"delta", "reason"},
    ("PATCH", "alerts/<uuid:alert_id>"): {"acknowledged", "snoozed_until"},
}


def planted(known: set[str]) -> Iterator[dict[str, str]]:
    """Names that a body doesn't know, a few at a time: a refusal doesn't list more."""
    unknown = sorted(names().keys() - known)
    for begin in range(0, len(unknown), 20):
        yield dict.fromkeys(unknown[begin : begin + 20], "1")


def unknown_in(problem: dict[str, Any]) -> set[str]:
    codes = {"unknown_field", "price_not_accepted"}
    return {error["field"] for error in problem["errors"] if error["code"] in codes}


def test_body_has_no_field_but_its_own(shop: Business) -> None:
    things = things_of(shop)
    api = Caller(shop)
    api.get("/products")  # which notes that the key is used
    before = rows_of(shop)
    assert {call for call in CHANGES if call[0] != "DELETE"} == BODIES.keys() - {("POST", "orders")}
    for (method, route), known in BODIES.items():
        body = CHANGES.get((method, route)) or an_order()
        for more in planted(known):
            problem = refused(api.call(method, about(route, things), {**body, **more}), 422, "invalid_request")
            assert unknown_in(problem) == set(more), route
    assert rows_of(shop) == before


@pytest.mark.parametrize(
    ("below", "known"), [("items[0]", LINE), ("customer", CUSTOMER), ("shipping_address", ADDRESS)]
)
def test_body_has_no_field_but_its_own_further_below(shop: Business, below: str, known: set[str]) -> None:
    product(shop)
    api, plain = Caller(shop), an_order(shipping_address={"line1": "1 High Street"}, idempotency_key="k-1")
    for more in planted(known):
        body = copy.deepcopy(plain)
        (body["items"][0] if below == "items[0]" else body[below]).update(more)
        (result,) = api.post("/orders/bulk", {"orders": [body]}).json()["results"]
        del body["idempotency_key"]
        for problem in (result["problem"], refused(api.post("/orders", body), 422, "invalid_request")):
            assert unknown_in(problem) == {f"{below}.{name}" for name in more}
    assert not Order.objects.filter(business=shop).exists()


@pytest.mark.parametrize("name", ["price", "unit_price", "total", "subtotal", "line_total"])
def test_price_is_never_what_a_client_says(shop: Business, name: str) -> None:
    product(shop, price="9.90")
    api = Caller(shop)
    line = {"sku": "MUG-01", "quantity": 2}
    for body in (an_order(**{name: "0.01"}), an_order(items=[{**line, name: "0.01"}])):
        assert [error["code"] for error in api.post("/orders", body).json()["errors"]] == ["price_not_accepted"]
    order = api.post("/orders", an_order(items=[line])).json()
    assert (order["total"], on_shelf(shop)) == ("19.80", (10, 2))


# --- The forms ---------------------------------------------------------------------------------


@pytest.fixture
def things(shop: Business) -> dict[str, Any]:
    things = things_of(shop)
    place(shop, ("MUG-01", 1), draft=True)
    return things


def forms(client: Client, shop: Business, things: dict[str, Any]) -> Iterable[Form]:
    """The forms of all our pages and of the admin's."""
    looked_at = [
        *(
            reverse(f"staff:{name}", kwargs={key: things[key] for key in keys})
            for name, keys in pages()
            if "GET" in STAFF[name]
        ),
        *(reverse("staff:order", args=[order.id]) for order in Order.objects.filter(business=shop)),
        *(address_of(model, "change", one_of(model, shop).pk) for model in lists()),
        *(address_of(model, "add") for model in lists()),
        reverse("admin:password_change"),
    ]
    return forms_on(pages_at(client, looked_at)).values()


def value_of(field: Field, theirs: Any) -> str:
    """Something that the field would take."""
    if isinstance(field, models.ForeignKey):
        return str(theirs)
    if field.choices:
        return str(list(field.flatchoices)[-1][0])
    if isinstance(field, models.BooleanField):
        return "on"
    if isinstance(field, models.DateTimeField):
        return "2026-01-01 00:00:00"
    if isinstance(field, models.IntegerField | models.DecimalField):
        return "1"
    return "planted"


# Of each row what is the same whenever it was written.
OF_ITS_OWN = re.compile(r"UUID\('[^']+'\)|datetime\.datetime\([^()]*(\([^()]*\))?[^()]*\)|[0-9a-f-]{36}")


def test_form_has_no_field_but_its_own(shop: Business, things: dict[str, Any]) -> None:
    """As it stands on the page it does the same, whatever stands beside what it asks for."""
    others = BusinessFactory()
    client = signed_in(shop)
    client.get("/staff/account/")  # which chooses the business
    cookie = client.cookies["sessionid"].value

    def rows() -> str:
        every = [rows_of(shop), rows_of(others), sorted(User.objects.values_list(), key=str)]
        return OF_ITS_OWN.sub("…", repr(every))

    def effect(form: Form, more: dict[str, str]) -> tuple[int, str]:
        sent: dict[str, list[str]] = {}
        for one in form.fields:
            if one.kind != "file" and one.values:
                sent.setdefault(one.name, []).extend(one.values)
        browser = Client()
        browser.cookies["sessionid"] = cookie
        with transaction.atomic():
            status = browser.post(form.action, {**more, **sent}).status_code
            left = rows()
            transaction.set_rollback(True)
        return status, left

    tried, changed, moved = 0, 0, []
    untouched = rows()
    for form in forms(client, shop, things):
        own = {one.name for one in form.fields} | {"business"}  # whose it is: see test_rights.py
        more = {name: value_of(field, others.id) for name, field in names().items() if name not in own}
        plain, assigned = effect(form, {}), effect(form, more)
        changed += plain[1] != untouched
        tried += 1
        if plain != assigned:
            moved.append((form.action, plain[0], assigned[0]))
    assert moved == []
    assert (tried > 25, changed > 8) == (True, True), (tried, changed)
