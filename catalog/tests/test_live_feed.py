"""The feed in Redis: marks that are not lost, each told by one process at a time."""

import asyncio
import socket

import pytest
from django.db import OperationalError, connection

from catalog.live import feed
from catalog.live.sockets import TRY_AGAIN
from catalog.live.ticker import Ticker
from catalog.models import Alert
from catalog.tests.test_live import knock
from conftest import until
from factories import BusinessFactory, api_key, on_shelf, place, product
from orders_project.ids import new_id

pytestmark = pytest.mark.usefixtures("committed")


def marks_of(shop):
    return feed.client().hgetall(f"live:{shop.id}:products"), feed.client().hgetall(f"live:{shop.id}:orders")


def noted_of(shop):
    """How many orders and how much news wait to be brought to Redis, without what is on its way."""
    with feed._noting:
        notes = feed._notes.get(shop.id, feed._Notes())
        return len(notes.orders), len(notes.news)


def end_turn(shop):
    """As when its time is over: who has it was killed, or told a while ago."""
    feed.client().delete(f"live:{shop.id}:turn")


@pytest.fixture
def mug(shop):
    """A product of a shop that somebody listens to, with a mark."""
    mug = product(shop, stock=10)
    feed.position(shop.id)
    feed.touch_products(shop.id, [mug.id])
    until(lambda: marks_of(shop)[0])
    return mug


def test_touch_marks_nothing_when_nobody_listens(shop):
    product(shop, stock=10)
    place(shop, ("MUG-01", 1))
    until(lambda: not feed._notes and feed._messenger is None)
    assert marks_of(shop) == ({}, {})


def test_take_is_for_one_at_a_time(shop, mug):
    taken = feed.take(shop.id)
    assert list(taken.products) == [mug.id]
    assert feed.take(shop.id) is None
    assert feed.tell(shop.id, taken, ["{}"]).events == ['{"seq":2,}']
    assert marks_of(shop) == ({}, {})


def test_take_after_one_who_was_killed(shop, mug):
    late = feed.take(shop.id)
    end_turn(shop)
    again = feed.take(shop.id)
    assert list(again.products) == [mug.id]
    assert feed.tell(shop.id, late, ["{}"]) is None  # he was only slow: nothing is told twice
    assert feed.tell(shop.id, again, ["{}"]).events == ['{"seq":2,}']


def test_tell_leaves_what_was_marked_anew(shop, mug):
    taken = feed.take(shop.id)
    before = marks_of(shop)
    feed.touch_products(shop.id, [mug.id])
    until(lambda: marks_of(shop) != before)
    feed.tell(shop.id, taken, ["{}"])
    end_turn(shop)
    assert list(feed.take(shop.id).products) == [mug.id]


def test_too_many_marks_become_one_reload(shop, mug):
    feed.touch_orders(shop.id, [new_id() for _ in range(feed.MOST_MARKS + 1)])
    until(lambda: ((taken := feed.take(shop.id)) and taken.news == [feed.RELOAD]) or end_turn(shop))
    products, orders = marks_of(shop)
    assert len(products) == 1
    assert orders == {}


def test_publish_keeps_the_order(shop, mug):
    for number in range(20):
        feed.publish(shop.id, "alert.opened", {"number": number})
    until(lambda: feed.client().llen(f"live:{shop.id}:news") == 20)
    assert [event[-3:-1].strip(":") for event in feed.take(shop.id).news] == [str(number) for number in range(20)]


@pytest.fixture
def redis_gone(settings, monkeypatch):
    """Redis is away until it is told to come back."""
    there = settings.REDIS_URL
    monkeypatch.setattr(feed, "AWAY_FOR", 0.01)

    def be_at(address="redis://127.0.0.1:1"):
        settings.REDIS_URL = address
        feed.client.cache_clear()
        feed._script.cache_clear()

    yield be_at, lambda: be_at(there)
    be_at(there)


def test_touch_with_redis_away_is_told_when_it_is_back(shop, mug, redis_gone):
    go_away, come_back = redis_gone
    feed.tell(shop.id, feed.take(shop.id), [])
    go_away()
    order = place(shop, ("MUG-01", 1))
    assert on_shelf(shop) == (10, 1)
    until(lambda: feed._messenger is not None and feed._messenger.daemon)  # it could not be told, and waits
    come_back()
    until(lambda: all(marks_of(shop)))
    assert list(marks_of(shop)[1]) == [str(order.id)]


@pytest.mark.slow
def test_touch_with_redis_away_keeps_only_so_much(shop, mug, redis_gone):
    """However long it takes, and whatever comes between two attempts."""
    go_away, come_back = redis_gone
    with socket.create_server(("127.0.0.1", 0)) as silent:
        go_away(f"redis://127.0.0.1:{silent.getsockname()[1]}")
        for _ in range(2):
            feed.touch_orders(shop.id, [new_id() for _ in range(feed.MOST_MARKS + 1)])
            for number in range(feed.KEPT):
                feed.publish(shop.id, "alert.opened", {"number": number})
            until(lambda: not feed._notes)  # they are on their way
    until(lambda: noted_of(shop) == (feed.MOST_MARKS + 1, feed.KEPT))
    come_back()
    until(lambda: feed.client().lindex(f"live:{shop.id}:news", -1) == feed.RELOAD)


def test_touch_that_redis_refuses_is_given_up(shop, mug):
    other = BusinessFactory()
    feed.position(other.id)
    feed.client().delete(f"live:{shop.id}:products")
    feed.client().set(f"live:{shop.id}:products", "not what it should be", ex=60)
    feed.touch_products(shop.id, [mug.id])
    feed.touch_products(other.id, [mug.id])
    feed.publish(None, "alert.opened", {"kind": "job_late"})
    until(lambda: marks_of(other)[0] and feed.client().exists(f"live:{other.id}:news"))
    until(lambda: not feed._notes and feed._messenger is None)


@pytest.mark.slow
def test_client_is_greeted_only_when_the_feed_is_there(shop, redis_gone):
    """A hello makes a page say that it is live; from a feed that doesn't answer there is none."""
    key, last = api_key(shop), feed.position(shop.id)
    go_away, _ = redis_gone
    with socket.create_server(("127.0.0.1", 0)) as silent:
        go_away(f"redis://127.0.0.1:{silent.getsockname()[1]}")
        said = asyncio.run(knock(key, f"last={last}"))
    assert "websocket.send" not in [message["type"] for message in said]
    assert said[-1]["code"] == TRY_AGAIN


def test_shelves_are_watched_again_when_the_watch_failed(shop, monkeypatch):
    mug = product(shop, stock=3, low_stock_threshold=3)
    ticker = Ticker(order_events=lambda business_id, order_ids: [])
    ticker._moved[shop.id].add(mug.id)
    with monkeypatch.context() as away:
        away.setitem(connection.settings_dict, "HOST", "/nowhere")
        with pytest.raises(OperationalError):
            asyncio.run(ticker._watch_shelves())
    asyncio.run(ticker._watch_shelves())
    assert [alert.kind for alert in Alert.objects.filter(business=shop).open()] == ["low_stock"]
