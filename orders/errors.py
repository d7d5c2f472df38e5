"""Why an order says no."""

from orders_project.errors import DomainError


class OrderNotFound(DomainError):
    code = "order_not_found"
    status = 404
    title = "There is no such order"
    example = {"order": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"}


class UnknownProducts(DomainError):
    code = "unknown_sku"
    status = 422
    title = "The order asks for something that isn't sold here"
    example = {"items": [{"sku": "MUG-99"}]}


class InactiveProducts(DomainError):
    code = "inactive_product"
    status = 422
    title = "The order asks for something that is no longer sold"
    example = {"items": [{"sku": "MUG-01"}]}


class CurrencyMismatch(DomainError):
    code = "currency_mismatch"
    status = 422
    title = "The business sells in another currency"
    example = {"currency": "USD", "expected": "GBP"}


class InsufficientStock(DomainError):
    code = "insufficient_stock"
    title = "Not enough is left"
    example = {
        "items": [
            {
                "sku": "MUG-01",
                "product": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f",
                "requested": 3,
                "available": 2,
            }
        ]
    }


class DiscountTooLarge(DomainError):
    code = "discount_too_large"
    status = 422
    title = "The discount is more than the goods cost"
    example = {"discount": "30.00", "subtotal": "25.00", "currency": "GBP"}


class DuplicateOrder(DomainError):
    code = "duplicate_order"
    title = "The same customer ordered the same goods a moment ago"
    example = {
        "order": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f",
        "number": "261123-K7M2QX",
        "possible_in": 7,
    }


class TooManyOpenOrders(DomainError):
    code = "too_many_open_orders"
    title = "Too many orders of this customer wait for their payment"
    example = {"customer": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f", "open": 50, "allowed": 50}


class KeyInFlight(DomainError):
    code = "idempotency_key_in_flight"
    title = "A request with this Idempotency-Key is being answered right now"
    example = {"idempotency_key": "7f1c2d", "retry_after": 1}


class ExternalIdTaken(DomainError):
    code = "external_id_taken"
    title = "Another order has this external_id"
    example = {
        "external_id": "shop-1001",
        "order": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f",
        "number": "261123-K7M2QX",
    }


class IllegalTransition(DomainError):
    code = "illegal_transition"
    title = "The order can't go there from where it is"
    example = {
        "order_status": "cancelled",
        "requested": "paid",
        "allowed": [],
        "last_change": {"kind": "cancelled", "actor": "person:ada", "at": "2026-11-23T10:15:00Z"},
    }


class NotEditable(IllegalTransition):
    code = "not_editable"
    title = "Only a draft or a pending order can be edited"
    example = {**IllegalTransition.example, "requested": "edit"}


class PaymentWindowOver(DomainError):
    code = "payment_window_over"
    title = "The order's time to be paid is over"
    example = {"payment_due_at": "2026-11-23T10:15:00Z"}


class PaymentMismatch(DomainError):
    code = "payment_mismatch"
    status = 422
    title = "The amount is not what the order costs"
    example = {"amount": "20.00", "expected": "25.00", "difference": "-5.00", "currency": "GBP"}


class AlreadyPaid(DomainError):
    code = "already_paid"
    title = "The order was paid by another payment"
    example = {"provider": "bank", "reference": "TX-1", "at": "2026-11-23T10:15:00Z"}


class PaymentReferenceTaken(DomainError):
    code = "payment_reference_taken"
    title = "This payment belongs to another order, or is another amount"
    example = {"provider": "bank", "reference": "TX-1", "number": "261123-K7M2QX"}


class RefundTooLarge(DomainError):
    code = "refund_too_large"
    status = 422
    title = "More would go back than came in"
    example = {"amount": "30.00", "refundable": "25.00", "currency": "GBP"}


class ShippingDetailsRequired(DomainError):
    code = "shipping_details_required"
    status = 422
    title = "A parcel needs a carrier and a tracking number"
    example = {"missing": ["carrier", "tracking_number"]}


class DiscrepancyNotFound(DomainError):
    code = "discrepancy_not_found"
    status = 404
    title = "There is no such finding"
    example = {"discrepancy": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"}


class DiscrepancyClosed(DomainError):
    code = "discrepancy_closed"
    title = "This finding is closed already"
    example = {"status": "applied", "applied": "back_to_ledger", "closed_by": "person:ada"}


class BooksChanged(DomainError):
    code = "books_changed"
    title = "The books are not as they were found any more"
    example = {"found": "MUG-01: 12 on the shelf, 10 by its ledger."}


class BulkRunNotFound(DomainError):
    code = "bulk_run_not_found"
    status = 404
    title = "There is no such bulk run"
    example = {"run": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"}


class BulkRunConfirmed(DomainError):
    code = "bulk_run_confirmed"
    title = "This bulk run is being done already"
    example = {"actor": "person:ada", "confirmed_at": "2026-11-23T10:15:00Z"}


class NoOrders(DomainError):
    code = "no_orders"
    status = 422
    title = "No order was chosen"


class TooManyOrders(DomainError):
    code = "too_many_orders"
    status = 422
    title = "These are too many orders at once"
    example = {"most": 10000}


class InvalidSignature(DomainError):
    code = "invalid_signature"
    status = 401
    title = "The message isn't signed by this payment source"
    example = {"scheme": "Webhook-Signature"}


class MessageIdReused(DomainError):
    code = "message_id_reused"
    status = 422
    title = "Another message had this webhook-id"
    example = {"message_id": "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"}


class PaymentSourceNotFound(DomainError):
    code = "payment_source_not_found"
    status = 404
    title = "There is no such payment source"
    example = {"source": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"}


class PaymentNoticeNotFound(DomainError):
    code = "payment_notice_not_found"
    status = 404
    title = "There is no such payment notice"
    example = {"notice": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"}


class PaymentNoticeSettled(DomainError):
    code = "payment_notice_settled"
    title = "Nothing is left to do about this payment notice"
    example = {"outcome": "done", "settled_at": "2026-11-23T10:15:00Z"}


class PaymentNoticeNotDone(DomainError):
    code = "payment_notice_not_done"
    title = "What it tells still can't be done"
    example = {"outcome": "refused", "reason": "payment_mismatch"}


class WebhookNotFound(DomainError):
    code = "webhook_not_found"
    status = 404
    title = "There is no such webhook"
    example = {"webhook": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"}


class WebhookFailed(DomainError):
    code = "webhook_failed"
    title = "The address did not take it"
    example = {"webhook": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f", "answered": 500}
