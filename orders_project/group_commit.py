"""Group commit: what is asked for while a batch is being done is done together in the next one.

There is no timer. A request that finds nothing under way is done at once and alone; under load batches grow
by themselves, and what a transaction costs (its round trips, its commit, its wait for a much-wanted row) is
paid once for all of them.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

from orders_project.errors import DomainError
from orders_project.transactions import gave_up

logger = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class QueueFull(Exception):
    """As many wait already as may wait; nothing was done."""


class GroupCommit(Generic[Key, Asked, Answer]):
    """Does `work` for what is asked under one key, a batch at a time and in the order of arrival; different
    keys at once, as far as there are threads.

    `work(key, batch)` runs in a thread of the `executor` and returns the answers in the order of the batch,
    or raises, having done nothing. To be used from one event loop.
    """

    def __init__(
        self,
        work: Callable[[Key, Sequence[Asked]], Sequence[Answer]],
        *,
        executor: Executor,
        most_together: int,
        most_waiting: int,
    ) -> None:
        self._work = work
        self._executor = executor
        self._most_together = most_together
        self._most_waiting = most_waiting
        self._queues: defaultdict[Key, deque[tuple[Asked, asyncio.Future[Answer]]]] = defaultdict(deque)
        self._servers: dict[Key, asyncio.Task[None]] = {}
        self._waiting = 0

    async def do(self, key: Key, asked: Asked) -> Answer:
        """The answer to what is asked, when its batch is done. Who asks may go away; it is done all the same.

        Raises QueueFull at once, and whatever `work` raises for this one.
        """
        if self._waiting >= self._most_waiting:
            raise QueueFull
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queues[key].append((asked, future))
        self._waiting += 1
        if key not in self._servers:
            self._servers[key] = asyncio.create_task(self._serve(key))
        return await future

    async def drain(self) -> None:
        """Wait until all that was asked for is answered."""
        while self._servers:
            await asyncio.gather(*self._servers.values())

    async def _serve(self, key: Key) -> None:
        loop = asyncio.get_running_loop()
        queue = self._queues[key]
        while queue:
            batch = [queue.popleft() for _ in range(min(len(queue), self._most_together))]
            asked = [one for one, _ in batch]
            answers = await loop.run_in_executor(self._executor, self._do_batch, key, asked)
            if len(answers) != len(batch):  # nobody can tell whose they are
                answers = [RuntimeError(f"{len(answers)} answers to {len(batch)} questions")] * len(batch)
            self._waiting -= len(batch)
            for (_, future), answer in zip(batch, answers, strict=True):
                if future.done():  # its client went away
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        del self._queues[key], self._servers[key]

    def _do_batch(self, key: Key, batch: Sequence[Asked]) -> Sequence[Answer | Exception]:
        try:
            return self._work(key, batch)
        except Exception as error:
            # The database gave up or went away, or there is too much to do: to ask again for each would only
            # prolong that.
            if len(batch) == 1 or isinstance(error, DomainError) or gave_up(error):
                return [error] * len(batch)
            logger.exception("A batch of %d failed; they are done one by one.", len(batch))
        return [self._do_batch(key, [asked])[0] for asked in batch]
