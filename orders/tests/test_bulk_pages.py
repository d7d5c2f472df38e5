"""The page of a bulk run: who may do what, what it says before and after, and the file of the answers."""

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.messages import get_messages
from django.contrib.messages.storage.fallback import FallbackStorage
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from catalog.authentication import Access
from catalog.models import Business, Membership
from catalog.rights import OF_ROLE
from factories import BusinessFactory, on_shelf, order_in, place, product, verb
from orders import bulk
from orders.lifecycle import may_become
from orders.models import BulkRun, Order
from orders.staff.bulk import prepare
from orders.tasks import do_bulk_runs
from orders.tests.staff import read, rows, signed_in
from orders_project.celery import app
from orders_project.clock import database_now

pytestmark = pytest.mark.usefixtures("db")

Action = BulkRun.Action
Role = Membership.Role

SENT = {
    Action.CONFIRM_PAYMENT: {"provider": "bank", "prefix": "S7-"},
    Action.START_PROCESSING: {},
    Action.DELIVER: {},
    Action.CANCEL: {"reason": "they left"},
}
MAY = {
    Action.CONFIRM_PAYMENT: {Role.OWNER, Role.MANAGER},
    Action.START_PROCESSING: {Role.OWNER, Role.MANAGER, Role.PACKER},
    Action.DELIVER: {Role.OWNER, Role.MANAGER, Role.PACKER},
    Action.CANCEL: {Role.OWNER, Role.MANAGER},
}


def run_of(shop: Business, action: str, *orders: Order) -> BulkRun:
    return bulk.prepare(
        business_id=shop.id,
        action=action,
        order_ids=[order.id for order in orders],
        actor="person:who-chose",
        now=database_now(),
    )


def address(run: BulkRun) -> str:
    return f"/staff/bulk/{run.id}/"


def asks(shop: Business, role: str) -> tuple[Any, Access]:
    """A request of somebody with a role, as the list of orders has it, and their way in."""
    request = RequestFactory().post("/admin/orders/order/?status__exact=pending")
    request.session = {}  # type: ignore[assignment]
    request._messages = FallbackStorage(request)
    access = Access(shop, f"person:{role}", OF_ROLE[role], None, database_now())
    return request, access


# --- Who may -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("action", Action)
def test_prepare_and_confirm_need_the_right_to_the_step(shop: Business, action: str, role: str) -> None:
    product(shop)
    order = order_in(shop, may_become(bulk.STEPS[action].to)[-1])
    request, access = asks(shop, role)
    run = run_of(shop, action, order)
    client = signed_in(shop, role)
    confirms = '<button class="hf-button hf-' in read(client.get(address(run)))
    if role in MAY[action]:
        there = prepare(request, access, action, [order.id]).headers["Location"]
        assert BulkRun.objects.exclude(id=run.id).get(business=shop).actor == f"person:{role}"
        assert there.startswith("/staff/bulk/")
    else:
        with pytest.raises(PermissionDenied):
            prepare(request, access, action, [order.id])
    answer = client.post(address(run), SENT[action])
    run.refresh_from_db()
    allowed = role in MAY[action]
    assert (confirms, answer.status_code, run.confirmed_at is not None) == (
        allowed,
        302 if allowed else 403,
        allowed,
    )
    assert run.actor.startswith("person:user-" if allowed else "person:who-chose")


def test_run_of_another_business_is_missing(shop: Business) -> None:
    other = BusinessFactory()
    product(other)
    run = run_of(other, Action.CANCEL, place(other, ("MUG-01", 1)))
    client = signed_in(shop)
    for query in ("", f"?business={other.slug}", "?format=csv"):
        assert client.get(address(run) + query).status_code == 404
        assert client.post(address(run) + query, SENT[Action.CANCEL]).status_code == 404
    run.refresh_from_db()
    assert run.confirmed_at is None
    assert str(run.id) not in read(client.get("/staff/bulk/"))
    assert client.get(f"/staff/bulk/{uuid4()}/").status_code == 404
    assert Client().get(address(run)).status_code == 302


# --- From the list to the page -----------------------------------------------------------------


def test_prepare_takes_a_list_as_it_is_filtered(shop: Business) -> None:
    product(shop)
    wanted = [place(shop, ("MUG-01", 1)) for _ in range(2)]
    order_in(shop, "paid", ("MUG-01", 1))
    listed = Order.objects.of(shop.id).filter(status="pending").select_related("customer").order_by("-created_at")
    prepare(*asks(shop, Role.OWNER), Action.CANCEL, listed)
    run = BulkRun.objects.get(business=shop)
    assert [row.order_id for row in run.rows.order_by("position")] == [order.id for order in wanted]


def test_prepare_of_too_many_leads_back_to_the_list_and_says_so(
    shop: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    product(shop)
    monkeypatch.setattr("orders.staff.bulk.MOST_ORDERS", 1)
    monkeypatch.setattr(bulk, "MOST_ORDERS", 1)
    for _ in range(3):
        place(shop, ("MUG-01", 1))
    request, access = asks(shop, Role.OWNER)
    response = prepare(request, access, Action.CANCEL, Order.objects.of(shop.id))
    assert response.headers["Location"] == "/admin/orders/order/?status__exact=pending"
    (said,) = get_messages(request)
    assert str(said) == "1 orders at once are the most. Choose fewer, and the rest after them."
    assert not BulkRun.objects.filter(business=shop).exists()


# --- Before and after --------------------------------------------------------------------------


def test_page_says_what_cancelling_will_do(shop: Business) -> None:
    product(shop, price="5.00")
    orders = [order_in(shop, status, ("MUG-01", 2)) for status in ("pending", "paid", "shipped")]
    page = read(signed_in(shop).get(address(run_of(shop, Action.CANCEL, *orders))))
    for said in (
        "2 of 3 orders can become cancelled, worth £20.00.",
        "1 order can’t: it is shipped.",
        "Releases 2 units: 2 × MUG-01.",
        "Puts 2 units back on the shelf: 2 × MUG-01.",
        "Owes refunds of £10.00.",
        "Cancel: 2 orders</button>",
    ):
        assert said in page, said


def test_page_says_what_is_so_already(shop: Business) -> None:
    product(shop)
    orders = [order_in(shop, status, ("MUG-01", 1)) for status in ("paid", "processing")]
    page = read(signed_in(shop).get(address(run_of(shop, Action.START_PROCESSING, *orders))))
    assert "1 order is processing already." in page
    assert "can’t" not in page


def test_page_marks_what_changed_since_it_was_chosen(shop: Business) -> None:
    product(shop)
    edited, untouched = [place(shop, ("MUG-01", 1)) for _ in range(2)]
    run = run_of(shop, Action.CANCEL, edited, untouched)
    verb("extend_hold", edited, minutes=5, reason="they asked")
    page = read(signed_in(shop).get(address(run)))
    assert "1 of 2 orders can become cancelled" in page
    assert "1 order changed since it was chosen, and will be left alone." in page
    assert (page.count("changed since it was chosen</span>"), page.count("will be done")) == (1, 1)


def test_page_of_a_run_that_can_do_nothing_offers_to_discard_it(shop: Business) -> None:
    product(shop)
    page = read(signed_in(shop).get(address(run_of(shop, Action.CANCEL, order_in(shop, "shipped")))))
    assert "None of these orders can become cancelled." in page
    assert ("Cancel: 0" in page, 'name="reason"' in page, 'name="discard"' in page) == (False, False, True)


def test_run_is_confirmed_done_and_answered(shop: Business, all_is_well: None) -> None:
    product(shop)
    orders = [order_in(shop, status, ("MUG-01", 1)) for status in ("pending", "shipped")]
    run = run_of(shop, Action.CANCEL, *orders)
    client = signed_in(shop)
    assert client.post(address(run), SENT[Action.CANCEL]).headers["Location"].startswith(address(run))
    page = read(client.get(address(run)))
    assert "0 of 2 orders" in page
    assert "data-moving" in page
    bulk.work()
    page = read(client.get(address(run), {"part": "live"}))
    assert "data-moving" not in page
    assert "1 done" in page
    assert "1 refused" in page
    assert "it can&#x27;t become cancelled" in page
    assert orders[0].number in page
    only = read(client.get(address(run), {"outcome": "refused"}))
    assert (orders[0].number in only, orders[1].number in only) == (False, True)
    done, refused = rows(client.get(address(run), {"format": "csv"}))
    assert done == {"position": "1", "order": orders[0].number, "customer": "Ada", "outcome": "done", "answer": ""}
    assert (refused["outcome"], refused["answer"][:20]) == ("refused", "The order is shipped")
    assert on_shelf(shop) == (9, 0)


@pytest.mark.parametrize(
    ("action", "sent", "kept"),
    [
        (Action.CANCEL, {"reason": ""}, 'name="reason"'),
        (Action.CANCEL, {"reason": "payment_timeout"}, 'value="payment_timeout"'),
        (Action.CONFIRM_PAYMENT, {"provider": "", "prefix": "S7-"}, 'value="S7-"'),
        (Action.CONFIRM_PAYMENT, {"provider": "bank", "prefix": "x" * 61}, 'value="bank"'),
        (Action.CONFIRM_PAYMENT, {"provider": "a\0b"}, 'name="provider"'),
    ],
)
def test_form_that_is_refused_keeps_what_was_typed(
    shop: Business, action: str, sent: dict[str, str], kept: str
) -> None:
    product(shop)
    run = run_of(shop, action, place(shop, ("MUG-01", 1)))
    page = read(signed_in(shop).post(address(run), sent))
    assert 'role="alert"' in page
    assert kept in page
    run.refresh_from_db()
    assert run.confirmed_at is None


def test_discard_before_and_after_it_was_confirmed(shop: Business) -> None:
    product(shop)
    client = signed_in(shop)
    run = run_of(shop, Action.CANCEL, place(shop, ("MUG-01", 1)))
    response = client.post(address(run), {"discard": "1"}, follow=True)
    assert [str(said) for said in response.context["messages"]] == ["Discarded: nothing was done."]
    assert client.get(address(run)).status_code == 404

    run = run_of(shop, Action.DELIVER, place(shop, ("MUG-01", 2)))
    client.post(address(run))
    response = client.post(address(run), {"discard": "1"}, follow=True)
    (said,) = response.context["messages"]
    assert str(said).endswith("confirmed it meanwhile: it is being done.")
    assert BulkRun.objects.filter(id=run.id).exists()


@pytest.mark.parametrize("query", ["?outcome=lost", "?after=x", "?after=-1", "?after=9999999999999"])
def test_page_that_does_not_exist_is_missing(shop: Business, query: str) -> None:
    product(shop)
    run = run_of(shop, Action.CANCEL, place(shop, ("MUG-01", 1)))
    assert signed_in(shop).get(address(run) + query).status_code == 404


def test_answers_go_on_where_a_page_ends(shop: Business, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orders.staff.bulk.PAGE", 2)
    product(shop)
    orders = [place(shop, ("MUG-01", 1)) for _ in range(5)]
    client, run = signed_in(shop), run_of(shop, Action.CANCEL, *orders)
    seen, after = [], ""
    while after is not None:
        page = client.get(address(run), {"after": after})
        seen += [row.order_id for row in page.context["rows"]]
        after = page.context["later"]
    assert seen == [order.id for order in orders]


@pytest.mark.slow
def test_lists_ask_the_same_of_one_row_and_of_thirty(shop: Business) -> None:
    product(shop, stock=100)
    client = signed_in(shop)
    one = run_of(shop, Action.CANCEL, place(shop, ("MUG-01", 1)))

    def queries(where: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as asked:
            read(client.get(where))
        return len(asked)

    queries(address(one))
    of_one = queries(address(one)), queries("/staff/bulk/")
    orders = [place(shop, ("MUG-01", 1)) for _ in range(30)]
    for order in orders:
        run_of(shop, Action.CANCEL, order)
    assert (queries(address(run_of(shop, Action.CANCEL, *orders))), queries("/staff/bulk/")) == of_one


def test_list_tells_how_far_each_run_is(shop: Business) -> None:
    product(shop)
    client = signed_in(shop, Role.VIEWER)
    assert "No bulk runs yet" in read(client.get("/staff/bulk/"))
    orders = [place(shop, ("MUG-01", 1)) for _ in range(2)]
    run_of(shop, Action.CANCEL, *orders)
    assert "not confirmed" in read(client.get("/staff/bulk/"))
    run = run_of(shop, Action.DELIVER, *orders)
    bulk.confirm(business_id=shop.id, run_id=run.id, details={}, actor="person:ada", now=database_now())
    assert "2 waiting" in read(client.get("/staff/bulk/"))
    bulk.work()
    page = read(client.get("/staff/bulk/"))
    assert "ended <time" in page
    assert address(run) in page


@pytest.mark.slow
def test_confirm_with_the_broker_away_leaves_it_to_beat(
    shop: Business, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    monkeypatch.setattr(app.conf, "broker_write_url", "redis://127.0.0.1:1")
    product(shop)
    run = run_of(shop, Action.CANCEL, place(shop, ("MUG-01", 1)))
    with django_capture_on_commit_callbacks(execute=True) as asked:
        response = signed_in(shop).post(address(run), SENT[Action.CANCEL])
    assert (response.status_code, len(asked)) == (302, 1)
    assert do_bulk_runs() == 1
