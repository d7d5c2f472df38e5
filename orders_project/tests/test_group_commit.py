"""What waits together is done together: a real event loop, real threads, and work that waits for a word."""

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError

from conftest import PATIENCE
from orders_project.errors import Busy
from orders_project.group_commit import GroupCommit, QueueFull


class Work:
    """Doubles numbers. It notes each batch, and with `waits` goes on only when it is let go."""

    def __init__(self, *, waits=True):
        self.batches = []
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        if not waits:
            self.go.set()

    def __call__(self, key, batch):
        self.batches.append(list(batch))
        self.begun.release()
        assert self.go.wait(PATIENCE)
        return [2 * number for number in batch]

    async def has_begun(self):
        """Wait until a batch, one more than before, is under way."""
        assert await asyncio.to_thread(self.begun.acquire, timeout=PATIENCE)


def run(scene, work, *, most_together=100, most_waiting=100, threads=4):
    """Play a scene with a GroupCommit of this work."""

    async def play():
        with ThreadPoolExecutor(threads) as executor:
            together = GroupCommit(work, executor=executor, most_together=most_together, most_waiting=most_waiting)
            return await asyncio.wait_for(scene(together), PATIENCE)

    return asyncio.run(play())


async def ask(together, *numbers, key="shop"):
    """Ask for numbers in this order; the tasks that wait for the answers."""
    tasks = [asyncio.create_task(together.do(key, number)) for number in numbers]
    await asyncio.sleep(0)  # each task runs to where it waits
    return tasks


def test_one_alone_is_done_at_once():
    work = Work(waits=False)

    async def scene(together):
        return [await together.do("shop", number) for number in (1, 2)]

    assert run(scene, work) == [2, 4]
    assert work.batches == [[1], [2]]


def test_what_arrives_meanwhile_is_done_together_and_in_order():
    work = Work()

    async def scene(together):
        first = await ask(together, 1)
        await work.has_begun()
        more = await ask(together, 5, 3, 4, 2)
        work.go.set()
        return await asyncio.gather(*first, *more)

    assert run(scene, work) == [2, 10, 6, 8, 4]
    assert work.batches == [[1], [5, 3, 4, 2]]


def test_at_most_so_many_together():
    work = Work()

    async def scene(together):
        first = await ask(together, 0)
        await work.has_begun()
        more = await ask(together, *range(1, 8))
        work.go.set()
        return await asyncio.gather(*first, *more)

    assert run(scene, work, most_together=3) == [2 * number for number in range(8)]
    assert work.batches == [[0], [1, 2, 3], [4, 5, 6], [7]]


def test_more_than_may_wait_are_sent_away_at_once():
    work = Work()

    async def scene(together):
        first = await ask(together, 1)
        await work.has_begun()
        second = await ask(together, 2)
        for key in ("shop", "another"):
            with pytest.raises(QueueFull):
                await together.do(key, 3)  # while the work still waits for its word
        work.go.set()
        await asyncio.gather(*first, *second)
        return await together.do("shop", 4)  # there is room again

    assert run(scene, work, most_waiting=2) == 8
    assert work.batches == [[1], [2], [4]]


def test_one_that_fails_fails_alone():
    """The others of its batch are done, each once."""
    work, done = Work(), Counter()

    def poisoned(key, batch):
        answers = work(key, batch)
        if 13 in batch:
            raise ValueError("unlucky")  # as a transaction that is rolled back: nothing was done
        done.update(batch)
        return answers

    async def scene(together):
        first = await ask(together, 1)
        await work.has_begun()
        more = await ask(together, 2, 13, 3)
        work.go.set()
        return await asyncio.gather(*first, *more, return_exceptions=True)

    one, two, unlucky, three = run(scene, poisoned)
    assert (one, two, three) == (2, 4, 6)
    assert isinstance(unlucky, ValueError)
    assert done == {1: 1, 2: 1, 3: 1}
    assert work.batches == [[1], [2, 13, 3], [2], [13], [3]]


def test_one_alone_that_fails_is_not_done_again():
    calls = []

    def fail(key, batch):
        calls.append(batch)
        raise ValueError

    async def scene(together):
        with pytest.raises(ValueError):  # noqa: PT011  # our own
            await together.do("shop", 1)

    run(scene, fail)
    assert len(calls) == 1


@pytest.mark.parametrize(
    "error",
    [OperationalError("the connection is closed"), Busy("Too many at once.", retry_after=1)],
    ids=["gone", "busy"],
)
def test_database_that_gave_up_is_not_asked_again_for_each(error):
    """Each is told so: a queue behind a database that is dead or too busy would only grow."""
    work = Work()

    def give_up(key, batch):
        work(key, batch)
        if len(batch) > 1:
            raise error
        return batch

    async def scene(together):
        first = await ask(together, 1)
        await work.has_begun()
        more = await ask(together, 2, 3, 4)
        work.go.set()
        answers = await asyncio.gather(*first, *more, return_exceptions=True)
        return [*answers, await together.do("shop", 5)]

    first, *lost, later = run(scene, give_up)
    assert (first, later) == (1, 5)  # and when it is back, all goes on
    assert lost == [error] * 3
    assert work.batches == [[1], [2, 3, 4], [5]]


def test_answers_of_which_nobody_knows_whose_they_are():
    """A defect of the work: nobody is given another's answer, nobody waits for ever, and the queue lives on."""
    work = Work()

    def lose_one(key, batch):
        answers = work(key, batch)
        return answers[1:] if len(batch) > 1 else answers

    async def scene(together):
        first = await ask(together, 1)
        await work.has_begun()
        more = await ask(together, 2, 3)
        work.go.set()
        return await asyncio.gather(*first, *more, *await ask(together, 4), return_exceptions=True)

    first, *lost = run(scene, lose_one, most_together=2)
    assert (first, lost.pop()) == (2, 8)
    assert [type(answer) for answer in lost] == [RuntimeError] * 2


@pytest.mark.parametrize("gone", [0, 1, 2, 3], ids=["in flight", "first", "middle", "last"])
def test_client_that_goes_away_loses_nothing(gone):
    """What it asked for is done all the same, and the others get their own answers."""
    work = Work()

    async def scene(together):
        tasks = await ask(together, 0)
        await work.has_begun()
        tasks += await ask(together, 1, 2, 3)
        tasks[gone].cancel()
        await asyncio.sleep(0)
        work.go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = run(scene, work)
    assert isinstance(answers.pop(gone), asyncio.CancelledError)
    assert answers == [2 * number for number in range(4) if number != gone]
    assert work.batches == [[0], [1, 2, 3]]


def test_drain_waits_until_all_is_done():
    """Even for those whose clients are gone: what was taken in is done before the process ends."""
    work = Work()

    async def scene(together):
        first = await ask(together, 1)
        await work.has_begun()
        second = await ask(together, 2)
        elsewhere = await ask(together, 3, key="another")
        await work.has_begun()
        first[0].cancel()
        drained = asyncio.create_task(together.drain())
        for _ in range(100):  # turns of the loop, in which it could end too early
            await asyncio.sleep(0)
        assert not drained.done()
        work.go.set()
        await drained
        assert [task.done() for task in (*first, *second, *elsewhere)] == [True, True, True]
        await together.drain()  # with nothing to wait for

    run(scene, work)
    assert sorted(work.batches) == [[1], [2], [3]]


def test_keys_are_served_at_once_and_each_by_one_thread():
    """Two shops don't wait for each other, and two batches of one shop never meet."""
    both = threading.Barrier(2, timeout=PATIENCE)
    under_way, met = Counter(), []

    def work(key, batch):
        under_way[key] += 1
        met.append(under_way[key])
        both.wait()  # passes only when the other key is served, too
        under_way[key] -= 1
        return batch

    async def scene(together):
        tasks = [task for n in range(5) for key in "ab" for task in await ask(together, n, key=key)]
        return await asyncio.gather(*tasks)

    assert run(scene, work, most_together=1, threads=2) == [n for n in range(5) for _ in "ab"]
    assert set(met) == {1}
