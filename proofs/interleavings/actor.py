"""Somebody who does one act after the other, in a thread with a connection, and stops before each step."""

import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple

from django.db import Error, connection

from orders_project.errors import DomainError
from orders_project.transactions import WORTH_ANOTHER_TRY, sqlstate
from proofs.interleavings.touching import Touch, everything_read, touch_of

# No lock may time out by bad luck: time is no part of a schedule. And a deadlock is seen at once.
SESSION = """
    SET lock_timeout = 0; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;
    SET deadlock_timeout = '1ms'
"""
# What is read from here to the end of the transaction is as of one instant: one step.
SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
BACK = "ROLLBACK TO SAVEPOINT"


class Abandoned(BaseException):
    """The schedule is not walked to its end."""


class Stop(NamedTuple):
    """What somebody is about to do, and what it touches."""

    sql: str
    touch: Touch


class Actor:
    """Where it stands is its `stop`, and when it is done its `answer`; while it runs it has neither."""

    def __init__(self, news: "SimpleQueue[Actor]") -> None:
        self.stop: Stop | None = None
        self.answer: str | None = None
        self.failed: Touch | None = None  # what a statement that failed took with it: all of its transaction
        self.gave_up = False  # whether it failed so that it is tried again
        self._news = news
        self._go: SimpleQueue[Callable[[], Any] | bool | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    @property
    def runs(self) -> bool:
        return self.stop is None and self.answer is None

    def begin(self, act: Callable[[], Any]) -> None:
        self.answer = None
        self._go.put(act)

    def go_on(self) -> None:
        self.stop, self.failed, self.gave_up = None, None, False
        self._go.put(True)

    def abandon(self) -> None:
        self.stop = None
        self._go.put(False)

    def end(self) -> None:
        """Let go of the connection."""
        self._go.put(None)
        self._thread.join()

    # --- In the thread ---

    def _live(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(SESSION)
        self.pid = connection.connection.info.backend_pid
        everything_read()  # asks the database for its rules, which is no step of anybody's
        # Not through the cursor, and so past its wrapper.
        for end in ("commit", "rollback"):
            stopping = partial(self._end_transaction, end.upper(), getattr(connection, f"_{end}"))
            setattr(connection, f"_{end}", stopping)
        with connection.execute_wrapper(self._step):
            self._tell("here")
            while callable(act := self._go.get()):
                self._abandoned = False
                self._begin_transaction()
                self._tell(_answer(act))
        connection.close()

    def _tell(self, answer: str) -> None:
        self.answer = answer
        self._news.put(self)

    def _halt(self, stop: Stop) -> None:
        self.stop = stop
        self._news.put(self)
        if not self._go.get():
            self._abandoned = True
            raise Abandoned

    def _begin_transaction(self) -> None:
        self._touched, self._lost, self._snapshot = Touch(), False, False

    def _step(self, execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        touch = touch_of(sql)
        if sql == SNAPSHOT:
            touch = everything_read()
        elif sql.startswith(BACK) and not self._lost:
            touch = self._touched.end
        elif not connection.in_atomic_block:
            touch = touch.and_its_end()
        if touch != Touch() and not self._snapshot and not self._abandoned:
            self._halt(Stop(sql, touch))
        self._snapshot = self._snapshot or sql == SNAPSHOT
        self._lost = self._lost and not sql.startswith(BACK)
        self._touched |= touch
        try:
            return execute(sql, *rest)
        except Error as error:
            self._lost, self.failed = True, self._touched.and_its_end()
            self.gave_up = sqlstate(error) in WORTH_ANOTHER_TRY
            raise

    def _end_transaction(self, name: str, end: Callable[[], None]) -> None:
        felt = self._touched.takes and not self._lost and not self._abandoned
        try:
            if felt:
                self._halt(Stop(name, self._touched.end))
        except Abandoned:
            connection.rollback()
            raise
        self._begin_transaction()
        end()


def _answer(act: Callable[[], Any]) -> str:
    """What came of it: the code, if it was refused."""
    try:
        return str(act())
    except DomainError as refusal:
        return refusal.code
    except Abandoned:
        return "abandoned"
    except Exception as error:  # whatever it was, it is what came of this schedule
        return f"{type(error).__name__}: {error}".splitlines()[0]
