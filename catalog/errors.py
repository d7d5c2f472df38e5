"""Why the catalog says no."""

from orders_project.errors import DomainError


class ProductNotFound(DomainError):
    code = "product_not_found"
    status = 404
    title = "There is no such product"
    example = {"product": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"}


class SkuTaken(DomainError):
    code = "sku_taken"
    title = "Another product has this SKU"
    example = {"sku": "MUG-01"}


class StockBelowReserved(DomainError):
    code = "stock_below_reserved"
    title = "Stock can't go under what is held for orders"
    example = {"stock_quantity": 5, "reserved_stock": 3, "delta": -4}


class KeyReused(DomainError):
    code = "idempotency_key_reused"
    status = 422
    title = "This Idempotency-Key was used for something else"
    example = {"idempotency_key": "7f1c2d"}


class NotAuthenticated(DomainError):
    code = "not_authenticated"
    status = 401
    title = "An API key is needed"
    example = {"scheme": "Authorization: Api-Key hf_…"}


class NotAllowed(DomainError):
    code = "not_allowed"
    status = 403
    title = "This key may not do that"
    example = {"scope": "read", "needed": "write"}


class BusinessNeeded(DomainError):
    code = "business_needed"
    status = 400
    title = "It is not clear which business is meant"
    example = {"header": "Holdfast-Business", "businesses": ["demo"]}


class AlertNotFound(DomainError):
    code = "alert_not_found"
    status = 404
    title = "There is no such alert"
    example = {"alert": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"}
