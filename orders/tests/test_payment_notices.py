"""Messages of payment providers: signed, kept, and done once, however often and in whatever order they come."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from callers import Provider, refused
from catalog.models import Business
from factories import ACTOR, BusinessFactory, on_shelf, pay, place, product, verb
from orders import tidying
from orders.errors import PaymentNoticeSettled
from orders.models import Order, Payment, PaymentNotice, PaymentSource
from orders.payment_notices import CAPTURED, FAILED, REFUNDED, WAITS_FOR, put_away, try_again
from orders.payment_sources import change_secret, close_source
from orders.tasks import try_payment_notices
from orders_project import signatures
from orders_project.clock import database_now

Outcome = PaymentNotice.Outcome


@pytest.fixture
def provider(shop: Business) -> Provider:
    product(shop)
    return Provider(shop)


def standing(order: Order) -> tuple[str, str]:
    order.refresh_from_db()
    return order.status, order.payment_status


def told(response: Any) -> tuple[int, str, str]:
    body = response.json()
    return response.status_code, body["outcome"], body["code"]


@pytest.mark.usefixtures("db", "all_is_well")
def test_captured_payment_sells_what_the_order_held(shop: Business, provider: Provider) -> None:
    order = place(shop, ("MUG-01", 2))
    response = provider.tells(CAPTURED, order)
    assert told(response) == (200, Outcome.DONE, "")
    assert response.json()["order"] == str(order.id)
    assert standing(order) == ("paid", "paid")
    assert on_shelf(shop) == (8, 0)
    payment = order.payments.get()
    assert (payment.provider, payment.reference, payment.amount) == ("stripe", f"pi-{order.number}", order.total)
    assert order.events.latest("version").actor == "provider:stripe"


# --- Who may tell ------------------------------------------------------------------------------


@pytest.mark.usefixtures("db", "all_is_well")
def test_message_that_is_not_signed_changes_nothing_and_tells_nothing(shop: Business, provider: Provider) -> None:
    """Failure 19. A wrong signature, one of another source or another body, an old and a future one, a source that
    isn't there and one that is closed are answered alike."""
    order = place(shop, ("MUG-01", 1))
    other, closed = Provider(shop, "paypal"), Provider(shop, "old")
    close_source(business_id=shop.id, source_id=closed.source.id, actor=ACTOR, now=database_now())
    paid = {
        "type": CAPTURED,
        "data": {"order": {"id": str(order.id)}, "reference": "X", "amount": str(order.total), "currency": "GBP"},
    }
    now = database_now()
    unsigned = {"webhook-signature": ""}
    answers = [
        provider.sends(paid, secret=signatures.secret(provider.source.id, 2)),
        provider.sends(paid, secret=other.source.secret),
        provider.sends(paid, as_if=b"{}"),
        provider.sends(paid, headers=unsigned),
        provider.sends(paid, source=other.source.id),
        provider.sends(paid, source=uuid4()),
        closed.sends(paid),
        Provider(BusinessFactory()).sends(paid, source=provider.source.id),
    ]
    problems = [refused(answer, 401, "invalid_signature") for answer in answers]
    assert len({json.dumps(problem) for problem in problems}) == 1
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {"Webhook-Signature"}
    for at in (now - timedelta(minutes=6), now + timedelta(minutes=6)):
        assert "five minutes" in refused(provider.sends(paid, at=at), 401, "invalid_signature")["detail"]
    for headers in ({"webhook-id": ""}, {"webhook-id": "x" * 256}, {"webhook-timestamp": "soon"}):
        refused(provider.sends(paid, headers=headers), 401, "invalid_signature")
    assert standing(order) == ("pending", "pending")
    assert not PaymentNotice.objects.of(shop.id).exists()


@pytest.mark.usefixtures("db")
def test_secret_before_is_good_for_a_day_more(shop: Business, provider: Provider) -> None:
    first = provider.source.secret
    day = PaymentSource.OVERLAP

    def changed(generation: int) -> None:
        key = {"business_id": shop.id, "source_id": provider.source.id, "actor": ACTOR}
        change_secret(**key, generation=generation, now=database_now())

    def taken(secret: str) -> bool:
        return (
            provider.tells("ping", {}).status_code == 200
            and provider.sends({"type": "ping", "data": {}}, secret=secret).status_code == 200
        )

    changed(1)
    changed(1)  # a double click
    provider.source.refresh_from_db()
    second = provider.source.secret
    assert first != second
    assert taken(first)
    assert taken(second)
    PaymentSource.objects.filter(id=provider.source.id).update(rotated_at=database_now() - day)
    assert not taken(first)
    assert taken(second)
    changed(2)
    assert taken(second)
    changed(3)
    assert not taken(second)


@pytest.mark.usefixtures("db")
def test_messages_from_one_address_are_counted(shop: Business, provider: Provider, settings: Any) -> None:
    settings.PAYMENT_NOTICES_PER_MINUTE = 3
    answers = [provider.tells("ping", {}).status_code for _ in range(8)]  # a minute may end in between
    assert answers.count(429) >= 2
    assert answers[:3] == [200] * 3
    other = Provider(shop, "paypal")
    assert other.tells("ping", {}).status_code == 200
    settings.BEHIND_PROXY = True
    elsewhere = {"X-Forwarded-For": "203.0.113.9"}
    assert provider.sends({"type": "ping", "data": {}}, headers=elsewhere).status_code == 200


# --- What can't be read ------------------------------------------------------------------------


DEEP = b'{"type": "ping", "data": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "invalid_request"),
        (b"paid!", 400, "malformed_body"),
        (b'{"type": "ping", "type": "pong", "data": {}}', 400, "malformed_body"),
        (DEEP, 400, "malformed_body"),
        ([1], 422, "invalid_request"),
        ({"type": 5, "data": {}}, 422, "invalid_request"),
        ({"type": "x" * 61, "data": {}}, 422, "invalid_request"),
        ({"type": "ping\u202e", "data": {}}, 422, "invalid_request"),
        ({"type": CAPTURED, "data": {}}, 422, "invalid_request"),
        ({"type": CAPTURED, "data": {}, "status": "paid"}, 422, "invalid_request"),
        ({"type": CAPTURED, "data": {"order": {"number": "1", "id": str(UUID(int=1))}}}, 422, "invalid_request"),
        ({"type": FAILED, "data": {"order": {"channel": "website"}}}, 422, "invalid_request"),
        ({"type": FAILED, "data": {"order": {}}}, 422, "invalid_request"),
        ({"type": "ping", "data": {"much": "x" * 65_536}}, 413, "body_too_large"),
    ],
)
def test_message_that_cannot_be_read_is_refused_whole(
    shop: Business, provider: Provider, body: Any, status: int, code: str
) -> None:
    """Signed or not. Its sender sees that it is wrong, and sends it again when it is mended."""
    refused(provider.sends(body), status, code)
    assert not PaymentNotice.objects.of(shop.id).exists()


@pytest.mark.usefixtures("db")
def test_message_in_chunks_or_of_another_type_is_refused(provider: Provider) -> None:
    chunked = {"Transfer-Encoding": "chunked"}
    refused(provider.sends({"type": "ping", "data": {}}, headers=chunked), 411, "length_required")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    refused(provider.sends({"type": "ping", "data": {}}, headers=form), 415, "unsupported_media_type")


@pytest.mark.usefixtures("db")
def test_type_that_is_not_known_is_kept_and_ignored(shop: Business, provider: Provider) -> None:
    response = provider.tells("payout.paid", {"id": "po-1"}, amount=12.5)
    assert told(response) == (200, Outcome.IGNORED, "")
    assert PaymentNotice.objects.of(shop.id).get().facts == {"order": {"id": "po-1"}, "amount": "12.5"}


# --- Doubled -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("db", "all_is_well")
def test_message_that_comes_again_is_answered_as_at_first(shop: Business, provider: Provider) -> None:
    """Failures 7 and 19."""
    order = place(shop, ("MUG-01", 2))
    first = provider.tells(CAPTURED, order, message="msg_1")
    again = provider.tells(CAPTURED, order, message="msg_1")
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert (first.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")
    assert told(provider.tells(CAPTURED, order, message="msg_2")) == (200, Outcome.DONE, "")
    assert Payment.objects.filter(order=order).count() == 1
    assert on_shelf(shop) == (8, 0)


@pytest.mark.usefixtures("db", "all_is_well")
def test_message_id_with_other_contents_is_refused(shop: Business, provider: Provider) -> None:
    order, other = (place(shop, ("MUG-01", n)) for n in (1, 2))
    provider.tells(CAPTURED, order, message="msg_1")
    refused(provider.tells(CAPTURED, other, message="msg_1"), 422, "message_id_reused")
    assert standing(other) == ("pending", "pending")
    assert told(Provider(shop, "paypal").tells(CAPTURED, other, message="msg_1")) == (200, Outcome.DONE, "")


@pytest.mark.slow
@pytest.mark.usefixtures("committed", "all_is_well")
def test_message_that_comes_twenty_times_at_once_is_done_once(
    shop: Business, provider: Provider, at_once: Any
) -> None:
    """Seen red without `notice_once` (each that came kept a row of its own), and with a question in the place of
    `ignore_conflicts` (all but the first were answered with 500)."""
    order = place(shop, ("MUG-01", 2))
    calls = [lambda: provider.tells(CAPTURED, order, message="msg_1")] * 10
    calls += [lambda n=n: provider.tells(CAPTURED, order, message=f"msg_{n}") for n in range(2, 12)]
    answers = at_once(calls, behind=order)
    assert {told(answer) for answer in answers} == {(200, Outcome.DONE, "")}
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 9
    assert PaymentNotice.objects.of(shop.id).count() == 11
    assert Payment.objects.filter(order=order).count() == 1
    assert standing(order) == ("paid", "paid")
    assert on_shelf(shop) == (8, 0)


# --- Shuffled and late -------------------------------------------------------------------------


def later(shop: Business, by: timedelta = timedelta(minutes=5)) -> int:
    """Let the pauses of what waits be over, and the job come by."""
    waiting = PaymentNotice.objects.of(shop.id).waiting()
    for notice in waiting:
        PaymentNotice.objects.filter(id=notice.id).update(
            next_try_at=notice.next_try_at - by, received_at=notice.received_at - by
        )
    return try_payment_notices()


@pytest.mark.usefixtures("db", "all_is_well")
def test_payment_that_comes_before_its_order_waits_for_it(shop: Business, provider: Provider) -> None:
    named = {"channel": "website", "external_id": "shop-1001"}
    early = {"reference": "pi-1", "amount": "9.90", "currency": "GBP"}
    first = provider.tells(CAPTURED, named, message="msg_1", **early)
    assert told(first) == (202, Outcome.WAITING, "order_not_found")
    assert told(provider.tells(CAPTURED, named, message="msg_1", **early)) == told(first)
    later(shop)
    other_channel = place(shop, ("MUG-01", 1), channel="instagram", external_id="shop-1001")
    later(shop)
    order = place(shop, ("MUG-01", 1), channel="website", external_id="shop-1001")
    later(shop)
    assert standing(order) == ("paid", "paid")
    assert standing(other_channel) == ("pending", "pending")
    assert told(provider.tells(CAPTURED, named, message="msg_1", **early)) == (200, Outcome.DONE, "")


@pytest.mark.usefixtures("db", "all_is_well")
def test_refund_that_comes_before_its_payment_waits_for_it(shop: Business, provider: Provider) -> None:
    """Failure 19."""
    order = place(shop, ("MUG-01", 2))
    refund = provider.tells(REFUNDED, order, reference="re-1", amount="9.90")
    assert told(refund) == (202, Outcome.WAITING, "refund_too_large")
    later(shop)
    assert standing(order) == ("pending", "pending")
    assert told(provider.tells(CAPTURED, order)) == (200, Outcome.DONE, "")
    later(shop)
    assert standing(order) == ("paid", "partially_refunded")
    assert told(provider.tells(REFUNDED, order, reference="re-2", amount="99"))[1:] == (
        Outcome.REFUSED,
        "refund_too_large",
    )


@pytest.mark.usefixtures("db", "all_is_well")
def test_failure_that_comes_after_the_payment_is_ignored(shop: Business, provider: Provider) -> None:
    order = place(shop, ("MUG-01", 2))
    assert told(provider.tells(FAILED, order, reason="card declined"))[1] == Outcome.DONE
    assert standing(order) == ("pending", "failed")
    provider.tells(CAPTURED, order)
    assert told(provider.tells(FAILED, order)) == (200, Outcome.IGNORED, "illegal_transition")
    assert standing(order) == ("paid", "paid")
    given_up = place(shop, ("MUG-01", 3))
    provider.tells(FAILED, given_up, release=True)
    assert standing(given_up) == ("cancelled", "failed")
    assert on_shelf(shop) == (8, 0)


@pytest.mark.usefixtures("db", "all_is_well")
def test_late_payment_takes_the_goods_again_or_is_to_be_refunded(shop: Business, provider: Provider) -> None:
    """Failure 6: the money is never lost."""
    still, gone = place(shop, ("MUG-01", 2)), place(shop, ("MUG-01", 3))
    over = max(still.payment_due_at, gone.payment_due_at)
    for order in (still, gone):
        verb("cancel", order, reason="payment_timeout", now=over)
    assert told(provider.tells(CAPTURED, still))[1] == Outcome.DONE
    assert standing(still) == ("paid", "paid")
    pay(place(shop, ("MUG-01", 8)))
    assert told(provider.tells(CAPTURED, gone))[1] == Outcome.DONE
    assert standing(gone) == ("cancelled", "refund_due")


@pytest.mark.usefixtures("db", "all_is_well")
def test_order_of_another_business_is_not_there(shop: Business, provider: Provider) -> None:
    others = BusinessFactory()
    product(others)
    theirs = place(others, ("MUG-01", 1), external_id="shop-1", channel="website")
    money = {"reference": "pi-1", "amount": str(theirs.total), "currency": "GBP"}
    for named in (
        {"id": str(theirs.id)},
        {"number": theirs.number},
        {"channel": "website", "external_id": "shop-1"},
    ):
        assert told(provider.tells(CAPTURED, named, **money)) == (202, Outcome.WAITING, "order_not_found")
    assert standing(theirs) == ("pending", "pending")


# --- What can't be done ------------------------------------------------------------------------


@pytest.mark.usefixtures("db", "all_is_well")
def test_payment_that_fits_no_order_is_kept_for_a_person(shop: Business, provider: Provider) -> None:
    order, paid = place(shop, ("MUG-01", 1)), pay(place(shop, ("MUG-01", 2)))
    answers = [
        provider.tells(CAPTURED, order, amount="9.89"),
        provider.tells(CAPTURED, order, currency="EUR"),
        provider.tells(CAPTURED, place(shop, ("MUG-01", 3), draft=True)),
        provider.tells(CAPTURED, paid),
        provider.tells(CAPTURED, {"number": "nothing"}, reference="pi-9", amount="1", currency="GBP"),
    ]
    assert [told(answer) for answer in answers] == [
        (200, Outcome.REFUSED, "payment_mismatch"),
        (200, Outcome.REFUSED, "currency_mismatch"),
        (200, Outcome.REFUSED, "illegal_transition"),
        (200, Outcome.REFUSED, "already_paid"),
        (202, Outcome.WAITING, "order_not_found"),
    ]
    assert standing(order) == ("pending", "pending")
    assert later(shop, WAITS_FOR) == 1
    assert PaymentNotice.objects.of(shop.id).unmatched().count() == 5
    assert later(shop, WAITS_FOR) == 0
    assert told(provider.tells(CAPTURED, order))[1] == Outcome.DONE


@pytest.mark.usefixtures("db", "all_is_well")
def test_person_tries_again_or_puts_away(shop: Business, provider: Provider, now: Any) -> None:
    order = place(shop, ("MUG-01", 1), draft=True)
    for _ in range(2):
        provider.tells(CAPTURED, order)
    mended, seen_to = PaymentNotice.objects.of(shop.id).unmatched().order_by("received_at")
    verb("submit", order)

    def by_hand(act: Any, notice: PaymentNotice) -> PaymentNotice:
        return act(business_id=shop.id, notice_id=notice.id, actor=ACTOR, now=now)

    assert by_hand(try_again, mended).outcome == Outcome.DONE
    assert standing(order) == ("paid", "paid")
    assert by_hand(put_away, seen_to).settled_by == ACTOR
    for act, notice in ((try_again, mended), (put_away, mended), (put_away, seen_to)):
        with pytest.raises(PaymentNoticeSettled):
            by_hand(act, notice)
    assert (again := by_hand(try_again, seen_to)).outcome == Outcome.DONE
    assert again.settled_by == ""


@pytest.mark.usefixtures("db", "all_is_well")
@pytest.mark.parametrize("is_late", [False, True])
def test_what_was_put_away_by_mistake_is_open_again(shop: Business, provider: Provider, is_late: bool) -> None:
    provider.tells(CAPTURED, {"number": "1"}, reference="pi-1", amount="9.90", currency="GBP")
    notice = PaymentNotice.objects.get(business=shop)
    at = notice.received_at + (WAITS_FOR if is_late else WAITS_FOR / 2)
    key: dict[str, Any] = {"business_id": shop.id, "notice_id": notice.id, "actor": ACTOR, "now": at}
    put_away(**key)
    assert try_again(**key).outcome == (Outcome.REFUSED if is_late else Outcome.WAITING)
    open_again = PaymentNotice.objects.of(shop.id)
    assert (open_again.unmatched() if is_late else open_again.waiting()).get() == notice


@pytest.mark.usefixtures("db")
def test_notice_that_breaks_us_keeps_no_other_waiting(shop: Business, provider: Provider, caplog: Any) -> None:
    early = {"reference": "pi-1", "amount": "9.90", "currency": "GBP"}
    for number in ("1", "2"):
        provider.tells(CAPTURED, {"number": number}, **early)
    broken, fine = PaymentNotice.objects.of(shop.id).order_by("received_at")
    PaymentNotice.objects.filter(id=broken.id).update(facts={"order": {"colour": "red"}})
    order = place(shop, ("MUG-01", 1))
    PaymentNotice.objects.filter(id=fine.id).update(facts={**fine.facts, "order": {"number": order.number}})
    assert later(shop) == 2
    assert standing(order) == ("paid", "paid")
    broken.refresh_from_db()
    assert (broken.outcome, broken.code, broken.tries) == (Outcome.WAITING, "server_error", 2)
    assert "FieldError" in caplog.text


@pytest.mark.usefixtures("db")
def test_clean_up_forgets_what_is_settled_and_nothing_else(shop: Business, provider: Provider, now: Any) -> None:
    draft = place(shop, ("MUG-01", 1), draft=True)
    provider.tells(CAPTURED, place(shop, ("MUG-01", 2)))
    provider.tells(CAPTURED, draft)
    provider.tells(FAILED, {"number": "nobody's"})
    tidying.clean_up(now=now + timedelta(days=89))
    assert PaymentNotice.objects.of(shop.id).count() == 3
    tidying.clean_up(now=now + timedelta(days=91))
    assert {notice.outcome for notice in PaymentNotice.objects.of(shop.id)} == {Outcome.REFUSED, Outcome.WAITING}
