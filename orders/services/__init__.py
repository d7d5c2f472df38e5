"""The verbs of an order. Each is one transaction, takes keywords only, and gets the time as `now`."""

from orders.services.editing import Edit, edit, extend_hold, submit
from orders.services.ending import SWEEP_BATCH, cancel, expire_due, expire_in_batches, release_hold
from orders.services.fulfilling import deliver, record_shipping, ship, start_processing
from orders.services.merging import merge_customers
from orders.services.noting import add_note
from orders.services.paying import Receipt, confirm_payment, confirm_payments, mark_paid
from orders.services.placement import Placed, Placement
from orders.services.placing import place, place_many
from orders.services.pricing import Line
from orders.services.refunding import record_failed_payment, record_refund
from orders.services.timeline import change_as_seen, find_order, refuse
from orders.services.worth import restate_worth

__all__ = [
    "SWEEP_BATCH",
    "Edit",
    "Line",
    "Placed",
    "Placement",
    "Receipt",
    "add_note",
    "cancel",
    "change_as_seen",
    "confirm_payment",
    "confirm_payments",
    "deliver",
    "edit",
    "expire_due",
    "expire_in_batches",
    "extend_hold",
    "find_order",
    "mark_paid",
    "merge_customers",
    "place",
    "place_many",
    "record_failed_payment",
    "record_refund",
    "record_shipping",
    "refuse",
    "release_hold",
    "restate_worth",
    "ship",
    "start_processing",
    "submit",
]
