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


class CountRefused(DomainError):
    """`rows` tells of each product that was refused: what was counted, what its shelf has, what of it is held."""

    code = "count_refused"
    title = "The shelf is not as it was when it was counted"
    example = {
        "rows": [
            {
                "product": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f",
                "sku": "MUG-01",
                "counted": 2,
                "stock_quantity": 5,
                "reserved_stock": 3,
            }
        ]
    }


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
    title = "You may not do that here"
    example = {"needed": "orders"}


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


class AlertClosed(DomainError):
    code = "alert_closed"
    title = "What this alert tells of is over"
    example = {"alert": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f", "closed_at": "2026-11-23T10:15:00Z"}


class MemberNotFound(DomainError):
    code = "member_not_found"
    status = 404
    title = "They don’t work here"
    example = {"member": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"}


class OwnPlace(DomainError):
    code = "own_place"
    title = "Nobody changes their own role"
    example = {"member": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"}


class LastOwner(DomainError):
    code = "last_owner"
    title = "A business keeps an owner"
    example = {"member": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"}


class ApiKeyNotFound(DomainError):
    code = "api_key_not_found"
    status = 404
    title = "There is no such key"
    example = {"key": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"}
