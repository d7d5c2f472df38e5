"""Telling other programs what happens to the orders: the addresses that owners set up, and the sending.

The rows that a trigger has written (migration 0009) are the queue. One is taken by moving its next try ahead, in
a transaction of its own: so no transaction is open while the other side is waited for, and what was taken by a
worker that died is due again by itself. An event is told at least once, under the same id each time; and of one
order in the order in which things happened, for what comes later waits for what failed.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from django.db.models import F

from catalog import audit
from catalog.models import Business
from orders import signed
from orders.errors import WebhookFailed, WebhookNotFound
from orders.models import WebhookDelivery, WebhookEndpoint
from orders_project import outside, signatures
from orders_project.clock import database_now
from orders_project.errors import Busy, InvalidRequest
from orders_project.ids import new_id
from orders_project.locks import lock
from orders_project.outside import Answer
from orders_project.transactions import one_transaction

logger = logging.getLogger(__name__)

MOST_ENDPOINTS = 10  # of one business; each is told of every event

SENDERS = 16  # threads
AT_ONCE = 4  # to one endpoint, each about another order; one that fails is asked one at a time whether it is back
TURN = 10  # seconds in which something new is begun; a worker has other jobs to do
LOOK_AGAIN = 0.5  # seconds, after which those that are free don't wait for those that are slow
# Longer than a sending takes with all that it waits for, the name's resolving too.
LEASE = timedelta(minutes=1)
# What is waited for after the first failure, the second and so on; the last of them again and again.
WAITS = (
    *(timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=10)),
    *(timedelta(hours=1), timedelta(hours=6)),
)
GIVEN_UP_AFTER = timedelta(days=3)
# An endpoint that nothing gets through to rests for a tenth of the time that it has been so.
LONGEST_REST = timedelta(minutes=5)


# --- What owners decide ------------------------------------------------------------------------


@one_transaction
def open_endpoint(*, business_id: UUID, url: str, actor: str, now: datetime) -> WebhookEndpoint:
    """An address that is told of all that happens from now on. Raises InvalidRequest for one that nothing is sent
    to, that is there already, or that is one too many."""
    Business.objects.select_for_update(no_key=True).get(id=business_id)
    try:
        outside.check(url)
    except outside.Unreachable as error:
        raise InvalidRequest.at("url", "unreachable", str(error)) from error
    there = WebhookEndpoint.objects.of(business_id).open()
    if there.filter(url=url).exists():
        raise InvalidRequest.at("url", "taken", "This address is told already.")
    if there.count() >= MOST_ENDPOINTS:
        raise InvalidRequest.at(
            "url", "too_many", f"{MOST_ENDPOINTS} are the most. Close one of the others first."
        )
    endpoint = WebhookEndpoint.objects.create(business_id=business_id, url=url, created_at=now, created_by=actor)
    audit.record(business_id=business_id, actor=actor, now=now, action="added", subject=endpoint)
    return endpoint


@one_transaction
def change_secret(
    *, business_id: UUID, endpoint_id: UUID, generation: int, actor: str, now: datetime
) -> WebhookEndpoint:
    """Sign with another secret than that of a generation, and for a day with that one besides. Raises what
    `signed.renew_secret` does, and WebhookNotFound."""
    endpoint = _find(business_id, endpoint_id, locked=True)
    signed.renew_secret(endpoint, generation=generation, actor=actor, now=now)
    return endpoint


@one_transaction
def close_endpoint(*, business_id: UUID, endpoint_id: UUID, actor: str, now: datetime) -> None:
    """Tell an address nothing any more, of what waits for it neither. Raises WebhookNotFound."""
    signed.close(_find(business_id, endpoint_id, locked=True), actor=actor, now=now)


@one_transaction
def send_again(*, business_id: UUID, endpoint_id: UUID, event_id: UUID, now: datetime) -> None:
    """Have an event told (once more) as soon as may be, whatever became of it. Raises WebhookNotFound."""
    endpoint = _find(business_id, endpoint_id)
    chosen = WebhookDelivery.objects.of(business_id).filter(endpoint=endpoint, event=event_id)
    if not chosen.update(queued_at=now, next_try_at=now, delivered_at=None, given_up_at=None):
        raise WebhookNotFound("There is no such event any more.", webhook=str(endpoint_id), event=str(event_id))


def try_out(*, business_id: UUID, endpoint_id: UUID, now: datetime) -> Answer:
    """Send a test to an address, at once, and wait for the answer, which is a success.

    Raises WebhookNotFound, WebhookFailed, and Busy while another test of the business waits for its answer: each
    keeps a thread of the web server waiting.
    """
    endpoint = _find(business_id, endpoint_id)
    with lock(f"webhook test {business_id}", seconds=outside.ALL) as ours:
        if not ours:
            raise Busy("A test is under way. Wait for its answer.", retry_after=outside.ALL)
        test = new_id()
        answer = _post(endpoint, test, {"id": test, "type": "test", "at": now, "business": business_id}, now)
    if not answer.is_success:
        raise WebhookFailed(
            f"The test didn’t get through. {answer}", webhook=str(endpoint_id), answered=answer.status
        )
    return answer


def _find(business_id: UUID, endpoint_id: UUID, *, locked: bool = False) -> WebhookEndpoint:
    endpoints = WebhookEndpoint.objects.of(business_id).open().filter(id=endpoint_id)
    endpoint = (endpoints.select_for_update(no_key=True) if locked else endpoints).first()
    if endpoint is None:
        raise WebhookNotFound("There is no such webhook, or it is closed.", webhook=str(endpoint_id))
    return endpoint


# --- Sending -----------------------------------------------------------------------------------


def work() -> int:
    """Send what is due, until nothing is or the turn is over. Returns how many events got through.

    Safe to run twice at once: each takes what the other hasn't.
    """
    ends = time.monotonic() + TURN
    told = 0
    under_way: dict[Future[Answer], WebhookDelivery] = {}
    with ThreadPoolExecutor(SENDERS) as senders:
        while True:
            if time.monotonic() < ends:
                busy = Counter(delivery.endpoint_id for delivery in under_way.values())
                for delivery, now in _take(busy):
                    under_way[senders.submit(_send, delivery, now)] = delivery
            if not under_way:
                return told
            done, _ = wait(under_way, timeout=LOOK_AGAIN, return_when=FIRST_COMPLETED)
            for sent in done:
                told += _settle(under_way.pop(sent), sent.result(), now=database_now())


def _take(busy: Counter[UUID]) -> Iterator[tuple[WebhookDelivery, datetime]]:
    """What is to be sent now, as far as there are threads for it, and since when it is ours. `busy` tells how many
    are under way to each endpoint. Chance decides who is first, so that nobody always is."""
    now = database_now()
    room = SENDERS - busy.total()
    for endpoint in WebhookEndpoint.objects.with_something_due(now).order_by("?"):
        at_once = 1 if endpoint.failing_since else AT_ONCE
        if (few := min(room, at_once - busy[endpoint.id])) > 0:
            taken = _lease(endpoint, few, now=now)
            room -= len(taken)
            yield from ((delivery, now) for delivery in taken)


@one_transaction
def _lease(endpoint: WebhookEndpoint, few: int, *, now: datetime) -> list[WebhookDelivery]:
    """Take a few deliveries that nobody else has, each of another order."""
    due = endpoint.deliveries.of(endpoint.business_id).due(now).first_of_their_orders()
    taken = list(due.order_by("next_try_at", "event").select_related("event", "order").lock()[:few])
    WebhookDelivery.objects.filter(pk__in=[delivery.pk for delivery in taken]).update(
        tries=F("tries") + 1, next_try_at=now + LEASE
    )
    for delivery in taken:
        delivery.endpoint = endpoint
        delivery.tries += 1
    return taken


def _send(delivery: WebhookDelivery, now: datetime) -> Answer:
    try:
        return _post(delivery.endpoint, delivery.event_id, _told(delivery), now)
    except Exception:  # whatever it is, the others have nothing to do with it
        logger.exception("An event could not be sent: %s.", delivery.event_id)
        return Answer(None, "It could not be sent.")


def _told(delivery: WebhookDelivery) -> dict[str, Any]:
    """What is told of an event. It is the same each time: how the order stands meanwhile is for the API to say."""
    event, order = delivery.event, delivery.order
    return {
        "id": event.id,
        "type": f"order.{event.kind}",
        "sequence": delivery.sequence,
        "at": event.at,
        "business": event.business_id,
        "actor": event.actor,
        "facts": event.facts,
        "order": {
            "id": order.id,
            "number": order.number,
            "channel": order.channel,
            "external_id": order.external_id,
        },
    }


def _post(endpoint: WebhookEndpoint, message_id: UUID, told: Mapping[str, Any], now: datetime) -> Answer:
    body = msgspec.json.encode(told)
    secrets = endpoint.secrets(now)
    headers = {
        "User-Agent": "Holdfast",
        "webhook-id": str(message_id),
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signatures.signature(secrets, message_id=str(message_id), at=now, body=body),
    }
    return outside.post(endpoint.url, body, headers)


@one_transaction
def _settle(delivery: WebhookDelivery, answer: Answer, *, now: datetime) -> bool:
    """Write down what became of a try: whether the event got through."""
    row = WebhookDelivery.objects.filter(pk=delivery.pk)
    said = {"status": answer.status, "error": answer.error[:200]}
    endpoint = WebhookEndpoint.objects.filter(id=delivery.endpoint_id)
    if answer.is_success:
        row.waiting().update(delivered_at=now, next_try_at=None, **said)
        endpoint.filter(failing_since__isnull=False).update(failing_since=None, rests_until=None)
        return True
    # Only if the lease is still ours: somebody may have done better since it was over.
    ours = row.waiting().filter(tries=delivery.tries)
    if delivery.queued_at <= now - GIVEN_UP_AFTER:
        ours.update(given_up_at=now, next_try_at=None, **said)
    else:
        ours.update(next_try_at=now + WAITS[min(delivery.tries, len(WAITS)) - 1], **said)
    since = endpoint.select_for_update(no_key=True).values_list("failing_since", flat=True).get() or now
    endpoint.update(failing_since=since, rests_until=now + min((now - since) / 10, LONGEST_REST))
    return False


def give_up_old(*, business_id: UUID, now: datetime) -> int:
    """Give up what has waited for too long, tried or not. Returns how many deliveries."""
    waiting = WebhookDelivery.objects.waiting().filter(endpoint__in=WebhookEndpoint.objects.of(business_id))
    return waiting.filter(queued_at__lt=now - GIVEN_UP_AFTER).update(given_up_at=now, next_try_at=None)
