"""Orders that a job can't do its work on: they stop no other order, and in the end the run fails."""

import logging
from collections import defaultdict
from types import TracebackType
from typing import Self
from uuid import UUID

from django.db import DatabaseError

from orders_project.errors import Busy
from orders_project.logs import telling
from reservations.services import ShelfShort

logger = logging.getLogger(__name__)

# What one bad order can do to a job: break a rule, move a counter that drifted, wait for a lock for ever.
BAD_ORDER = (DatabaseError, ShelfShort, Busy)


class BadOrders:
    """The orders that a run left as they were, while it went on with the others.

        with BadOrders() as bad:
            for each order:
                try: ...
                except BAD_ORDER: bad.leave(business_id, order_id)

    At the end RuntimeError says how many they are, if there are any.
    """

    def __init__(self) -> None:
        self._left: defaultdict[UUID, set[UUID]] = defaultdict(set)

    def leave(self, business_id: UUID, order_id: UUID) -> None:
        """Leave one, for the error that is handled at this moment. Only the first of a business is logged: what
        keeps one order from its end mostly keeps many, and the next run meets them again in seconds."""
        left = self._left[business_id]
        if not left:
            with telling(business=str(business_id), order=str(order_id)):
                logger.exception("It failed for order %s; of others of its business no more is said.", order_id)
        left.add(order_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        count = sum(map(len, self._left.values()))
        if count and error is None:
            raise RuntimeError(f"It failed for {count} of the orders.")
