"""An order by hand, for who took it in a chat."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect, JsonResponse

from catalog.authentication import Access
from catalog.channels import Channel
from catalog.errors import KeyReused
from catalog.long_lists import LEAST_SEARCH
from catalog.models import Business, Product
from catalog.rights import Right
from catalog.staff import staff_form, staff_page
from catalog.wording import grouped, price
from customers.errors import InvalidPhone
from customers.models import Customer
from orders import doorway, services
from orders.errors import DiscountTooLarge, DuplicateOrder, KeyInFlight
from orders.serializers import MOST_LINES, PlacementSerializer
from orders.services import Placed
from orders.staff.forms import lines_in, whole
from orders.staff.page import ID, customer_in, link, show, words_in
from orders.views.orders import placement
from orders_project.api.fields import Money
from orders_project.api.reading import read
from orders_project.errors import DomainError, InvalidRequest
from orders_project.phones import complete_phone

FIELDS = ("channel", "customer", "take", "phone", "name", "email", "address", "shipping_fee", "discount", "note")
EMPTY_LINES = 3  # of a new form


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it was typed, and what there is to say of it: what the product costs and how many are left."""

    sku: str = ""
    quantity: str = "1"
    says: str = ""
    is_wrong: bool = False
    total: Decimal = Decimal(0)


@staff_form
def new_order(request: HttpRequest, access: Access) -> HttpResponseBase:
    """The form; when it is sent the order is placed or written down as a draft. A form that is refused keeps what
    was typed; the same form sent twice makes one order."""
    access.check(Right.ORDERS)
    key = str(uuid4())
    said: Said | None = None
    wrong: dict[str, str] = {}
    if request.method == "POST":
        key = request.POST.get("key", "") if ID.fullmatch(request.POST.get("key", "")) else key
        try:
            return HttpResponseRedirect(_taken(request, access, _place(request, access, key)))
        except DomainError as error:
            said, wrong = _explain(error)
            if isinstance(error, KeyReused):
                key = str(uuid4())  # what stands there now is another order
    lines = _look_at(access.business, request.POST or request.GET)
    return show(
        request,
        access,
        "staff/new_order.html",
        title="New order",
        question="What was ordered, and by whom?",
        key=key,
        typed=request.POST or _known(request, access),
        lines=lines + [Line()] * max(1, EMPTY_LINES - len(lines)),
        most_lines=MOST_LINES,
        total=_total(lines, request.POST, access.business),
        channels=Channel.choices,
        said=said,
        wrong=wrong,
    )


def _place(request: HttpRequest, access: Access, key: str) -> Placed:
    """The order that the form asks for. Raises what the API refuses."""
    asked = placement(read(_body(request, access.business), PlacementSerializer), idempotency_key=f"form-{key}")
    (outcome,) = doorway.place(access, [asked])
    if isinstance(outcome, KeyInFlight):
        # The second half of a double click: it waits for the first one and finds its order.
        return services.place(business=access.business, placement=asked, actor=access.actor, now=access.now)
    if isinstance(outcome, DomainError):
        raise outcome
    return outcome


def _body(request: HttpRequest, business: Business) -> dict[str, Any]:
    """The form as the body of POST /orders, which is read by the same rules."""
    typed = {name: request.POST.get(name, "").strip() for name in FIELDS}
    optional = {
        "shipping_address": typed["address"].replace("\r\n", "\n"),
        "shipping_fee": typed["shipping_fee"],
        "discount": typed["discount"],
        "note": typed["note"].replace("\r\n", "\n"),
    }
    return {
        "channel": typed["channel"],
        "customer": _buyer(typed, business),
        "items": [
            {"sku": sku, "quantity": whole(quantity) or quantity}
            for sku, quantity in lines_in(request.POST, Product.objects.of(business.id))
            if sku
        ],
        "draft": "draft" in request.POST,
        **{name: text for name, text in optional.items() if text},
    }


def _buyer(typed: Mapping[str, str], business: Business) -> dict[str, str]:
    """Who was chosen, else who is described: by name, or by a phone that is known. Whoever has the phone under
    another name is taken if the form says so."""
    if typed["customer"]:
        return {"id": typed["customer"]}
    phone = complete_phone(typed["phone"], country=business.country)
    known = Customer.objects.of(business.id).filter(phone=phone).first() if phone else None
    if typed["name"]:
        if known is not None and known.name and known.name.casefold() != typed["name"].casefold():
            if typed["take"] == str(known.id):
                return {"id": typed["take"]}
            raise InvalidRequest.at(
                "customer.phone",
                "of_another",
                f"{typed['phone']} is {known.name}. Take them, or mend the number?",
                customer=str(known.id),
                name=known.name,
            )
        return {name: typed[name] for name in ("name", "phone", "email") if typed[name]}
    if known is None:
        raise InvalidRequest.at("customer.name", "required", "Give a name, or the phone of a customer you know.")
    return {"id": str(known.id)}


def _taken(request: HttpRequest, access: Access, placed: Placed) -> str:
    """Say what became of the order; returns the address of its page."""
    order = placed.order
    buyer = order.customer.name or order.customer.phone
    if order.payment_due_at is None:
        messages.success(request, f"{order.number} for {buyer} is written down as a draft. It holds no stock yet.")
    else:
        messages.success(
            request, f"{order.number} for {buyer} is placed, and holds its stock until it must be paid."
        )
    return link("order", access, order.id)


# --- What is wrong -----------------------------------------------------------------------------

# Where the form has what the API calls so.
FIELD_OF = {
    "channel": "channel",
    "customer.name": "name",
    "customer.phone": "phone",
    "customer.email": "email",
    "shipping_address": "address",
    "shipping_address.text": "address",
    "shipping_fee": "shipping_fee",
    "discount": "discount",
    "note": "note",
}


@dataclass(frozen=True, slots=True)
class Said:
    """Why there is no order, and the order that it is about, or the customer to `take`, if it is about one."""

    words: str
    order: str | None = None
    number: str | None = None
    take: Mapping[str, str] | None = None


def _explain(error: DomainError) -> tuple[Said, dict[str, str]]:
    """A refusal in the words of the form: on top of it, and field by field. What is wrong with a line it says
    itself."""
    if isinstance(error, InvalidPhone):
        return Said("Look at what is marked."), {"phone": error.detail}
    if isinstance(error, DiscountTooLarge):
        return Said("Look at what is marked."), {"discount": error.detail}
    if isinstance(error, InvalidRequest):
        wrong = {FIELD_OF[e["field"]]: e["message"] for e in error.facts["errors"] if e["field"] in FIELD_OF}
        take = next((e for e in error.facts["errors"] if e["code"] == "of_another"), None)
        return Said(_first_of_none(error) or "Look at what is marked.", take=take), wrong
    words = error.detail
    if isinstance(error, KeyReused):
        words = "This form was sent before, and is another order now. If you mean it, send it once more."
    elif isinstance(error, DuplicateOrder):
        words = (
            "The same customer ordered the same goods a moment ago. "
            f"If another order is meant, send it in {error.facts['possible_in']} s."
        )
    return Said(words, error.facts.get("order"), error.facts.get("number")), {}


def _first_of_none(error: InvalidRequest) -> str | None:
    """The first error of what is no single field or line of the form."""
    elsewhere = (
        e["message"] for e in error.facts["errors"] if e["field"] not in FIELD_OF and "[" not in e["field"]
    )
    return next(elsewhere, None)


# --- What there is to say of the lines ---------------------------------------------------------


def _look_at(business: Business, typed: Any) -> list[Line]:
    """The lines of a form that have an SKU, each with what there is to say of it now."""
    of_business = Product.objects.of(business.id)
    lines = [(sku, quantity) for sku, quantity in lines_in(typed, of_business) if sku]
    asked: Counter[str] = Counter()
    for sku, quantity in lines:
        asked[sku] += whole(quantity) or 0
    products = of_business.named(skus=[sku.replace("\0", "") for sku in asked])
    found = {product.sku: product for product in products.select_related("stock", "business")}
    channel = typed.get("channel", "")
    return [_say(sku, quantity, found.get(sku), asked[sku], channel) for sku, quantity in lines]


def _say(sku: str, quantity: str, product: Product | None, asked: int, channel: str) -> Line:
    units = whole(quantity)
    if product is None:
        return Line(sku, quantity, "No product has this SKU.", is_wrong=True)
    if not product.is_active:
        return Line(sku, quantity, f"{product.name} is no longer sold.", is_wrong=True)
    if not units:
        return Line(sku, quantity, "How many? A whole number is needed.", is_wrong=True)
    shelf = product.stock
    left = shelf.available_to(Channel(channel)) if channel in Channel else shelf.available
    says = f"{product.name}, {price(product.price, product.currency)}: {_left(product, left)}"
    if asked > left:
        says = f"{says}, you asked for {grouped(asked)}"
    return Line(sku, quantity, says, is_wrong=asked > left, total=product.price * units)


def _left(product: Product, left: int) -> str:
    """12 available, or only 2 left"""
    if left <= 0:
        return "none left"
    return f"only {grouped(left)} left" if left <= product.low_at else f"{grouped(left)} available"


def _total(lines: Iterable[Line], typed: Mapping[str, Any], business: Business) -> str:
    """What the form comes to as it stands."""
    fee, discount = (Money.read(typed.get(name, "").strip()) or 0 for name in ("shipping_fee", "discount"))
    return price(sum((line.total for line in lines), Decimal(0)) + fee - discount, business.currency)


@staff_page
def lines(request: HttpRequest, access: Access) -> HttpResponseBase:
    """What there is to say of the lines while they are typed, and what they come to."""
    access.check(Right.ORDERS)
    seen = _look_at(access.business, request.GET)
    return JsonResponse(
        {
            "lines": [{"sku": line.sku, "says": line.says, "is_wrong": line.is_wrong} for line in seen],
            "total": _total(seen, request.GET, access.business),
        }
    )


# --- Finding people and products while one types -----------------------------------------------

FEW = 8


@staff_page
def find_products(request: HttpRequest, access: Access) -> HttpResponseBase:
    """A few products with these words in their name or SKU."""
    access.check(Right.ORDERS)
    products = Product.objects.of(access.business.id).filter(is_active=True).select_related("stock", "business")
    return _found(
        {
            "sku": one.sku,
            "says": f"{one.name}, {price(one.price, one.currency)}, {_left(one, one.stock.available)}",
        }
        for one in _few(request, products.order_by("sku"))
    )


@staff_page
def find_customers(request: HttpRequest, access: Access) -> HttpResponseBase:
    """A few customers with these words in their name, email or phone, however the phone is written."""
    access.check(Right.ORDERS)
    customers = Customer.objects.of(access.business.id).order_by("name", "id")
    return _found(map(_described, _few(request, customers)))


def _few(request: HttpRequest, rows: Any) -> Any:
    """The first rows with the words that were typed; none before they are enough to look for."""
    words = words_in(request, "q")
    return rows.matching(words)[:FEW] if len(words) >= LEAST_SEARCH else rows.none()


def _found(rows: Iterable[dict[str, str]]) -> JsonResponse:
    return JsonResponse({"found": list(rows)})


def _described(customer: Customer) -> dict[str, str]:
    return {
        "customer": str(customer.id),
        "name": customer.name,
        "phone": customer.phone or "",
        "email": customer.email or "",
    }


def _known(request: HttpRequest, access: Access) -> dict[str, str]:
    """The customer that the address names, for a form that begins with them."""
    customer = customer_in(request, access)
    return {} if customer is None else _described(customer)
