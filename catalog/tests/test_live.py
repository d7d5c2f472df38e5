"""The live feed, heard by real clients of a running server: nobody else's events, and nothing missed."""

import asyncio
import json
import time
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from catalog.live import feed, sockets
from catalog.live.sockets import LONGEST_MESSAGE, MOST_MESSAGES, TRY_AGAIN
from catalog.models import ApiKey, Membership
from conftest import PATIENCE
from factories import BusinessFactory, api_key, order_in, pay, place, product

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed", "all_is_well")]


@contextmanager
def listening(server, *, path="/ws/live", query="", origin=None, **headers):
    """A client that has connected; what it hears first is the hello."""
    headers = {name.capitalize(): value for name, value in headers.items()}
    address = f"{server.replace('http', 'ws')}{path}?{query}"
    with connect(
        address, additional_headers=headers, origin=origin, open_timeout=PATIENCE, max_size=None
    ) as client:
        yield client


def with_key(key):
    return {"authorization": f"Api-Key {key}"}


def hear(client):
    """The next frame that is no sign of life."""
    deadline = time.monotonic() + PATIENCE
    while (frame := json.loads(client.recv(timeout=PATIENCE)))["type"] == "beat":
        assert time.monotonic() < deadline, "there was nothing but beats"
    return frame


def hear_until(client, enough):
    """The events until there are enough of them, and the position after them."""
    events = []
    while not enough(events):
        frame = hear(client)
        assert frame["type"] == "events"
        events += frame["events"]
    return events, frame["last"]


def told_of(order):
    """Whether the events have come to how this order stands now."""
    order.refresh_from_db()
    wanted = (str(order.id), order.version)
    return lambda events: (
        wanted in [(event.get("order"), event["version"]) for event in events if "order" in event]
    )


@pytest.fixture
def mug(shop):
    return product(shop, stock=10, low_stock_threshold=3)


@pytest.fixture
def client(server, shop, mug):
    """A client of the shop that has heard its hello."""
    with listening(server, **with_key(api_key(shop))) as client:
        hello = hear(client)
        assert (hello["type"], hello["business"]["id"]) == ("hello", str(shop.id))
        client.position = hello["last"]
        yield client


def test_listen_hears_of_shelves_and_orders(shop, mug, client):
    order = place(shop, ("MUG-01", 2))
    events, _ = hear_until(client, told_of(order))
    *_, changed = [event for event in events if event["type"] == "stock.changed"]
    assert {key: changed[key] for key in ("product", "sku", "stock_quantity", "reserved_stock", "available")} == {
        "product": str(mug.id),
        "sku": "MUG-01",
        "stock_quantity": 10,
        "reserved_stock": 2,
        "available": 8,
    }
    [placed] = [event for event in events if event["type"] == "order.changed"]
    assert (placed["number"], placed["status"], placed["total"]) == (order.number, "pending", "19.80")
    pay(order)
    events, _ = hear_until(client, told_of(order))
    assert events[-1]["status"] == "paid"


def test_listen_hears_of_every_shelf_of_an_order(shop, client):
    """What is told after the commit is of each product, not of the last one that often."""
    product(shop, "TEA-01", stock=10)
    order = place(shop, ("MUG-01", 1), ("TEA-01", 2))
    events, _ = hear_until(client, told_of(order))
    shelves = {event["sku"]: event["reserved_stock"] for event in events if event["type"] == "stock.changed"}
    assert shelves == {"MUG-01": 1, "TEA-01": 2}


def test_listen_hears_that_a_shelf_is_low(shop, client):
    order = place(shop, ("MUG-01", 7))
    events, _ = hear_until(client, told_of(order))
    [low] = [event for event in events if event["type"] == "stock.low"]
    assert (low["sku"], low["available"], low["threshold"]) == ("MUG-01", 3, 3)


def test_listen_hears_nothing_of_others(shop, client):
    other = BusinessFactory()
    product(other, stock=10)
    product(other, "POT-01", stock=10)
    theirs = place(other, ("MUG-01", 1), ("POT-01", 1))
    feed.publish(other.id, "alert.opened", {"title": "Not yours"})
    order = place(shop, ("MUG-01", 1))
    pay(theirs)
    events, _ = hear_until(client, told_of(order))
    pay(order)
    more, _ = hear_until(client, told_of(order))
    assert {event["sku"] for event in events + more if "sku" in event} == {"MUG-01"}
    assert {event["order"] for event in events + more if "order" in event} == {str(order.id)}
    assert "Not yours" not in [event.get("title") for event in events + more]


def test_listen_hears_what_is_for_everyone(shop, client):
    feed.publish(None, "alert.opened", {"title": f"For {shop.slug} and all others"})
    hear_until(client, lambda events: f"For {shop.slug} and all others" in [e.get("title") for e in events])


def test_events_are_numbered_one_by_one(shop, client):
    order_in(shop, "cancelled", ("MUG-01", 1))
    order = order_in(shop, "shipped", ("MUG-01", 1))
    events, last = hear_until(client, told_of(order))
    epoch, _, first = client.position.partition("-")
    numbers = [event["seq"] for event in events]
    assert numbers == list(range(int(first) + 1, int(first) + 1 + len(events)))
    assert last == f"{epoch}-{numbers[-1]}"


def test_come_back_hears_what_was_missed(server, shop, client):
    key = api_key(shop)
    with listening(server, **with_key(key)) as another:
        last = hear(another)["last"]
        first = place(shop, ("MUG-01", 1))
        _, last = hear_until(another, told_of(first))
    missed = place(shop, ("MUG-01", 1))
    hear_until(client, told_of(missed))  # it was told, while the other was away
    with listening(server, query=f"last={last}", **with_key(key)) as back:
        assert hear(back)["last"] == last
        events, _ = hear_until(back, told_of(missed))
        assert events[0]["seq"] == int(last.partition("-")[2]) + 1
        pay(missed)
        hear_until(back, told_of(missed))


def test_look_then_listen_misses_nothing(server, shop, mug):
    """A client may ask for the position before it reads the database: what changes from then on is told."""
    last = feed.position(shop.id)
    order = place(shop, ("MUG-01", 1))
    with listening(server, query=f"last={last}", **with_key(api_key(shop))) as client:
        assert hear(client)["last"] == last
        hear_until(client, told_of(order))


def forgotten(shop):
    feed.start_anew(shop.id)  # as in a Redis without its data


def trimmed(shop):
    feed.client().xtrim(f"live:{shop.id}:feed", maxlen=1, approximate=False)


@pytest.mark.parametrize("loss", [forgotten, trimmed])
def test_come_back_after_a_loss_is_told_to_reload(server, shop, client, loss):
    order = place(shop, ("MUG-01", 1))
    hear_until(client, told_of(order))
    loss(shop)
    with listening(server, query=f"last={client.position}", **with_key(api_key(shop))) as back:
        hear(back)
        frame = hear(back)
        assert [event["type"] for event in frame["events"]] == ["reload"]
        order = place(shop, ("MUG-01", 1))
        hear_until(back, told_of(order))
        assert frame["last"] == feed.told_since(shop.id, frame["last"]).after


@pytest.mark.parametrize("last", ["0-0", "1-1", "99999999999999-1", "-", "1-1-1", "x" * 3000, "%F0%9F%99%82", "+"])
def test_come_back_with_an_unknown_position_is_told_to_reload(server, shop, last):
    with listening(server, query=f"last={last}", **with_key(api_key(shop))) as client:
        hear(client)
        assert [event["type"] for event in hear(client)["events"]] == ["reload"]


def test_listener_hears_of_a_flushed_feed(shop, client):
    forgotten(shop)
    place(shop, ("MUG-01", 1))
    hear_until(client, lambda events: "reload" in [event["type"] for event in events])


# --- Who may listen ------------------------------------------------------------------------------


def ending(client):
    """The code with which the server ends the connection."""
    deadline = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < deadline:
            client.recv(timeout=PATIENCE)
    except ConnectionClosed as closed:
        return closed.rcvd.code
    pytest.fail("the server didn't end it")


@pytest.fixture
def cookie_of(shop):
    """Makes people, and signs them in."""

    def sign_in(member=True, **what):
        person = get_user_model().objects.create(username=f"person-{uuid4()}", **what)
        if member:
            Membership.objects.create(business=shop, user=person, role="viewer")
        browser = Client()
        browser.force_login(person)
        return f"sessionid={browser.cookies['sessionid'].value}"

    return sign_in


def test_staff_listens_from_our_own_page(server, shop, mug, cookie_of):
    with listening(
        server, query=f"business={shop.slug}", cookie=cookie_of(is_staff=True), origin=server
    ) as client:
        assert hear(client)["business"]["slug"] == shop.slug
        hear_until(client, told_of(place(shop, ("MUG-01", 1))))


def test_superuser_listens_to_any_business(server, shop, cookie_of):
    cookie = cookie_of(member=False, is_staff=True, is_superuser=True)
    with listening(server, query=f"business={shop.slug}", cookie=cookie, origin=server) as client:
        assert hear(client)["business"]["slug"] == shop.slug


NOT_SIGNED_IN, NOT_ALLOWED = 4401, 4403


def test_refuse_a_stranger(server, shop, cookie_of):
    other = BusinessFactory()
    staff = cookie_of(is_staff=True)
    revoked = api_key(shop)
    ApiKey.objects.filter(business=shop).update(revoked_at=shop.created_at)
    for code, how in [
        (NOT_SIGNED_IN, {}),
        (NOT_SIGNED_IN, with_key("hf_unknown")),
        (NOT_SIGNED_IN, with_key(revoked)),
        (NOT_SIGNED_IN, {"cookie": "sessionid=unknown", "origin": server}),
        (NOT_SIGNED_IN, {"cookie": cookie_of(), "origin": server}),
        (NOT_ALLOWED, {"cookie": staff, "origin": server, "query": f"business={other.slug}"}),
        (NOT_ALLOWED, {"cookie": staff, "origin": server, "query": "business=%00"}),
        (NOT_ALLOWED, {"cookie": staff}),
        (NOT_ALLOWED, {"cookie": staff, "origin": "https://evil.example"}),
        (NOT_ALLOWED, {"cookie": staff, "origin": "null"}),
        (NOT_ALLOWED, {"cookie": staff, "origin": "http://["}),
        (NOT_ALLOWED, {"cookie": staff, "origin": server, "query": "a&" * 1001}),
        (NOT_ALLOWED, {**with_key(api_key(shop)), "query": "a&" * 1001}),
        (NOT_ALLOWED, {**with_key(api_key(shop)), "origin": "https://evil.example"}),
        (NOT_ALLOWED, {**with_key(api_key(shop)), "query": f"business={other.slug}"}),
        (NOT_ALLOWED, {"cookie": cookie_of(member=False, is_staff=True), "origin": server}),
    ]:
        with listening(server, **how) as client:
            assert (how, ending(client)) == (how, code)


def test_refuse_another_path(server, shop):
    with pytest.raises(InvalidStatus), listening(server, path="/ws/other", **with_key(api_key(shop))):
        pass


def test_revoked_key_and_member_of_another_business_too_are_sent_away(server, shop, client, cookie_of):
    """Also who named no business, and so would be let in to the one that is left."""
    cookie = cookie_of(is_staff=True)
    [membership] = Membership.objects.filter(business=shop)
    Membership.objects.create(business=BusinessFactory(), user=membership.user, role="viewer")
    with listening(server, cookie=cookie, origin=server) as member:
        heard_of = hear(member)["business"]["id"]
        Membership.objects.filter(business=heard_of, user=membership.user).delete()
        ApiKey.objects.filter(business=shop).update(revoked_at=shop.created_at + timedelta(hours=1))
        assert (ending(client), ending(member)) == (NOT_SIGNED_IN, NOT_ALLOWED)


def test_socket_ends_with_its_session(server, shop, mug):
    """When its person signs out everywhere else, and when they change their password."""
    old, new = "a good long one", "another good long one"
    acts = {
        "/staff/account/sign-out-elsewhere/": {"password": old},
        "/admin/password_change/": {"old_password": old, "new_password1": new, "new_password2": new},
    }
    with ExitStack() as stack:
        listeners = []
        for address, sent in acts.items():
            person = get_user_model().objects.create_user(f"person-{uuid4()}", password=old, is_staff=True)
            Membership.objects.create(business=shop, user=person, role="viewer")
            here, elsewhere = Client(), Client()
            for browser in (here, elsewhere):
                browser.force_login(person)
            cookie = f"sessionid={elsewhere.cookies['sessionid'].value}"
            listener = stack.enter_context(listening(server, cookie=cookie, origin=server))
            assert hear(listener)["type"] == "hello"
            assert here.post(address, sent).status_code == 302
            assert here.get("/staff/account/").status_code == 200
            listeners.append(listener)
        assert [ending(listener) for listener in listeners] == [NOT_SIGNED_IN] * 2


async def knock(key, query=""):
    """Come to the door of this very process with a key; returns all that is said, to the end."""
    said = []

    opening = iter([{"type": "websocket.connect"}])

    async def receive():
        return next(opening, None) or await asyncio.Future()  # the client says nothing more

    async def send(message):
        said.append(message)

    headers = [(b"authorization", f"Api-Key {key}".encode())]
    scope = {"type": "websocket", "path": "/ws/live", "query_string": query.encode(), "headers": headers}
    await sockets.sockets(scope, receive, send)
    return said


def test_strangers_at_the_door_are_counted_and_keep_nobody_waiting(shop, monkeypatch, another_session):
    monkeypatch.setattr(sockets, "MOST_SOCKETS", 3)
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "options", f"-c lock_timeout={PATIENCE}s")
    key = api_key(shop)
    row = another_session()
    row.execute("SELECT FROM catalog_apikey WHERE business_id = %s FOR UPDATE", [shop.id])  # nobody gets in

    async def crowd():
        strangers = [asyncio.create_task(knock(key)) for _ in range(sockets.MOST_SOCKETS)]
        await asyncio.sleep(0)
        assert (await asyncio.wait_for(knock(key), PATIENCE))[-1]["code"] == TRY_AGAIN
        assert await sockets.in_thread(feed.position, shop.id)
        assert not any(stranger.done() for stranger in strangers)
        for stranger in strangers:
            stranger.cancel()
        await asyncio.wait(strangers)

    asyncio.run(crowd())


def test_garbage_is_borne_or_ended(server, shop, mug):
    key = with_key(api_key(shop))
    with listening(server, **key) as client:
        hear(client)
        for message in (
            "{",
            '{"type": "told", "frame": "x"}',
            b"\x00\xff",
            "",
            '{"type": "websocket.disconnect"}',
        ):
            client.send(message)
        hear_until(client, told_of(place(shop, ("MUG-01", 1))))
    for messages, code in [
        (["x" * (LONGEST_MESSAGE + 1)], 1009),
        ([b"x" * (LONGEST_MESSAGE + 1)], 1009),
        (["x"] * (MOST_MESSAGES + 1), 1008),
    ]:
        with listening(server, **key) as client:
            for message in messages:
                client.send(message)
            assert ending(client) == code
