"""The web server is killed in mid-sale, again and again: what a client was told of is there, once."""

import os
import threading
from collections import Counter
from uuid import uuid4

import httpx
import pytest

from callers import an_order
from conftest import PATIENCE, until
from factories import api_key, on_shelf, product
from orders.models import Order
from orders_project import locks

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed", "all_is_well")]

KILLS = int(os.environ.get("HOLDFAST_KILLS", "5"))
SALES = 100  # told of between a start and the next kill
CLIENTS = 16
STOCK = 1_000_000


class Sale:
    """Clients who place orders one after the other, each with a key, and ask again until they know."""

    def __init__(self, address, key):
        self.client = httpx.Client(
            base_url=f"{address}/api/v1", headers={"Authorization": f"Api-Key {key}"}, timeout=PATIENCE
        )
        self.sent, self.told = set(), {}
        self.counted = Counter()
        self.open = threading.Event()  # the server is up, as far as one knows
        self.over = threading.Event()
        self.counter = threading.Lock()
        self.clients = [threading.Thread(target=self.buy) for _ in range(CLIENTS)]

    def buy(self):
        while not self.over.is_set():
            key = str(uuid4())
            self.sent.add(key)
            while (answer := self.ask(key)).status_code not in (200, 201):
                # The first try is still under way, or was when its process died.
                assert answer.status_code == 503 or answer.json()["code"] == "idempotency_key_in_flight", (
                    answer.text
                )
                self.over.wait(0.02)
            self.told[key] = answer.json()["id"]
            with self.counter:
                self.counted["replayed" if answer.status_code == 200 else "placed"] += 1

    def ask(self, key):
        """An answer. A connection that breaks leaves open what was done: then the same is asked again."""
        while True:
            assert self.open.wait(PATIENCE)
            try:
                return self.client.post("/orders", json=an_order(), headers={"Idempotency-Key": key})
            except httpx.TransportError as error:
                with self.counter:
                    self.counted["refused" if isinstance(error, httpx.ConnectError) else "unknown"] += 1
                self.over.wait(0.02)


def forget_locks(shop):
    """What half a minute does: who died with a lock in Redis has it no more."""
    redis = locks._client()
    for name in redis.scan_iter(f"lock:key:{shop.id}:*"):
        redis.delete(name)


def test_server_killed_in_mid_sale_loses_no_order_and_makes_none_twice(shop, web):
    """Each answer that reached a client was true, and each key has one order: killed before the commit there
    is none, and the retry places it; killed after it, the retry finds it. HOLDFAST_KILLS=20 kills it as often.

    The guards: an order is answered only when its batch is committed (with a commit that comes a moment later,
    94 of 554 orders were missing); and the look for earlier orders, with the unique rule order_key_once behind
    it (with neither, keys had two orders).
    """
    product(shop, stock=STOCK)
    sale = Sale(web.address, api_key(shop))
    sale.open.set()
    for client in sale.clients:
        client.start()
    try:
        for _ in range(KILLS):
            enough = len(sale.told) + SALES
            until(lambda enough=enough: len(sale.told) >= enough)
            sale.open.clear()
            web.kill()
            forget_locks(shop)
            web.start()
            sale.open.set()
    finally:
        sale.over.set()
        sale.open.set()
        for client in sale.clients:
            client.join(timeout=2 * PATIENCE)
    assert not any(client.is_alive() for client in sale.clients), "a client never got an answer"
    placed = Order.objects.filter(business=shop).values_list("idempotency_key", "id")
    assert {key: str(order_id) for key, order_id in placed} == sale.told
    assert sale.told.keys() == sale.sent
    assert len(placed) == len(sale.told)
    assert on_shelf(shop) == (STOCK, len(placed))
    assert sale.counted["unknown"]  # else it was never killed in the middle of anything
    print(f"\n{KILLS} kills: {len(sale.sent)} orders sent, {dict(sale.counted)}")
