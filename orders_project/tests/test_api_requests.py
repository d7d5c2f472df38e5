"""Requests that are broken before anybody asks what they mean: bodies, headers, methods, addresses."""

import json
from collections.abc import Callable

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import get_resolver

from callers import Caller, an_order, everything_of, is_problem, refused
from catalog.rights import Right
from factories import api_key, order_in, product
from orders_project.api.parsing import LARGEST_BODY

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

GOOD = json.dumps(an_order())


@pytest.fixture
def mug(shop):
    return product(shop)


@pytest.fixture
def writes(shop, api, mug) -> dict[str, Callable[..., object]]:
    """Every call that takes a body."""
    order = order_in(shop, "pending")
    return {
        "POST": lambda body, **more: api.call("POST", "/orders", body, **more),
        "PUT": lambda body, **more: api.call("PUT", f"/orders/{order.id}", body, **more),
        "status": lambda body, **more: api.call("PATCH", f"/orders/{order.id}/status", body, **more),
        "payment": lambda body, **more: api.call("PATCH", f"/orders/{order.id}/payment", body, **more),
        "shipping": lambda body, **more: api.call("PATCH", f"/orders/{order.id}/shipping", body, **more),
        "stock": lambda body, **more: api.call("POST", f"/products/{mug.id}/stock-adjustments", body, **more),
    }


BODIES = {
    "truncated": (GOOD[:-1], 400, "malformed_body"),
    "cut inside a letter": ('{"note": "é'.encode()[:-1], 400, "malformed_body"),
    "no JSON": ("channel=whatsapp", 400, "malformed_body"),
    "single quotes": ("{'channel': 'whatsapp'}", 400, "malformed_body"),
    "a comma too many": ('{"channel": "whatsapp",}', 400, "malformed_body"),
    "two objects": (GOOD + GOOD, 400, "malformed_body"),
    "a comment": ("// hello\n" + GOOD, 400, "malformed_body"),
    "a name twice": ('{"note": "x", "items": [], "note": "y"}', 400, "malformed_body"),
    "a name twice, deep": ('{"items": [{"quantity": 1, "quantity": 100}]}', 400, "malformed_body"),
    "a name twice, once escaped": ('{"note": "x", "n\\u006fte": "y"}', 400, "malformed_body"),
    "NaN": ('{"discount": NaN}', 400, "malformed_body"),
    "Infinity": ('{"discount": Infinity}', 400, "malformed_body"),
    "-Infinity": ('{"discount": -Infinity}', 400, "malformed_body"),
    "a number beyond all bounds": ('{"discount": 1e9999999999999999999}', 400, "malformed_body"),
    "a number of too many digits": ('{"discount": ' + "9" * 5000 + "}", 400, "malformed_body"),
    "nested too deep": ('{"note":' + "[" * 11 + "]" * 11 + "}", 400, "malformed_body"),
    "nested 5,000 deep": ('{"note":' + "[" * 5000 + "]" * 5000 + "}", 400, "malformed_body"),
    "nested 5,000 deep in objects": ('{"a":' * 5000 + "1" + "}" * 5000, 400, "malformed_body"),
    "nested for ever": ("[" * 200_000, 400, "malformed_body"),
    "latin-1": ('{"note": "café"}'.encode("latin-1"), 400, "malformed_body"),
    "UTF-16": (GOOD.encode("utf-16"), 400, "malformed_body"),
    "UTF-32": (GOOD.encode("utf-32"), 400, "malformed_body"),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD.encode(), 400, "malformed_body"),
    "overlong UTF-8": (b'{"note": "\xc0\x80"}', 400, "malformed_body"),
    "a surrogate in UTF-8": (b'{"note": "\xed\xa0\x80"}', 400, "malformed_body"),
    "zeros": (b"\x00" * 100, 400, "malformed_body"),
    "too large": (json.dumps({"note": "x" * 300_000}), 413, "body_too_large"),
    "null": ("null", 422, "invalid_request"),
    "a list": ("[]", 422, "invalid_request"),
    "a list of orders": (f"[{GOOD}]", 422, "invalid_request"),
    "a text": ('"order"', 422, "invalid_request"),
    "a number": ("5", 422, "invalid_request"),
    "nothing": ("", 422, "invalid_request"),
    "an empty object": ("{}", 422, "invalid_request"),
    "a nul in a name": ('{"no\\u0000te": 1}', 422, "invalid_request"),
    "half a pair in a name": ('{"\\ud800": 1}', 422, "invalid_request"),
    "an override in a text": ('{"note": "\\u202egpj.exe"}', 422, "invalid_request"),
}


def test_write_refuses_a_body_that_can_not_be_read(shop, writes):
    before = everything_of(shop)
    for which, (body, status, code) in BODIES.items():
        for name, write in writes.items():
            if name == "shipping" and which in ("nothing", "an empty object"):
                refused(write(body), 409, "illegal_transition")  # that no parcel is named doesn't matter yet
            else:
                refused(write(body), status, code)
    assert everything_of(shop) == before


def test_write_refuses_a_body_and_says_where_and_why(writes):
    problem = refused(writes["POST"]('{"note": "x"\n"items": []}'), 400, "malformed_body")
    assert (problem["line"], problem["column"]) == (2, 1)
    assert "line 2, column 1" in problem["detail"]
    problem = refused(writes["POST"]('{"note": 1, "note": 2}'), 400, "malformed_body")
    assert (problem["reason"], problem["name"]) == ("repeated_name", "note")
    problem = refused(writes["POST"]("x" * 300_000), 413, "body_too_large")
    assert problem["limit_bytes"] == LARGEST_BODY
    problem = refused(writes["POST"]('{"customer": {"name": "a\\u200bb"}}'), 422, "invalid_request")
    assert problem["errors"][0]["field"] == "customer.name"
    assert problem["errors"][0]["character"] == "U+200B"


def test_write_refuses_a_repeated_name_among_thousands_in_no_time(writes):
    """Not by looking for each name among all others: that took half a minute for one request."""
    names = ",".join(f'"{n}":0' for n in range(24_000))
    problem = refused(writes["POST"](f'{{{names},"23999":0}}'), 400, "malformed_body")
    assert problem["name"] == "23999"


def test_write_takes_a_body_of_the_largest_size(api, mug):
    body = GOOD[:-1] + " " * (LARGEST_BODY - len(GOOD)) + "}"
    assert api.post("/orders", body).status_code == 201
    refused(api.post("/orders", body + " "), 413, "body_too_large")


NOT_JSON = [
    *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml"),
    *("", "json", "application/jsonp", "application/json-patch+json", "application/x-ndjson", "\x00"),
]


def test_write_refuses_what_is_not_called_json(shop, writes):
    before = everything_of(shop)
    for content_type in NOT_JSON:
        for write in writes.values():
            problem = refused(write(GOOD, content_type=content_type), 415, "unsupported_media_type")
            assert problem["needed"] == "application/json"
    assert everything_of(shop) == before


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;x=y"]
)
def test_write_takes_json_however_it_is_spelt(api, mug, content_type):
    assert api.call("POST", "/orders", GOOD, content_type=content_type).status_code == 201


# --- Headers ---------------------------------------------------------------------------------------


def test_write_refuses_an_idempotency_key_that_is_none(shop, api, mug):
    before = everything_of(shop)
    stock = f"/products/{mug.id}/stock-adjustments"
    for key in ("", "x" * 256, "x" * 300, "schlüssel", "ключ", "a\x00b", "a\x7fb", "a\tb", "\x1b"):
        for path, body in (("/orders", an_order()), (stock, {"delta": 1, "reason": "counted"})):
            problem = refused(api.post(path, body, Idempotency_Key=key), 400, "invalid_parameter")
            assert (problem["parameter"], problem["longest"]) == ("Idempotency-Key", 255)
    assert everything_of(shop) == before


def test_write_takes_an_idempotency_key_of_any_visible_signs(api, mug):
    for key in ("x" * 255, "a b", '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "{};'--%s"):
        assert api.post("/orders", an_order(), Idempotency_Key=key).status_code == 201


def test_write_refuses_an_if_match_that_is_no_version(shop, api, mug):
    order = order_in(shop, "pending")
    before = everything_of(shop)
    for etag in ('"x"', "x", "", '""', "-1", '"1.0"', '"1", "2"', "１", "9" * 40, "W/", "\x00", "é"):
        for response in (
            api.put(f"/orders/{order.id}", {"items": [{"sku": "MUG-01", "quantity": 1}]}, If_Match=etag),
            api.post(f"/products/{mug.id}/stock-adjustments", {"delta": 1, "reason": "counted"}, If_Match=etag),
        ):
            assert refused(response, 400, "invalid_parameter")["parameter"] == "If-Match"
    assert everything_of(shop) == before


def test_read_refuses_to_answer_in_anything_but_json(api):
    for accept in ("text/html", "application/xml", "image/*", "text/html;q=1", "x", "application/hal+json"):
        problem = refused(api.get("/orders", Accept=accept), 406, "not_acceptable")
        assert problem["available"] == ["application/json"]


def test_read_answers_json_to_whom_it_will_do(api):
    browser = "text/html,application/xhtml+xml,*/*;q=0.8"
    for accept in ("*/*", "application/*", "application/json", browser, "text/html, application/json"):
        response = api.get("/orders", Accept=accept)
        assert (response.status_code, response["Content-Type"]) == (200, "application/json")


def test_read_for_another_host_is_refused(api):
    refused(api.get("/orders", Host="evil.example"), 400, "bad_request")
    assert b"evil" not in api.get("/orders", Host="evil.example").content


# --- Methods and addresses -------------------------------------------------------------------------

METHODS = {
    "/orders": {"GET", "POST"},
    "/orders/bulk": {"POST"},
    "/orders/bulk/payment": {"PATCH"},
    "/orders/{id}": {"GET", "PUT", "DELETE"},
    "/orders/{id}/status": {"PATCH"},
    "/orders/{id}/payment": {"PATCH"},
    "/orders/{id}/shipping": {"PATCH"},
    "/orders/{id}/events": {"GET"},
    "/orders/stats/{id}": {"GET"},
    "/products": {"GET"},
    "/products/{id}/availability": {"GET"},
    "/products/{id}/stock-adjustments": {"POST"},
    "/availability": {"GET"},
    "/stock-movements": {"GET"},
    "/reservations": {"GET"},
    "/lost-demand": {"GET"},
    "/alerts": {"GET"},
    "/alerts/{id}": {"GET", "PATCH"},
    "/customers": {"GET"},
    "/customers/{id}": {"GET"},
}
SIGNED = {"/payment-notices/<uuid:source_id>"}  # asks for no key, and has its own tests
SOME_ID = "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"


def test_every_address_is_in_the_table_of_methods():
    [api] = [pattern for pattern in get_resolver().url_patterns if str(pattern.pattern) == "api/v1/"]
    paths = {f"/{pattern.pattern}" for pattern in api.url_patterns}
    assert {path.replace("{id}", "") for path in METHODS} == {
        path.replace("<uuid:order_id>", "")
        .replace("<uuid:product_id>", "")
        .replace("<uuid:customer_id>", "")
        .replace("<uuid:business_id>", "")
        .replace("<uuid:alert_id>", "")
        for path in paths - SIGNED
    }


def test_methods_that_an_address_does_not_have_are_refused(shop, api, mug):
    before = everything_of(shop)
    for path, methods in METHODS.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} - methods:
            problem = refused(api.call(method, path.replace("{id}", SOME_ID), "{}"), 405, "method_not_allowed")
            assert problem["method"] == method
            assert set(problem["allowed"]) == methods
        for method in ("HEAD", "OPTIONS"):
            assert api.call(method, path.replace("{id}", SOME_ID)).status_code < 500
    assert everything_of(shop) == before


def test_ids_that_are_none_name_nothing(api, mug):
    for path, methods in METHODS.items():
        if "{id}" in path:
            for name in ("1", "x", "%00", "%ff", "..", "-1", "1e5", "null", "'; --", SOME_ID[:-1], "{id}"):
                for method in methods:
                    refused(api.call(method, path.replace("{id}", name), "{}"), 404, "not_found")


def test_addresses_that_are_none_are_refused_as_json(api):
    for path in (
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/",
        "/api/v2/orders",
        "/api/v1/ordres",
        "/api/v1/%ff",
        "/api//",
    ):
        refused(api.get(path), 404, "not_found")
    browser = Client(enforce_csrf_checks=True)  # as every client is one, for what Django knows
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        refused(Caller(client=browser).call(method, "/api/v1/orders/1/status", "{}"), 404, "not_found")


def test_a_trailing_slash_is_as_good_as_none(shop, api, mug):
    for path, methods in METHODS.items():
        for method in methods:
            one, other = (api.call(method, path.replace("{id}", SOME_ID) + slash, "{}") for slash in ("", "/"))
            assert one.status_code == other.status_code
            if one.status_code >= 400:
                assert is_problem(one)["code"] == is_problem(other)["code"]


def test_writes_refuse_parameters_that_they_do_not_know(shop, api, mug):
    order = order_in(shop, "pending")
    before = everything_of(shop)
    for path, methods in METHODS.items():
        address = path.replace("{id}", str(mug.id if "products" in path else order.id))
        for method in methods - {"GET"}:
            problem = refused(api.call(method, f"{address}?force=true", "{}"), 400, "invalid_parameter")
            assert problem["parameter"] == "force"
    assert everything_of(shop) == before


def test_a_read_only_key_can_write_nothing(shop, mug):
    order = order_in(shop, "pending")
    api = Caller(key=api_key(shop, "read"))
    before = everything_of(shop)
    for path, methods in METHODS.items():
        address = path.replace("{id}", str(mug.id if "products" in path else order.id))
        for method in methods - {"GET"}:
            problem = refused(api.call(method, address, GOOD), 403, "not_allowed")
            assert problem["needed"] in {right.value for right in Right}
    assert api.get(f"/orders/{order.id}").status_code == 200
    assert everything_of(shop) == before


def test_nobody_can_do_anything_without_a_key(shop, mug):
    order = order_in(shop, "pending")
    before = everything_of(shop)
    for path, methods in METHODS.items():
        address = path.replace("{id}", str(mug.id if "products" in path else order.id))
        for method in methods:
            response = Caller().call(method, address, GOOD)
            refused(response, 401, "not_authenticated")
            assert response["WWW-Authenticate"] == "Api-Key"
    assert everything_of(shop) == before


def test_database_that_takes_no_writes_is_busy(api, mug):
    """As while another server takes its place: with Django's InternalError left alone, it was a 500."""
    order = order_in(mug.business, "pending")
    for method, path, body in (
        ("POST", "/orders", an_order()),
        ("POST", f"/products/{mug.id}/stock-adjustments", {"delta": 1, "reason": "counted"}),
        ("DELETE", f"/orders/{order.id}", None),
    ):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
            response = api.client.generic(
                method, f"/api/v1{path}", json.dumps(body), "application/json", headers=api.headers
            )
            transaction.set_rollback(True)
        assert (response.status_code, response.json()["code"]) == (503, "busy")
        assert response["Retry-After"] == "1"
