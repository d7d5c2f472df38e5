"""One customer: what they are worth and why, what they ordered, and what is known of them. And two who are one."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect

from catalog.authentication import Access
from catalog.long_lists import LEAST_SEARCH
from catalog.models import AuditEntry
from catalog.rights import Right
from catalog.staff import staff_form
from catalog.wording import DASH, grouped, of, price
from customers.errors import CustomerNotFound, IdentityTaken, InvalidPhone
from customers.models import Customer
from customers.services import edit_customer, explain_score, find_customer, merged_fields
from customers.services.editing import LONGEST
from orders.models import Order
from orders.services import merge_customers
from orders.services.merging import MOST_MOVED
from orders.staff.forms import say
from orders.staff.page import ID, link, show, turn_page, words_in
from orders_project.errors import DomainError

LAST_CHANGES = 10  # that people made, shown of a customer
FEW = 20  # who are offered to merge with

NOT_ONES_OWN = {"autocomplete": "off"}


class OnFile(forms.Form):
    """What people say of a customer."""

    name = forms.CharField(max_length=LONGEST["name"], widget=forms.TextInput(NOT_ONES_OWN))
    phone = forms.CharField(
        max_length=LONGEST["phone"], required=False, widget=forms.TextInput({"type": "tel", **NOT_ONES_OWN})
    )
    email = forms.CharField(max_length=LONGEST["email"], required=False, widget=forms.EmailInput(NOT_ONES_OWN))
    external_id = forms.CharField(
        label="Id elsewhere",
        max_length=LONGEST["external_id"],
        required=False,
        help_text="What your other systems call this customer.",
        widget=forms.TextInput(NOT_ONES_OWN),
    )
    note = forms.CharField(
        max_length=LONGEST["note"],
        required=False,
        help_text="Only your own people see it.",
        widget=forms.Textarea({"rows": 4}),
    )


@staff_form
def customer(request: HttpRequest, access: Access, customer_id: UUID) -> HttpResponseBase:
    """A customer's page. What is sent there puts right what is on file; if that is refused, the form comes again
    with what was typed. Of one who was merged it leads to the one who was kept."""
    try:
        found = find_customer(business_id=access.business.id, customer_id=customer_id)
    except CustomerNotFound as error:
        return _where_they_are(request, access, error)
    if request.method != "POST":
        on_file = {field: getattr(found, field) for field in Customer.ON_FILE}
        return _show(request, access, found, OnFile(initial=on_file))
    access.check(Right.CUSTOMERS)
    form = OnFile(request.POST)
    other = None
    if form.is_valid():
        try:
            edited = edit_customer(
                business=access.business,
                customer_id=customer_id,
                edit=form.cleaned_data,
                actor=access.actor,
                now=access.now,
                seen=request.POST.get("seen", ""),
            )
        except CustomerNotFound as error:
            return _where_they_are(request, access, error)
        except IdentityTaken as error:
            form.add_error(error.facts["field"], error.detail)
            other = error.facts["customer"]
        except InvalidPhone as error:
            form.add_error("phone", error.detail)
        except DomainError as error:
            say(form, error)
        else:
            messages.success(request, f"{edited.name} is changed.")
            return HttpResponseRedirect(link("customer", access, edited.id))
        # What is there now stands beside what was typed.
        found = find_customer(business_id=access.business.id, customer_id=customer_id)
    return _show(request, access, found, form, other=other)


def _where_they_are(request: HttpRequest, access: Access, error: CustomerNotFound) -> HttpResponseRedirect:
    """To the customer into whom this one was merged. Raises CustomerNotFound if they weren't."""
    kept = error.facts.get("merged_into")
    if kept is None:
        raise error
    if "part" not in request.GET:
        messages.info(request, f"{error.detail} This is the one who was kept.")
    return HttpResponseRedirect(link("customer", access, kept))


def _show(
    request: HttpRequest, access: Access, found: Customer, form: OnFile, other: str | None = None
) -> HttpResponse:
    placed = Order.objects.of(access.business.id).filter(customer=found)
    orders, older = turn_page(placed, "created_at", request.GET.get("before", ""))
    parts = explain_score(customer=found, now=access.now)
    of_customer = AuditEntry.objects.filter(business=access.business, subject=str(found.id))
    return show(
        request,
        access,
        "staff/customer.html",
        title=found.name or DASH,
        question="What are they worth, and what did they order?",
        customer=found,
        score=sum(part.points for part in parts),
        parts=parts,
        alike=Customer.objects.alike(found).order_by("created_at", "id")[:FEW],
        orders=orders,
        older=older,
        form=form,
        merge_with=other,
        changes=of_customer.order_by("-at", "-id")[:LAST_CHANGES],
    )


@dataclass(frozen=True, slots=True)
class Compared:
    """One thing of two customers, and what it is when they are one; whether the second one's is not kept."""

    title: str
    kept: str
    merged: str
    after: str
    is_lost: bool = False


@staff_form
def merge(request: HttpRequest, access: Access, customer_id: UUID) -> HttpResponseBase:
    """Who is the same as this customer? A search; or, if the address names them, both side by side, and what
    becomes of them. What is sent there merges the two."""
    access.check(Right.CUSTOMERS)
    business_id, sent = access.business.id, request.POST
    try:
        kept = find_customer(business_id=business_id, customer_id=customer_id)
    except CustomerNotFound as error:
        return _where_they_are(request, access, error)
    named = request.GET.get("with", "")
    if not named:
        return _choose(request, access, kept)
    if not ID.fullmatch(named):
        raise Http404("There is no such customer.")
    try:
        merged = find_customer(business_id=business_id, customer_id=UUID(named))
        if request.method == "POST":
            kept = merge_customers(
                business_id=business_id,
                kept_id=kept.id,
                merged_id=merged.id,
                seen=(sent.get("seen_kept", ""), sent.get("seen_merged", "")),
                actor=access.actor,
                now=access.now,
            )
            messages.success(request, f"{merged.name} is merged into {kept.name}.")
            return HttpResponseRedirect(link("customer", access, kept.id))
    except CustomerNotFound as error:
        return _choose(request, access, kept, problem=error.detail)
    except DomainError as error:
        kept, merged = (find_customer(business_id=business_id, customer_id=one.id) for one in (kept, merged))
        return _compare(request, access, kept, merged, problem=error.detail)
    return _compare(request, access, kept, merged)


def _choose(request: HttpRequest, access: Access, kept: Customer, problem: str = "") -> HttpResponse:
    """Customers who may be the same person: those with the same email first, then those whom a search finds, at
    first by the name."""
    words = words_in(request, "q", kept.name)
    others = Customer.objects.of(access.business.id).exclude(id=kept.id).order_by("name", "id")
    alike = list(Customer.objects.alike(kept).order_by("created_at", "id")[:FEW])
    found = list(others.matching(words)[:FEW]) if len(words) >= LEAST_SEARCH else []
    return show(
        request,
        access,
        "staff/customer_choose.html",
        title=f"Merge with {kept.name}",
        question="Who is the same person?",
        customer=kept,
        words=words,
        found=[*alike, *(one for one in found if one not in alike)],
        problem=problem,
    )


def _compare(
    request: HttpRequest, access: Access, kept: Customer, merged: Customer, problem: str = ""
) -> HttpResponse:
    rows = list(_rows(kept, merged))
    moved = Order.objects.of(access.business.id).filter(customer=merged)[: MOST_MOVED + 1].count()
    return show(
        request,
        access,
        "staff/customer_merge.html",
        title=f"Merge {merged.name} into {kept.name}",
        question="Are these two one person?",
        kept=kept,
        merged=merged,
        rows=rows,
        lost=[row for row in rows if row.is_lost],
        moved=of(moved, "order"),
        problem=problem,
    )


def _rows(kept: Customer, merged: Customer) -> Iterable[Compared]:
    """What stands side by side: what is on file, and the counters, which add up."""
    after = merged_fields(kept, merged)
    for field in Customer.ON_FILE:
        one, other = getattr(kept, field) or "", getattr(merged, field) or ""
        title = str(OnFile.base_fields[field].label or field).capitalize()
        is_lost = bool(other) and field != "note" and other != after[field]
        yield Compared(title, one, other, after[field] or "", is_lost)
    orders = kept.total_orders, merged.total_orders, kept.total_orders + merged.total_orders
    spent = kept.total_spent, merged.total_spent, kept.total_spent + merged.total_spent
    for title, (one, other, both) in {
        "Orders kept": [grouped(number) for number in orders],
        "Spent": [price(amount, kept.currency) for amount in spent],
    }.items():
        yield Compared(title, one, other, both)
