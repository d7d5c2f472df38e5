"""The shop that the clients buy from: a few units that everybody wants, and plenty of other goods."""

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from catalog.channels import Channel
from catalog.models import ApiKey, Business
from catalog.services import NewProduct, add_products, make_api_key
from customers.services import Buyer
from orders import services
from orders.models import PaymentSource
from orders.services import Line, Placement
from orders_project import signatures
from orders_project.clock import database_now
from proofs.chaos.journal import Journal

ACTOR = "job:chaos"
HOT = "HOT"  # the product that is always nearly sold out
SKUS = [f"SKU-{n}" for n in range(1, 41)]
OPENING = {HOT: 12, **dict.fromkeys(SKUS, 400)}
WINDOW = timedelta(minutes=1)  # in which an order is to be paid: the shortest that there is


@dataclass(frozen=True)
class Shop:
    business: Business
    web: str
    key: str
    products: dict[str, UUID]
    source: PaymentSource  # of the messages that tell of payments

    def sign(self, message_id: str, body: bytes) -> dict[str, str]:
        """The headers of a message of the payment source."""
        now = datetime.now(UTC)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signatures.signature(
                [self.source.secret], message_id=message_id, at=now, body=body
            ),
        }


def open_shop(web: str) -> Shop:
    """A shop with its goods on the shelf, and nobody in it yet."""
    business = Business.objects.create(
        name="Chaos",
        slug="chaos",
        currency="GBP",
        country="GB",
        payment_window_minutes=WINDOW // timedelta(minutes=1),
    )
    _, key = make_api_key(business=business, name="Website", scope=ApiKey.Scope.WRITE, throttled=False)
    goods = [NewProduct(sku, f"Product {sku}", Decimal("12.50"), units) for sku, units in OPENING.items()]
    now = database_now()
    products = add_products(business=business, new=goods, actor=ACTOR, now=now)
    source = PaymentSource.objects.create(business=business, name="payments", created_at=now, created_by=ACTOR)
    return Shop(business, web, key, {product.sku: product.id for product in products}, source)


def place_early(shop: Shop, journal: Journal) -> dict[str, Any]:
    """An order whose time runs out within a minute, as if it had been placed in the last one; its answer, as the
    API's. It is in the journal like those of the clients."""
    key, sku = str(uuid4()), random.choice(SKUS)
    journal.write("asked", number=key, verb="place", key=key, sku=sku, units=1)
    row = services.place(
        business=shop.business,
        placement=Placement(
            channel=Channel.WEBSITE, buyer=Buyer(name="Ada"), lines=(Line(sku, 1),), idempotency_key=key
        ),
        actor=ACTOR,
        now=database_now() - random.uniform(0, 1) * WINDOW,
    ).row
    told = {name: row[name] for name in ("status", "payment_status", "version")}
    told |= {"id": str(row["id"]), "payment_due_at": row["payment_due_at"].isoformat()}
    journal.write("answered", number=key, since=time.time(), http=201, settled=True, told=told)
    return {**told, "total": str(row["total"])}
