"""What happens to the orders is told to a merchant's own program: at least once, in order, and signed.

Seen to fail: with the lease taken out (`next_try_at` left as it was) two at once send each event twice; without
`first_of_their_orders` later events overtake the first; without comparing `tries` a late answer undoes a better
one.
"""

import re
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from playwright.sync_api import expect

from catalog.models import AuditEntry, Business
from conftest import PATIENCE, until
from factories import ACTOR, BusinessFactory, order_in, pay, place, product, verb
from orders import webhooks
from orders.models import Order, OrderEvent, WebhookDelivery, WebhookEndpoint
from orders.tasks import send_webhooks
from orders.tests.browser import faults, fits_a_phone
from orders.tests.receiver import Message, Receiver, receiver
from orders_project import signatures
from orders_project.clock import database_now
from orders_project.errors import Busy, DomainError, InvalidRequest, PreconditionFailed
from orders_project.ids import new_id

pytestmark = pytest.mark.usefixtures("committed", "all_is_well")


@pytest.fixture(autouse=True)
def to_this_machine(settings: Any) -> None:
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = True


@pytest.fixture
def program() -> Any:
    with receiver() as there:
        yield there


@pytest.fixture
def mugs(shop: Business) -> None:
    product(shop, stock=50)


def opened(shop: Business, program: Receiver) -> WebhookEndpoint:
    return webhooks.open_endpoint(business_id=shop.id, url=program.url, actor=ACTOR, now=database_now())


@pytest.fixture
def endpoint(shop: Business, mugs: None, program: Receiver) -> Any:
    there = opened(shop, program)
    yield there
    WebhookEndpoint.objects.filter(id=there.id).update(closed_at=database_now())  # other tests send, too


def deliveries(endpoint: WebhookEndpoint) -> list[WebhookDelivery]:
    return list(endpoint.deliveries.order_by("event"))


def make_due(endpoint: WebhookEndpoint) -> None:
    """As if the time had come for everything that waits."""
    endpoint.deliveries.waiting().update(next_try_at=database_now())
    WebhookEndpoint.objects.filter(id=endpoint.id).update(rests_until=None)


def sequences(program: Receiver, order: Order) -> list[int]:
    """The events of an order that the program was told, as they came."""
    return [
        message.body["sequence"] for message in program.messages if message.body["order"]["id"] == str(order.id)
    ]


def refused_by(act: Callable[[], Any]) -> DomainError | None:
    """The refusal of an act, if it was refused. For another thread, whose connection is closed after it."""
    try:
        act()
    except DomainError as refusal:
        return refusal
    finally:
        connection.close()
    return None


def check(endpoint: WebhookEndpoint, message: Message, generation: int = 1) -> None:
    """As a merchant's program checks it. Raises NotSigned."""
    signatures.check(
        [signatures.secret(endpoint.id, generation)],
        message_id=message.headers["webhook-id"],
        timestamp=message.headers["webhook-timestamp"],
        signatures=message.headers["webhook-signature"],
        body=message.raw,
        now=database_now(),
    )


# --- What is told ------------------------------------------------------------------------------


def test_every_event_is_told_once_and_in_order(shop, program, endpoint):
    order = order_in(shop, "delivered")
    assert send_webhooks() == 5
    assert send_webhooks() == 0
    kinds = ["placed", "paid", "processing", "shipped", "delivered"]
    assert program.told() == [(f"order.{kind}", number) for number, kind in enumerate(kinds, start=1)]
    assert all(row.delivered_at and row.status == 200 and row.tries == 1 for row in deliveries(endpoint))
    for message, event in zip(program.messages, order.events.order_by("version"), strict=True):
        check(endpoint, message)
        assert message.headers["webhook-id"] == message.body["id"] == str(event.id)
        assert message.body["order"] == {
            "id": str(order.id), "number": order.number, "channel": "whatsapp", "external_id": None
        }  # fmt: skip
        assert message.body["facts"] == event.facts
        assert message.body["business"] == str(shop.id)
    program.messages[0].raw += b" "
    with pytest.raises(signatures.NotSigned):
        check(endpoint, program.messages[0])


def test_what_happened_before_is_not_told(shop, mugs, program):
    place(shop, ("MUG-01", 1))
    endpoint = opened(shop, program)
    webhooks.work()
    assert deliveries(endpoint) == program.messages == []


def test_only_own_events_are_told(program, endpoint):
    others = BusinessFactory()
    product(others)
    place(others, ("MUG-01", 1))
    webhooks.work()
    assert program.messages == []
    assert not WebhookDelivery.objects.of(others.id).exists()


def test_orders_in_bulk_are_all_told(shop, program, endpoint, api):
    rows = [
        {"channel": "website", "customer": {"name": f"B {number}"}, "external_id": f"w-{number}",
         "items": [{"sku": "MUG-01", "quantity": 1}]}
        for number in range(30)
    ]  # fmt: skip
    api.post("/orders/bulk", {"orders": rows})
    webhooks.work()
    assert {message.body["order"]["external_id"] for message in program.messages} == {
        row["external_id"] for row in rows
    }
    assert len(program.messages) == 30


def test_nothing_is_told_of_what_was_rolled_back(shop, program, endpoint):
    before = OrderEvent.objects.filter(business=shop).count()
    with pytest.raises(Exception, match="only 50 left"):
        place(shop, ("MUG-01", 51))
    assert OrderEvent.objects.filter(business=shop).count() == before
    assert deliveries(endpoint) == []


def test_closed_address_is_told_nothing(shop, program, endpoint):
    place(shop, ("MUG-01", 1))
    webhooks.close_endpoint(business_id=shop.id, endpoint_id=endpoint.id, actor=ACTOR, now=database_now())
    place(shop, ("MUG-01", 1))
    webhooks.work()
    assert program.messages == []
    assert len(deliveries(endpoint)) == 1


# --- When it fails -----------------------------------------------------------------------------


def test_failure_is_tried_again_under_the_same_id(shop, program, endpoint):
    program.answer = lambda message: 500
    place(shop, ("MUG-01", 1))
    webhooks.work()
    (failed,) = deliveries(endpoint)
    assert (failed.status, failed.delivered_at) == (500, None)
    webhooks.work()
    assert len(program.messages) == 1  # not yet
    endpoint.refresh_from_db()
    assert endpoint.failing_since
    program.answer = lambda message: 200
    make_due(endpoint)
    webhooks.work()
    first, second = program.messages
    assert (first.raw, first.headers["webhook-id"]) == (second.raw, second.headers["webhook-id"])
    check(endpoint, second)
    endpoint.refresh_from_db()
    assert endpoint.failing_since is None
    assert deliveries(endpoint)[0].tries == 2


def test_later_events_of_an_order_wait_for_the_first(shop, program, endpoint):
    held_up = place(shop, ("MUG-01", 1))
    pay(held_up)
    other = place(shop, ("MUG-01", 2))
    program.answer = lambda message: 500 if message.body["order"]["id"] == str(held_up.id) else 200
    webhooks.work()
    make_due(endpoint)
    webhooks.work()
    verb("start_processing", held_up)
    pay(other)
    make_due(endpoint)
    until(lambda: webhooks.work() == 1)  # one that fails is asked one event at a time
    assert sequences(program, other) == [1, 2]
    assert set(sequences(program, held_up)) == {1}
    program.answer = lambda message: 200
    make_due(endpoint)
    webhooks.work()
    assert sequences(program, held_up)[-3:] == [1, 2, 3]


def test_waits_grow_and_after_days_it_is_given_up(shop, program, endpoint):
    program.answer = lambda message: 503
    place(shop, ("MUG-01", 1))
    waits = []
    for _ in webhooks.WAITS:
        make_due(endpoint)
        before = database_now()
        webhooks.work()
        waits.append(deliveries(endpoint)[0].next_try_at - before)
    assert all(wait >= least for wait, least in zip(waits, webhooks.WAITS, strict=True))
    assert waits == sorted(waits)
    endpoint.deliveries.update(queued_at=database_now() - webhooks.GIVEN_UP_AFTER)
    make_due(endpoint)
    webhooks.work()
    (row,) = deliveries(endpoint)
    assert row.given_up_at
    assert row.status == 503
    make_due(endpoint)
    webhooks.work()
    assert len(program.messages) == len(webhooks.WAITS) + 1


def test_failing_address_rests_for_longer_and_longer(shop, program, endpoint):
    program.answer = lambda message: 500
    for _ in range(8):
        place(shop, ("MUG-01", 1))
    since = database_now() - timedelta(minutes=20)
    WebhookEndpoint.objects.filter(id=endpoint.id).update(failing_since=since)
    webhooks.work()
    webhooks.work()
    assert len(program.messages) == 1  # one asked for all
    endpoint.refresh_from_db()
    assert endpoint.failing_since == since
    assert timedelta(minutes=1) < endpoint.rests_until - database_now() <= timedelta(minutes=2)


def test_event_is_told_again_after_a_worker_died(shop, program, endpoint):
    """It was sent, and the worker ended before that was written down."""
    place(shop, ("MUG-01", 1))
    (taken,) = webhooks._lease(endpoint, 4, now=database_now())
    assert webhooks._send(taken, database_now()).is_success
    webhooks.work()
    assert len(program.messages) == 1  # who has it may still be waiting for the answer
    make_due(endpoint)
    webhooks.work()
    first, second = program.messages
    assert first.raw == second.raw


def test_two_at_once_send_each_event_once(shop, program, endpoint, at_once):
    for _ in range(12):
        place(shop, ("MUG-01", 1))
    gate = threading.Barrier(2)

    def answer(message: Message) -> int:
        if program.messages.index(message) < 8:
            gate.wait(timeout=PATIENCE)  # both of them have something under way
        return 200

    program.answer = answer
    told = at_once([webhooks.work, webhooks.work])
    assert sum(told) == 12
    assert len({message.headers["webhook-id"] for message in program.messages}) == len(program.messages) == 12


def test_late_answer_does_not_undo_a_better_one(shop, program, endpoint):
    """The lease of the first was over, and the second got through."""
    place(shop, ("MUG-01", 1))
    (late,) = webhooks._lease(endpoint, 1, now=database_now())
    make_due(endpoint)
    webhooks.work()
    assert not webhooks._settle(late, webhooks.Answer(None, "It took too long."), now=database_now())
    (row,) = deliveries(endpoint)
    assert row.delivered_at


@pytest.mark.slow
def test_slow_address_keeps_no_other_waiting(shop, program, endpoint, at_once):
    let_go = threading.Event()
    with receiver() as slow:
        slow.answer = lambda message: 200 if let_go.wait(PATIENCE) else 500
        slowly = opened(shop, slow)
        for _ in range(20):
            place(shop, ("MUG-01", 1))

        def watch() -> int:
            until(lambda: len(program.messages) == 20)
            waiting = len(slow.messages)
            let_go.set()
            return waiting

        told, waiting = at_once([webhooks.work, watch])
        WebhookEndpoint.objects.filter(id=slowly.id).update(closed_at=database_now())
    assert told == 40
    assert waiting <= webhooks.AT_ONCE


# --- What owners decide ------------------------------------------------------------------------


def test_after_a_change_both_secrets_sign_for_a_day(shop, program, endpoint, now):
    for _ in range(2):  # asked for twice, done once
        webhooks.change_secret(business_id=shop.id, endpoint_id=endpoint.id, generation=1, actor=ACTOR, now=now)
    place(shop, ("MUG-01", 1))
    webhooks.work()
    check(endpoint, program.messages[0], generation=1)
    check(endpoint, program.messages[0], generation=2)
    WebhookEndpoint.objects.filter(id=endpoint.id).update(rotated_at=now - endpoint.OVERLAP, generation=3)
    with pytest.raises(PreconditionFailed):
        webhooks.change_secret(business_id=shop.id, endpoint_id=endpoint.id, generation=1, actor=ACTOR, now=now)
    place(shop, ("MUG-01", 1))
    webhooks.work()
    check(endpoint, program.messages[1], generation=3)
    with pytest.raises(signatures.NotSigned):
        check(endpoint, program.messages[1], generation=2)


def test_event_is_sent_again_when_asked_for(shop, program, endpoint):
    place(shop, ("MUG-01", 1))
    webhooks.work()
    (row,) = deliveries(endpoint)
    webhooks.send_again(business_id=shop.id, endpoint_id=endpoint.id, event_id=row.event_id, now=database_now())
    webhooks.work()
    first, second = program.messages
    assert first.raw == second.raw


def test_tries_out_at_once(shop, program, endpoint, now):
    def try_out(which: WebhookEndpoint = endpoint) -> webhooks.Answer:
        return webhooks.try_out(business_id=shop.id, endpoint_id=which.id, now=now)

    assert try_out().status == 200
    (message,) = program.messages
    assert message.body["type"] == "test"
    check(endpoint, message)
    program.answer = lambda message: 500
    with pytest.raises(webhooks.WebhookFailed, match="It answered 500"):
        try_out()
    # Whoever keeps one of our threads waiting keeps no second.
    with receiver() as another:
        second = opened(shop, another)
        program.answer = lambda message: 200 if isinstance(refused_by(lambda: try_out(second)), Busy) else 500
        assert try_out().status == 200
        assert another.messages == []
    webhooks.close_endpoint(business_id=shop.id, endpoint_id=second.id, actor=ACTOR, now=now)


def test_address_is_told_once_and_they_are_few(shop, program, endpoint, now):
    def add(url: str) -> None:
        webhooks.open_endpoint(business_id=shop.id, url=url, actor=ACTOR, now=now)

    with pytest.raises(InvalidRequest, match="already"):
        add(program.url)
    for number in range(webhooks.MOST_ENDPOINTS - 1):
        add(f"https://shop.example/{number}")
    with pytest.raises(InvalidRequest, match="the most"):
        add("https://shop.example/more")
    WebhookEndpoint.objects.of(shop.id).update(closed_at=now)
    add(program.url)
    WebhookEndpoint.objects.of(shop.id).open().update(closed_at=now)
    assert AuditEntry.objects.filter(business=shop, action="added").count() == webhooks.MOST_ENDPOINTS + 1


def test_another_business_finds_none_of_it(shop, program, endpoint, now):
    others = BusinessFactory()
    for act in (
        lambda: webhooks.close_endpoint(business_id=others.id, endpoint_id=endpoint.id, actor=ACTOR, now=now),
        lambda: webhooks.change_secret(
            business_id=others.id, endpoint_id=endpoint.id, generation=1, actor=ACTOR, now=now
        ),
        lambda: webhooks.try_out(business_id=others.id, endpoint_id=endpoint.id, now=now),
        lambda: webhooks.send_again(business_id=others.id, endpoint_id=endpoint.id, event_id=new_id(), now=now),
    ):
        with pytest.raises(webhooks.WebhookNotFound):
            act()
    assert program.messages == []


def test_old_ones_are_given_up_untried(shop, program, endpoint, now):
    place(shop, ("MUG-01", 1))
    endpoint.deliveries.update(queued_at=now - webhooks.GIVEN_UP_AFTER - timedelta(seconds=1))
    assert webhooks.give_up_old(business_id=shop.id, now=now) == 1
    webhooks.work()
    assert program.messages == []


@pytest.mark.slow
def test_page_of_webhooks_is_for_everybody(shop, page, program, endpoint):
    order = order_in(shop, "paid")
    program.answer = lambda message: 500
    webhooks.work()
    page.goto("/staff/webhooks/")
    expect(page.get_by_text("Nothing gets through since")).to_be_visible()
    page.get_by_text("What it was told lately").click()
    expect(page.get_by_role("link", name=order.number).first).to_be_visible()
    assert faults(page) == []
    page.get_by_label("Address").fill("https://shop.example/" + "x" * 200)
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_label("Secret", exact=True)).to_have_value(re.compile("whsec_.{44}"))
    fits_a_phone(page)
    assert faults(page) == []
    WebhookEndpoint.objects.of(shop.id).update(closed_at=database_now())
