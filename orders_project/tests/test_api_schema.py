"""The API's own documentation: whole, valid, and on our own ground."""

import json
import re
from html.parser import HTMLParser

import pytest
from django.contrib.auth import get_user_model
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client

from callers import Caller, an_order
from catalog.models import Membership
from factories import BusinessFactory, api_key, order_in, product
from orders_project.errors import DomainError
from proofs.fuzz.api import tried


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    file = tmp_path_factory.mktemp("schema") / "schema.json"
    call_command("spectacular", validate=True, fail_on_warn=True, format="openapi-json", file=str(file))
    return json.loads(file.read_text())


def operations(schema):
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def refusals(schema):
    """Every refusal that is documented: where, its status, its content."""
    for name, operation in operations(schema):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                yield name, int(status), response


@pytest.mark.slow
def test_schema_shows_an_example_of_every_refusal(schema):
    for name, status, response in refusals(schema):
        assert list(response["content"]) == ["application/problem+json"], (name, status)
        examples = response["content"]["application/problem+json"]["examples"].values()
        for example in (each["value"] for each in examples):
            assert {"type", "title", "status", "code", "detail"} <= set(example)
            assert example["status"] == status
            assert f"`{example['code']}`" in response["description"]


def codes(schema):
    return {
        code for _, _, response in refusals(schema) for code in re.findall(r"`(\w+)`:", response["description"])
    }


def every(error):
    for kind in error.__subclasses__():
        yield kind
        yield from every(kind)


# What is no answer of a documented call: of an address or a method that isn't there, of the admin and the staff's
# pages, of a defect.
NOT_OF_A_CALL = {
    *("method_not_allowed", "server_error", "sku_taken"),
    *("discrepancy_not_found", "discrepancy_closed", "books_changed"),
    *("member_not_found", "own_place", "last_owner", "api_key_not_found"),
    *("bulk_run_not_found", "bulk_run_confirmed", "no_orders", "too_many_orders"),
    *("payment_source_not_found", "webhook_not_found", "webhook_failed"),
    *("payment_notice_not_found", "payment_notice_settled", "payment_notice_not_done"),
    *("customer_identity_taken", "same_customer", "notes_too_long", "count_refused"),
}


def test_schema_names_every_refusal_that_there_is(schema):
    ours = {kind.code for kind in every(DomainError) if ".tests." not in kind.__module__}
    assert ours - codes(schema) == NOT_OF_A_CALL
    assert codes(schema) <= ours


def test_schema_says_of_every_call_that_it_needs_a_key(schema):
    for name, operation in operations(schema):
        is_signed = name == "POST /api/v1/payment-notices/{source_id}"
        assert {"401", "429", "503"} | (set() if is_signed else {"403"}) <= set(operation["responses"]), name
        assert operation["security"] == [{"Signature" if is_signed else "ApiKey": []}], name
        assert operation["description"], name
        writes = not name.startswith(("GET", "DELETE"))
        assert ("415" in operation["responses"]) == writes
        assert ("requestBody" in operation) == writes


@pytest.mark.usefixtures("db")
def test_schema_shows_an_order_as_it_is(schema, shop, api):
    product(shop)
    order_in(shop, "delivered")
    placed = api.post("/orders", an_order(shipping_address="12 High St")).json()
    shown = {
        "Order": placed,
        "OrderItem": placed["items"][0],
        "Reservation": placed["holds"][0],
        "Buyer": placed["customer"],
        "Payment": api.get("/orders?status=delivered").json()["results"][0]["payments"][0],
        "Shipment": api.get("/orders?status=delivered").json()["results"][0]["shipments"][0],
        "Product": api.get("/products").json()["results"][0],
        "Availability": api.get("/availability?sku=MUG-01").json()[0],
        "Customer": api.get("/customers").json()["results"][0],
        "StockMovement": api.get("/stock-movements").json()["results"][0],
        "OrderEvent": api.get(f"/orders/{placed['id']}/events").json()["results"][0],
        "Stats": api.get(f"/orders/stats/{shop.id}").json(),
    }
    for name, body in shown.items():
        properties = schema["components"]["schemas"][name]["properties"]
        assert set(body) == set(properties), name
        for field in ("total", "subtotal", "unit_price", "amount", "price", "total_spent"):
            if field in body:
                assert re.fullmatch(properties[field]["pattern"], body[field])


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "action")]


@pytest.mark.usefixtures("db")
def test_docs_ask_no_outside_host_for_anything():
    page = Client().get("/api/docs").content.decode()
    links = Links()
    links.feed(page)
    assert len(links.found) >= 3
    (script,) = (link for link in links.found if not link.startswith("/static/"))
    for link in links.found:
        assert link == script or finders.find(link.removeprefix("/static/")), link
    answer = Client().get(script)
    assert answer.headers["Content-Type"].startswith("application/javascript")
    assert '"/api/schema"' in answer.content.decode()
    for text in (page, answer.content.decode()):
        assert not re.search(r"[\"'](?:https?:)?//[a-z]", text)


@pytest.mark.slow
@pytest.mark.usefixtures("db")
def test_docs_are_open_to_everyone_whoever_they_are(shop):
    ada = get_user_model().objects.create_user("ada", password="x", is_staff=True)
    staff = Client()
    staff.force_login(ada)
    for callers in (Client(), staff, Client(headers={"Authorization": "Api-Key wrong"})):
        assert callers.get("/api/docs").status_code == 200
        assert callers.get("/api/schema?format=json").status_code == 200
    for business in (shop, BusinessFactory()):
        Membership.objects.create(business=business, user=ada, role="owner")
    assert staff.get("/api/docs").status_code == 200
    assert staff.get("/api/schema").status_code == 200
    assert Caller(shop).get("/api/docs").status_code == 200


@pytest.mark.slow
@pytest.mark.usefixtures("committed", "all_is_well")
def test_server_keeps_to_the_schema_whatever_it_is_sent(schema, shop, server, tmp_path):
    """schemathesis at the edges of every parameter and field, and in chains of calls: no server error, and nothing
    undocumented. `make fuzz` has more time, and other keys."""
    product(shop, stock=1000)
    for status in ("draft", "pending", "shipped"):
        order_in(shop, status)
    result = tried(
        server,
        business_id=str(shop.id),
        skus=["MUG-01"],
        key=api_key(shop),
        folder=tmp_path,
        seconds=30,
        phases=("examples", "coverage", "stateful"),
    )
    assert result.found == [], result.said[-10_000:]
    assert result.calls == len(list(operations(schema)))
