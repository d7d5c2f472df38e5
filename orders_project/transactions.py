"""A verb is one transaction, tried again when the database gives it up."""

import functools
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connection, transaction

from orders_project.errors import Busy

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 5
LONGEST_PAUSE = 0.2  # seconds

# What PostgreSQL says when another try may well succeed.
DEADLOCK, SERIALIZATION_FAILURE, LOCK_TIMEOUT = "40P01", "40001", "55P03"
WORTH_ANOTHER_TRY = {DEADLOCK, SERIALIZATION_FAILURE, LOCK_TIMEOUT}

READ_ONLY = "25006"  # says a server whose place another takes; Django calls it an InternalError


def one_transaction(verb: Callable[P, R]) -> Callable[P, R]:
    """Run the verb in one transaction, all or nothing.

    A deadlock, a serialization failure or a lock timeout is tried again up to ATTEMPTS times, after a
    random pause so that those who collided don't meet again; then `Busy` is raised. Inside a caller's
    transaction the verb is a savepoint of it and the caller is the one who tries again, for the locks
    that collided are the caller's too.
    """

    @functools.wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if connection.in_atomic_block:
            with transaction.atomic():
                return verb(*args, **kwargs)
        for attempt in range(ATTEMPTS):
            try:
                with transaction.atomic():
                    return verb(*args, **kwargs)
            except OperationalError as error:
                if sqlstate(error) not in WORTH_ANOTHER_TRY:
                    raise
                time.sleep(random.uniform(0, LONGEST_PAUSE * (attempt + 1) / ATTEMPTS))
        raise Busy(
            "Too many changes at once to the same goods. Nothing was changed; try again.",
            retry_after=1,
        )

    return run


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's five-letter code of the error that Django wrapped, if it came from the server."""
    return getattr(error.__cause__, "sqlstate", None)


def gave_up(error: BaseException) -> bool:
    """Whether it is the database, which could not do now what it may do later."""
    return isinstance(error, OperationalError) or sqlstate(error) == READ_ONLY


def is_undone(error: BaseException) -> bool:
    """Whether the server itself said that it gave up, and so that nothing of the transaction is kept. Not if
    the connection broke, or the server was shut down (class 57P): the commit may have been done by then."""
    state = sqlstate(error)
    return state is not None and not state.startswith(("08", "57P"))


def violated_constraint(error: BaseException) -> str | None:
    """The name of the constraint that refused a write, if one did."""
    diagnostics = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "constraint_name", None)
