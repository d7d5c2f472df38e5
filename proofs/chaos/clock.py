"""Runs a program whose clock is wrong: `python -m proofs.chaos.clock SECONDS MODULE ARGUMENTS`.

Python's clocks of that process say so many seconds more than the machine's; what measures how long something
takes goes on as it should.
"""

import datetime
import runpy
import sys
import time
from typing import Any

true_time = time.time
true_datetime = datetime.datetime


def step(seconds: float) -> None:
    """Change what this process takes for the time of day."""
    by = datetime.timedelta(seconds=seconds)

    class Either(type):
        """What libraries in C make are instants, too."""

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, true_datetime)

    class Stepped(true_datetime, metaclass=Either):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return true_datetime.now(tz) + by

        @classmethod
        def utcnow(cls) -> Any:
            return true_datetime.now(datetime.UTC).replace(tzinfo=None) + by

    time.time = lambda: true_time() + seconds
    datetime.datetime = Stepped  # type: ignore[misc]  # mypy has no class change


if __name__ == "__main__":
    step(float(sys.argv[1]))
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
