"""What schemathesis can't know of orders, so that its chains of calls go on from accepted ones: which orders and
products there are, that an item names one of them once, and what an order costs. It loads this file by itself.

Only what the schema allows is made acceptable, and only in chains; whatever else is tried stays as it came.
"""

import tomllib
from itertools import count, cycle
from pathlib import Path
from typing import Any

import schemathesis

SKUS = cycle(tomllib.loads(Path("schemathesis.toml").read_text())["dictionaries"]["skus"]["values"])
BUYERS = count(1)  # the same cart of the same buyer would be a double click

totals: dict[str, str] = {}  # of the orders that were answered, by their ids, the last one last


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    if case.meta is None or case.meta.phase.name != "stateful" or not case.meta.generation.mode.is_positive:
        return
    if totals and case.path_parameters.get("order_id", "") not in ("", *totals):
        case.path_parameters["order_id"] = next(reversed(totals))
    match case.method, case.path.removeprefix("/api/v1"):
        case "POST", "/orders":
            case.body = _order()
            case.headers.pop("Idempotency-Key", None)  # it would be that of another order
        case "POST", "/orders/bulk":
            case.body = {"orders": [{**_order(), "external_id": f"fuzz-{next(BUYERS)}"}]}
        case "PUT", "/orders/{order_id}":
            case.body = {"items": _items()}
        case "PATCH", "/orders/{order_id}/payment":
            order = case.path_parameters["order_id"]
            case.body = {"provider": "bank", "reference": f"TX-{order}", "amount": totals.get(order, "1")}


def _order() -> Any:
    return {"channel": "website", "customer": {"name": f"Ada {next(BUYERS)}"}, "items": _items()}


def _items() -> Any:
    return [{"sku": next(SKUS), "quantity": 1}]


@schemathesis.hook
def after_call(
    context: schemathesis.HookContext, case: schemathesis.Case, response: schemathesis.Response
) -> None:
    if case.path.startswith("/api/v1/orders") and response.status_code in (200, 201):
        told = response.json()
        if "total" in told:
            totals[told["id"]] = told["total"]
