"""The live feed when much happens, and when things break: no order waits for it, and the last numbers are true."""

import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
from collections import Counter
from contextlib import closing, contextmanager

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from callers import an_order
from catalog.live import feed
from catalog.live.sockets import TRY_AGAIN
from catalog.tests.test_live import ending, hear, hear_until, listening, told_of, with_key
from conftest import PATIENCE, Web, until
from factories import api_key, on_shelf, place, product
from orders.tests.crowd import at_once

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed", "all_is_well")]

CLIENTS = 200
BUYERS = 600
UNITS = 50


def test_two_hundred_clients_hear_a_flash_sale(shop, server):
    """All of them hear the same, without a gap: far fewer events than reservations, and the last ones are true."""
    product(shop, stock=UNITS)
    product(shop, "POT-01", stock=BUYERS)
    key = api_key(shop)
    requests = [
        {"method": "POST", "url": "/api/v1/orders", "json": an_order((sku, 1), customer={"name": f"Buyer {n}"})}
        for n in range(BUYERS // 2)
        for sku in ("MUG-01", "POT-01")
    ]

    async def listen(there):
        heard = []
        async with connect(f"{server.replace('http', 'ws')}/ws/live", additional_headers=headers(key)) as client:
            await client.recv()
            there.release()
            while not settled(heard):
                heard += json.loads(await client.recv()).get("events", [])
        return heard

    def settled(heard):
        last = {event["sku"]: event for event in heard if event["type"] == "stock.changed"}
        return {sku: event["reserved_stock"] for sku, event in last.items()} == {
            "MUG-01": UNITS,
            "POT-01": BUYERS // 2,
        }

    async def play():
        there = asyncio.Semaphore(0)
        listeners = [asyncio.create_task(listen(there)) for _ in range(CLIENTS)]
        for _ in listeners:
            await there.acquire()
        answers = await asyncio.to_thread(at_once, server, key, requests)
        return answers, await asyncio.wait_for(asyncio.gather(*listeners), PATIENCE)

    answers, all_heard = asyncio.run(play())
    assert Counter(answer["status"] for answer in answers) == {201: UNITS + BUYERS // 2, 409: BUYERS // 2 - UNITS}
    assert on_shelf(shop, "POT-01") == (BUYERS, BUYERS // 2)
    for heard in all_heard:
        numbers = [event["seq"] for event in heard]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        changes = Counter(event["sku"] for event in heard if event["type"] == "stock.changed")
        assert changes["POT-01"] < BUYERS // 2 / 3
    told = {event["seq"]: event for heard in all_heard for event in heard}
    assert all(event == told[event["seq"]] for heard in all_heard for event in heard)


def headers(key):
    return {"Authorization": f"Api-Key {key}"}


def test_client_that_does_not_read_slows_nobody_and_is_let_go(shop, server):
    product(shop, stock=10)
    key = api_key(shop)
    with closing(deaf_client(server, key)), listening(server, **with_key(key)) as another:
        hear(another)
        for _ in range(50):
            feed.publish(shop.id, "alert.opened", {"title": "x" * 200_000})
        hear_until(another, lambda events: len([e for e in events if e["type"] == "alert.opened"]) == 50)
        answer = httpx.post(f"{server}/api/v1/orders", json=an_order(), headers=headers(key), timeout=PATIENCE)
        assert answer.status_code == 201
        hear_until(another, lambda events: any(event["type"] == "order.changed" for event in events))
        another.close()
        group = f"asgi__group__live.{shop.id}"
        until(lambda: feed.client().pubsub_numsub(group) == [(group, 0)])


def deaf_client(server, key):
    """A socket that was let in, and of which nothing is read from then on."""
    host, port = server.removeprefix("http://").split(":")
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect((host, int(port)))
    nonce = base64.b64encode(os.urandom(16)).decode()
    deaf.sendall(
        f"GET /ws/live HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Api-Key {key}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {nonce}\r\n\r\n".encode()
    )
    assert b"101" in deaf.recv(20)
    return deaf


@pytest.fixture
def web_of_own_redis(shop, own_redis, settings, tmp_path):
    """A web server for which all of Redis is the test's own."""
    settings.REDIS_URL = settings.CACHE_URL
    web = Web(tmp_path / "web")
    web.start()
    yield web.address
    web.stop()


def test_redis_that_goes_away_fails_no_order_and_comes_back(shop, own_redis, web_of_own_redis, tmp_path):
    product(shop, stock=100)
    key = api_key(shop)

    def order():
        """The id of an order that was placed over the API."""
        answer = httpx.post(f"{web_of_own_redis}/api/v1/orders", json=an_order(), headers=headers(key))
        assert answer.status_code == 201
        return answer.json()["id"]

    with listening(web_of_own_redis, **with_key(key)) as client:
        hear(client)
        order()
        _, last = hear_until(client, lambda events: any("order" in event for event in events))
        own_redis.kill()
        own_redis.wait()
        for _ in range(3):
            order()
        assert ending(client) == TRY_AGAIN
    order()
    with started_again(own_redis, tmp_path):
        until(lambda: told_to_reload(web_of_own_redis, key, last))
        until(lambda: hears(web_of_own_redis, key, order))


def test_redis_that_hangs_is_no_live_feed(shop, own_redis, web_of_own_redis):
    """Who comes while it hangs hears no hello, so no page says that it is live; and is let in when it goes on."""
    product(shop)
    key = api_key(shop)
    with listening(web_of_own_redis, **with_key(key)) as client:
        last = hear(client)["last"]
        own_redis.send_signal(signal.SIGSTOP)
        assert ending(client) == TRY_AGAIN
    for query in (f"last={last}", ""):
        with listening(web_of_own_redis, query=query, **with_key(key)) as client:
            with pytest.raises(ConnectionClosed) as closed:
                hear(client)
            assert closed.value.rcvd.code == TRY_AGAIN
    own_redis.send_signal(signal.SIGCONT)
    until(lambda: told_to_reload(web_of_own_redis, key, last))


@contextmanager
def started_again(redis, folder):
    """A Redis like the one that was killed, without its data."""
    with subprocess.Popen(redis.args, cwd=folder, stdout=subprocess.DEVNULL) as back:
        try:
            yield
        finally:
            back.kill()


def told_to_reload(server, key, last):
    """Whether a client that comes back is let in, and told that it must look at everything again."""
    try:
        with listening(server, query=f"last={last}", **with_key(key)) as client:
            hear(client)
            return [event["type"] for event in hear(client)["events"]] == ["reload"]
    except ConnectionClosed:
        return False


def hears(server, key, order):
    """Whether a client that listens is told of an order; it may have to come back once more."""
    try:
        with listening(server, **with_key(key)) as client:
            hear(client)
            told = {("order", order()), ("type", "reload")}
            return bool(hear_until(client, lambda events: any(told & event.items() for event in events)))
    except ConnectionClosed:
        return False


def test_listener_comes_back_after_its_process_was_killed(shop, web):
    product(shop, stock=10)
    key = api_key(shop)
    with listening(web.address, **with_key(key)) as client:
        last = hear(client)["last"]
        web.kill()
    order = place(shop, ("MUG-01", 1))
    web.start()
    with listening(web.address, query=f"last={last}", **with_key(key)) as client:
        hear(client)
        hear_until(client, told_of(order))
