"""What the forms of our pages have in common."""

from django.forms import BaseForm
from django.http import HttpRequest, QueryDict

from catalog.models import LONGEST_SKU
from catalog.querysets import ProductQuerySet
from orders.serializers import MOST_LINES
from orders_project.errors import DomainError

LINE = ("sku", "quantity")


def whole(text: str) -> int | None:
    """The number that somebody typed, if it is a whole one and not endless."""
    return int(text) if len(text) <= 9 and text.isascii() and text.isdigit() else None


def lines_in(sent: QueryDict, products: ProductQuerySet) -> list[tuple[str, str]]:
    """The SKU and the quantity of each line of a form, one more than there may be at most. An SKU that was typed
    with other capitals is the one on file."""
    skus, quantities = ([text.strip() for text in sent.getlist(name)[: MOST_LINES + 1]] for name in LINE)
    filed = products.as_filed({sku for sku in skus if 0 < len(sku) <= LONGEST_SKU and sku.isprintable()})
    return [(filed.get(sku, sku), units) for sku, units in zip(skus, quantities, strict=False)]


def posted(request: HttpRequest) -> QueryDict | None:
    """What was typed into a form, be it nothing at all; None if the form is only to be shown."""
    return request.POST if request.method == "POST" else None


def say(form: BaseForm, refusal: DomainError) -> None:
    """Put in a form why a verb refused what was typed: beside the field that it names, if that is one of the
    form's, else above all."""
    errors = refusal.facts.get("errors", [])
    named = errors[0]["field"] if errors else None
    form.add_error(named if named in form.fields else None, refusal.detail)
