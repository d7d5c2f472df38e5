"""Bringing in the orders of another system from a CSV file, through the same verbs as any other order.

`reading` makes rows of the file's lines, `planning` decides by the rules of docs/import.md what the rows
become, and `loading` does it. What can't become an order is a Reject, with its line and the reason.
"""

from orders.importing.loading import Loaded, foresee, load, prepare
from orders.importing.planning import Plan
from orders.importing.reading import COLUMNS, NotReadable, Reason, Reject

__all__ = ["COLUMNS", "Loaded", "NotReadable", "Plan", "Reason", "Reject", "foresee", "load", "prepare"]
