"""One order: what must be done for it, what it is, all that happened, and the buttons that move it on."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, QueryDict

from catalog.authentication import Access
from catalog.errors import NotAllowed
from catalog.models import LONGEST_PAYMENT_WINDOW
from catalog.staff import staff_form
from orders.models import Order, OrderItem
from orders.services.noting import LONGEST_NOTE
from orders.staff.order_acts import ACTS, ADDRESS, do, forms, offered, version_seen
from orders.staff.page import link, show
from orders.staff.timeline import MOST_EVENTS, Entry, reason_words, timeline
from orders.summary import Summary, summaries
from orders_project.errors import DomainError
from reservations.models import StockReservation

Hold = StockReservation.Status

LAST_ORDERS = 5  # of the customer, shown beside this one


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a form was refused, and what others did since it was opened."""

    why: str
    meanwhile: Sequence[Entry]


@staff_form
def order(request: HttpRequest, access: Access, order_id: UUID, act: str = "") -> HttpResponseBase:
    """An order's page, with the form of an act open if the address names one. What is sent to that address is
    done; if it is refused, the form comes again with what was typed, and says who did what meanwhile."""
    if request.method != "POST":
        return _show(request, access, _summary(access, order_id), act)
    if not act:
        raise Http404("Nothing is sent there.")
    try:
        said = do(ACTS[act], request, access, order_id)
    except NotAllowed:
        raise
    except DomainError as error:
        return _show(request, access, _summary(access, order_id), act, error)
    messages.success(request, said)
    return HttpResponseRedirect(link("order", access, order_id))


def _summary(access: Access, order_id: UUID) -> Summary:
    """The order. Raises Http404."""
    for found in summaries(business_id=access.business.id, order_ids=[order_id]):
        return found
    raise Http404("There is no such order.")


def _show(
    request: HttpRequest, access: Access, summary: Summary, act: str, error: DomainError | None = None
) -> HttpResponse:
    order = summary.order
    entries = timeline(order)
    holds = StockReservation.objects.of(order.business_id).of_orders([order.id]).select_related("product")
    by_product = {hold.product_id: hold for hold in holds.order_by("product__sku")}
    refused = _refused(request.POST, error, entries) if error else None
    filled = forms(summary)
    possible = offered(summary, access)
    if act == "ship" and "correct" in possible:
        act = "correct"  # somebody else shipped it: what was typed may only set that right
    if refused and act in filled:  # what was typed stays, though it may have become impossible
        filled[act] = request.POST
        possible.add(act)
    # A page that renews itself behind somebody's back opens no form.
    opened = act if "part" not in request.GET else ""
    return show(
        request,
        access,
        "staff/order.html",
        title=f"Order {order.number}",
        question="What is to be done for it?",
        about=order.id,
        summary=summary,
        order=order,
        customer=order.customer,
        reason=reason_words(order.cancel_reason),
        items=[(item, by_product.get(item.product_id)) for item in summary.items],
        does=_does(summary, by_product.values()),
        others=_others(order),
        timeline=entries,
        is_cut=order.version > MOST_EVENTS,
        offered=possible,
        opened=opened,
        refused=refused,
        forms=filled,
        lines=_lines(summary.items, request.POST if refused and act == "edit" else None),
        address_parts=ADDRESS,
        longest_window=LONGEST_PAYMENT_WINDOW,
        longest_note=LONGEST_NOTE,
    )


def _refused(typed: QueryDict, error: DomainError, entries: Iterable[Entry]) -> Refused:
    seen = version_seen(typed)
    return Refused(error.detail, [entry for entry in entries if seen is not None and entry.version > seen])


def _others(order: Order) -> Iterable[Order]:
    """The last orders of the same customer besides this one."""
    of_customer = Order.objects.of(order.business_id).filter(customer=order.customer_id).exclude(id=order.id)
    return of_customer.order_by("-created_at", "-id")[:LAST_ORDERS]


@dataclass(frozen=True, slots=True)
class Does:
    """What cancelling would do to the stock: units that are held and would be free, and units that were sold and
    would come back on the shelf."""

    releases: str
    restocks: str


def _does(summary: Summary, holds: Iterable[StockReservation]) -> Does:
    goods: defaultdict[str, list[str]] = defaultdict(list)
    for hold in holds:
        goods[hold.status].append(f"{hold.quantity:,} × {hold.product.sku}")
    return Does(", ".join(goods[Hold.ACTIVE]), ", ".join(goods[Hold.CONVERTED]))


def _lines(items: Sequence[OrderItem], typed: QueryDict | None) -> list[Mapping[str, Any]]:
    """The lines of the form of an edit: those of the order or those that were typed, and an empty one."""
    if typed is None:
        found: list[tuple[str, Any]] = [(item.sku, item.quantity) for item in items]
    else:
        sent = zip(typed.getlist("sku"), typed.getlist("quantity"), strict=False)
        found = [(sku, units) for sku, units in sent if sku or units]
    names = {item.sku: item.name for item in items}
    return [{"sku": sku, "quantity": units, "name": names.get(sku, "")} for sku, units in [*found, ("", "")]]
