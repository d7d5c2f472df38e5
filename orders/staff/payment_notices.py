"""What payment providers told, and what of it a person must see to."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.http import HttpRequest, HttpResponseBase

from catalog.authentication import Access
from catalog.rights import Right
from catalog.staff import staff_action, staff_page
from catalog.wording import price
from orders import payment_notices as notices
from orders.errors import PaymentNoticeNotDone
from orders.models import PaymentNotice
from orders.payment_notices import CAPTURED, FAILED, REFUNDED, Outcome
from orders.staff.page import choice, link, show, turn_page

STATES = {"unmatched": "to see to", "waiting": "waiting", "all": "all"}
EMPTY = {
    "unmatched": "Every payment that was told of has its order. One that fits no order appears here.",
    "waiting": "Nothing waits. A payment that is told of before its order is there waits here for three days.",
    "all": "Nothing yet. What a payment source tells appears here.",
}

TOLD = {CAPTURED: "Paid", FAILED: "Payment failed", REFUNDED: "Refunded"}


@dataclass(frozen=True, slots=True)
class Told:
    """A notice as its row is shown: what it tells, and which order it names."""

    notice: PaymentNotice
    what: str
    sum: str
    reference: str
    order: str
    link: str


@staff_page
def payment_notices(request: HttpRequest, access: Access) -> HttpResponseBase:
    """The notices, the newest first: those that somebody must see to, unless it says otherwise."""
    state = choice(request, "state", STATES, "unmatched")
    found = PaymentNotice.objects.of(access.business.id).select_related("source", "order")
    if state == "unmatched":
        found = found.unmatched()
    elif state == "waiting":
        found = found.waiting()
    page, older = turn_page(found, "received_at", request.GET.get("before", ""))
    return show(
        request,
        access,
        "staff/payment_notices.html",
        title="Payment notices",
        question="Which payments fit no order?",
        told=list(_rows(page, access)),
        older=older,
        state=state,
        states=STATES,
        empty=EMPTY[state],
    )


def _rows(page: Iterable[PaymentNotice], access: Access) -> Iterable[Told]:
    for notice in page:
        facts = notice.facts if notice.type in TOLD else {}
        named = facts.get("order", {})
        yield Told(
            notice,
            what=TOLD.get(notice.type, notice.type),
            sum=price(facts.get("amount"), facts.get("currency", "")),
            reference=facts.get("reference", ""),
            order=notice.order.number if notice.order else " ".join(named.values()),
            link=link("order", access, notice.order.id) if notice.order else "",
        )


@staff_action(Right.PAYMENTS)
def try_notice(request: HttpRequest, access: Access, notice_id: UUID) -> str:
    """Do what a notice tells, if it can be done by now. If it can't, why not is kept, and PaymentNoticeNotDone
    raised."""
    notice = notices.try_again(
        business_id=access.business.id, notice_id=notice_id, actor=access.actor, now=access.now
    )
    if notice.outcome == Outcome.DONE:
        return "Done: it has its order now."
    if notice.outcome == Outcome.IGNORED:
        return f"Not needed any more: {notice.detail}"
    raise PaymentNoticeNotDone(f"Still not done: {notice.detail}", outcome=notice.outcome, reason=notice.code)


@staff_action(Right.PAYMENTS)
def put_away(request: HttpRequest, access: Access, notice_id: UUID) -> str:
    notices.put_away(business_id=access.business.id, notice_id=notice_id, actor=access.actor, now=access.now)
    return "Put away: you have seen to it. It stands among all of them, where it can still be tried again."
