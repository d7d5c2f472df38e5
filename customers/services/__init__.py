"""What is done with customers. Each verb takes keywords only, and gets the time as `now`."""

from customers.services.adding import add_customers
from customers.services.counting import Sale, Worth, count_sales, hold, restate
from customers.services.editing import edit_customer, edit_customers, find_customer
from customers.services.merging import merged_fields, remove_merged, take_both
from customers.services.recognising import Buyer, Person, new_rows, recognise
from customers.services.scoring import explain_score, rescore, rescore_everyone

__all__ = [
    "Buyer",
    "Person",
    "Sale",
    "Worth",
    "add_customers",
    "count_sales",
    "edit_customer",
    "edit_customers",
    "explain_score",
    "find_customer",
    "hold",
    "merged_fields",
    "new_rows",
    "recognise",
    "remove_merged",
    "rescore",
    "rescore_everyone",
    "restate",
    "take_both",
]
