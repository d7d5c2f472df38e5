"""The API as its clients call it, for tests: a key, a path, a body, and a look at every refusal."""

import json
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from django.db.models import Model
from django.http import HttpResponse
from django.test import Client

from catalog.models import Business, Product, Stock, StockMovement
from customers.models import Customer
from factories import ACTOR, api_key
from orders.models import Order, OrderEvent, OrderItem, Payment, Shipment
from orders.payment_notices import FAILED
from orders.payment_sources import add_source
from orders_project import signatures
from orders_project.clock import database_now
from reservations.models import StockReservation

PROBLEM = ("type", "title", "status", "code", "detail")


class Caller:
    """A client of one shop's API. What goes wrong in a view is raised; what is refused must say so properly."""

    def __init__(self, shop: Business | None = None, *, key: str = "", client: Client | None = None) -> None:
        self.client = client or Client()
        if shop is not None:
            key = key or api_key(shop)
        self.headers = {"Authorization": f"Api-Key {key}"} if key else {}

    def get(self, path: str, query: dict[str, Any] | None = None, **headers: str) -> HttpResponse:
        return self.call("GET", f"{path}?{urlencode(query)}" if query else path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> HttpResponse:
        return self.call("POST", path, body, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> HttpResponse:
        return self.call("PUT", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> HttpResponse:
        return self.call("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> HttpResponse:
        return self.call("DELETE", path, **headers)

    def call(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json", **headers: str
    ) -> HttpResponse:
        """One call; `If_Match="3"` is the header If-Match. Text and bytes are sent as they are, else JSON."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = self.client.generic(
            method,
            path if path.startswith("/api") else f"/api/v1{path}",
            body if isinstance(body, str | bytes) else "" if body is None else json.dumps(body),
            content_type=content_type,
            headers={**self.headers, **named},
        )
        if response.status_code >= 400 and method != "HEAD":
            is_problem(response)
        return response


class Provider:
    """A payment provider that tells a shop of its payments."""

    def __init__(self, shop: Business, name: str = "stripe") -> None:
        self.source = add_source(business_id=shop.id, name=name, actor=ACTOR, now=database_now())

    def tells(self, type: str, order: Any = None, /, *, message: str = "", **data: Any) -> Any:
        """The answer to a message. Of an order (else it is what names one) it tells all that it costs, unless it
        says otherwise."""
        if isinstance(order, Order):
            if type != FAILED:
                data = {"reference": f"pi-{order.number}", "amount": str(order.total), "currency": "GBP", **data}
            order = {"id": str(order.id)}
        return self.sends({"type": type, "data": {"order": order, **data}}, message=message)

    def sends(self, body: Any, *, message: str = "", **signed: Any) -> Any:
        """The answer to a body, signed now and by us unless it says otherwise (`secret`, `at`, `as_if`)."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        message = message or f"msg_{uuid4()}"
        at = signed.get("at") or database_now()
        self.source.refresh_from_db()
        signature = signatures.signature(
            [signed.get("secret", self.source.secret)], message_id=message, at=at, body=signed.get("as_if", raw)
        )
        headers = {
            "webhook-id": message,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signature,
            **signed.get("headers", {}),
        }
        address = f"/api/v1/payment-notices/{signed.get('source', self.source.id)}"
        return Client().post(address, raw, content_type="application/json", headers=headers)


def is_problem(response: Any) -> dict[str, Any]:
    """The refusal in a response, which is problem details as RFC 9457 wants them, for a person too."""
    assert response.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = json.loads(response.content)
    assert set(PROBLEM) <= set(problem)
    assert problem["status"] == response.status_code < 500
    assert problem["type"] == f"/api/docs#{problem['code']}"
    assert problem["title"]
    assert len(problem["detail"]) > 10
    return problem


def refused(response: Any, status: int, code: str) -> dict[str, Any]:
    """The refusal in a response, which is this one."""
    problem = is_problem(response)
    assert (problem["status"], problem["code"]) == (status, code), problem
    return problem


def an_order(*lines: tuple[str, int], **more: Any) -> dict[str, Any]:
    """The body of an order: one mug on WhatsApp for a walk-in, unless it says otherwise."""
    return {
        "channel": "whatsapp",
        "customer": {"name": "Ada"},
        "items": [{"sku": sku, "quantity": quantity} for sku, quantity in lines or [("MUG-01", 1)]],
        **more,
    }


def everything_of(shop: Business) -> dict[str, Any]:
    """All that a shop has, to compare before and after: how many rows of each kind, and what changes in them."""
    changing: dict[type[Model], tuple[str, ...]] = {
        Stock: ("stock_quantity", "reserved_stock", "version"),
        Order: ("status", "payment_status", "version", "total", "note"),
        StockReservation: ("status", "quantity", "expires_at"),
        Customer: ("name", "phone", "total_orders", "total_spent"),
        Shipment: ("carrier", "tracking_number", "delivered_at"),
    }
    kinds = (Product, StockMovement, OrderItem, OrderEvent, Payment)
    counts = {model.__name__: model._default_manager.filter(business=shop).count() for model in kinds}
    rows = {
        model.__name__: list(
            model._default_manager.filter(business=shop).order_by("pk").values_list("pk", *fields)
        )
        for model, fields in changing.items()
    }
    return counts | rows
