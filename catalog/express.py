"""The express lane of availability, and what all lanes ask of an API key."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, TypeVar
from uuid import UUID

from catalog.authentication import Access, access_of_key
from catalog.errors import ProductNotFound
from catalog.rights import Right
from catalog.serializers import show_availability
from catalog.throttling import calls_left, seconds_to_wait
from orders_project.api.problem import Throttled
from orders_project.api.reading import etag
from orders_project.errors import DomainError
from orders_project.express import Answer, Lane, Plain, json_of, refusal
from orders_project.rows import select

Asked = TypeVar("Asked")


class KeyLane(Lane[Asked]):
    """A lane for the requests of API keys: they are let in, or refused, as Django's views do it."""

    right: ClassVar[Right | None]  # that is needed to change what this changes

    def answer(self, key: str, batch: Sequence[Asked]) -> Sequence[Answer | None]:
        try:
            access = access_of_key(key)
            if self.right:
                access.check(self.right)
        except DomainError as error:
            return [refusal(error)] * len(batch)
        left = calls_left(access, calls=len(batch))
        wait = int(seconds_to_wait()) + 1
        throttled = refusal(Throttled(f"Too many calls; wait {wait} s.", retry_after=wait))
        return [
            *(self.answer_to(access, batch[:left]) if left else []),
            *[throttled] * (len(batch) - left),
        ]

    @abstractmethod
    def answer_to(self, access: Access, batch: Sequence[Asked]) -> Sequence[Answer | None]:
        """The answers to what was asked with this access, in its order; None where Django should answer."""


SHELVES = """
    SELECT product_id, sku, stock_quantity, reserved_stock, version
    FROM catalog_stock AS stock JOIN catalog_product AS product ON product.id = product_id
    WHERE stock.business_id = %s AND product_id = ANY(%s)
"""


class AvailabilityLane(KeyLane[UUID]):
    """GET /products/{id}/availability: however many ask at once, the database is asked once."""

    method = "GET"
    route = "api/v1/products/<uuid:product_id>/availability"
    largest_body = 0
    most_together = 500
    right = None

    def read(self, plain: Plain) -> UUID:
        return UUID(plain.path[1])

    def answer_to(self, access: Access, batch: Sequence[UUID]) -> Sequence[Answer]:
        shelves = select(SHELVES, access.business.id, list(set(batch)))
        found = {
            shelf["product"]: Answer(200, json_of(shelf), etag(shelf["version"]))
            for shelf in (show_availability(*row) for row in shelves)
        }
        return [
            found.get(product_id) or refusal(ProductNotFound("There is no such product.", product=str(product_id)))
            for product_id in batch
        ]
