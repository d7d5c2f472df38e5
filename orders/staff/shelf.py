"""Stock that comes in, stock that is not as the books have it, and what of it a channel may not sell: by hand, one
product at a time."""

from collections.abc import Callable, Mapping
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect

from catalog.authentication import Access
from catalog.channels import Channel
from catalog.models import Product
from catalog.rights import Right
from catalog.services import adjust_stock, find_product, keep_back, receive_stock
from catalog.staff import staff_form
from catalog.wording import grouped, of, signed
from orders.staff.holds import reason_in
from orders.staff.page import link, show
from orders_project.errors import DomainError, InvalidRequest


@staff_form
def receive(request: HttpRequest, access: Access, product_id: UUID) -> HttpResponseBase:
    """Units that came in."""
    return _by_hand(request, access, product_id, "Receive", _receive)


@staff_form
def adjust(request: HttpRequest, access: Access, product_id: UUID) -> HttpResponseBase:
    """Units that are more or fewer than the books have, and why."""
    return _by_hand(request, access, product_id, "Adjust", _adjust)


@staff_form
def keep(request: HttpRequest, access: Access, product_id: UUID) -> HttpResponseBase:
    """Units that a channel leaves to the others."""
    return _by_hand(request, access, product_id, "Keep back", _keep)


QUESTIONS = {
    "Receive": "What came in?",
    "Adjust": "What is there really?",
    "Keep back": "What is not for every channel?",
}


def _by_hand(
    request: HttpRequest,
    access: Access,
    product_id: UUID,
    act: str,
    move: Callable[[HttpRequest, Access, Product], str],
) -> HttpResponseBase:
    """Do what the form says, and go back to the product; if it is refused, the form as it was filled in, beside
    what the shelf has now. Without a form sent, an empty one."""
    access.check(Right.STOCK)
    product = find_product(business_id=access.business.id, product_id=product_id)
    problem = ""
    if request.method == "POST":
        try:
            messages.success(request, move(request, access, product))
        except DomainError as refused:
            problem = refused.detail
            product.stock.refresh_from_db()
        else:
            return HttpResponseRedirect(link("product", access, product.id))
    return show(
        request,
        access,
        "staff/shelf.html",
        title=f"{act} {product.sku} {product.name}",
        question=QUESTIONS[act],
        product=product,
        form=f"staff/shelf_{act.split()[0].lower()}.html",
        kept=kept_of(product, request.POST),
        typed=request.POST,
        problem=problem,
    )


def _receive(request: HttpRequest, access: Access, product: Product) -> str:
    units = units_in(request.POST.get("units", ""))
    shelf = receive_stock(
        business_id=access.business.id,
        product_id=product.id,
        quantity=units,
        reason=reason_in(request) if request.POST.get("reason") else "",
        actor=access.actor,
        now=access.now,
        # Of one person, one delivery for what they saw: a second click is the same one.
        idempotency_key=f"{access.actor} received {product.id} at {version_in(request)}",
    )
    return f"Received {of(units, 'unit')} of {product.sku}: {grouped(shelf.stock_quantity)} on the shelf."


def _adjust(request: HttpRequest, access: Access, product: Product) -> str:
    delta = units_in(request.POST.get("units", ""))
    shelf = adjust_stock(
        business_id=access.business.id,
        product_id=product.id,
        delta=delta,
        reason=reason_in(request),
        actor=access.actor,
        now=access.now,
        expected_version=version_in(request),
    )
    return f"Adjusted {product.sku} by {signed(delta)}: {grouped(shelf.stock_quantity)} on the shelf."


def kept_of(product: Product, typed: Mapping[str, str]) -> list[tuple[Channel, int, str]]:
    """For the form: each channel, what is kept back from it, and what was typed instead."""
    kept = product.stock.kept_back
    return [(channel, units, typed.get(channel, str(units))) for channel, units in kept.items()]


def _keep(request: HttpRequest, access: Access, product: Product) -> str:
    typed = {channel: units_in(request.POST.get(channel, "")) for channel in Channel}
    shelf = keep_back(
        business_id=access.business.id,
        product_id=product.id,
        # What was left as it was shown stays as others may have set it meanwhile.
        units={
            channel: units for channel, units in typed.items() if request.POST.get(f"seen-{channel}") != str(units)
        },
        actor=access.actor,
        now=access.now,
    )
    kept = [f"{grouped(units)} from {channel.label}" for channel, units in shelf.kept_back.items() if units]
    return f"Kept back of {product.sku}: {', '.join(kept) or 'nothing'}."


MOST_DIGITS = 10


def units_in(text: str) -> int:
    """A whole number of units as people type it: 12, +3, -2, −2. Raises InvalidRequest."""
    sign, digits = (text[0], text[1:].lstrip()) if text[:1] in ("+", "-", "−") else ("", text)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= MOST_DIGITS):
        raise InvalidRequest.at("units", "not_an_integer", "Units are a whole number, such as 12.")
    return -int(digits) if sign in ("-", "−") else int(digits)


def version_in(request: HttpRequest) -> int:
    """The version of the shelf that was looked at. Raises InvalidRequest."""
    return units_in(request.POST.get("version", ""))
