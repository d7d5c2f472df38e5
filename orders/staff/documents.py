"""The papers of orders, to be printed."""

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase

from catalog.authentication import Access
from catalog.staff import staff_page
from orders.documents import Kind, print_orders
from orders.staff.page import ID
from orders.summary import summaries

MOST_DOCUMENTS = 200  # in one file


@staff_page
def documents(request: HttpRequest, access: Access) -> HttpResponseBase:
    """The packing slips or invoices of the orders that the address names, in its order, in one PDF."""
    kind, named = request.GET.get("kind", ""), request.GET.getlist("order")
    if kind not in list(Kind):
        raise Http404("There are packing slips and invoices.")
    if not 0 < len(named) <= MOST_DOCUMENTS or not all(map(ID.fullmatch, named)):
        raise Http404(f"Name between 1 and {MOST_DOCUMENTS} orders.")
    order_ids = list(dict.fromkeys(map(UUID, named)))
    orders = summaries(business_id=access.business.id, order_ids=order_ids)
    if len(orders) < len(order_ids):
        raise Http404("There is no such order.")
    which = f"-{orders[0].order.number}" if len(orders) == 1 else "s"
    return HttpResponse(
        print_orders(Kind(kind), access.business, orders, now=access.now),
        content_type="application/pdf",
        headers={"Content-Disposition": f'inline; filename="{kind.replace("_", "-")}{which}.pdf"'},
    )
