"""What the charts show: few series over a stretch of time, as many points as the eye can tell apart."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from orders.staff.page import choice

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

# What can be chosen: how long, in words; the time between two points, in words too; and between two ticks.
RANGES = {
    "1h": (HOUR, "1 hour", MINUTE, "minute", 10 * MINUTE),
    "6h": (6 * HOUR, "6 hours", 5 * MINUTE, "5 minutes", HOUR),
    "24h": (DAY, "24 hours", 15 * MINUTE, "quarter of an hour", 4 * HOUR),
    "7d": (7 * DAY, "7 days", 2 * HOUR, "2 hours", DAY),
}


@dataclass(frozen=True, slots=True)
class Range:
    """A stretch of time that ends now, in steps that begin at the same instants whenever it is asked."""

    name: str
    words: str
    since: datetime
    until: datetime
    step: timedelta
    step_words: str
    tick: timedelta

    @property
    def is_daily(self) -> bool:
        """Whether each step is a day."""
        return self.step == DAY

    @property
    def starts(self) -> list[datetime]:
        """When each step begins; of a range in a time zone of its own, by the clock there."""
        count = -(-(self.until - self.since) // self.step)
        return [self.since + n * self.step for n in range(count)]

    @property
    def ticks(self) -> list[datetime]:
        """The round times of the current time zone to write below a chart."""
        midnight = timezone.localtime(self.since).replace(hour=0, minute=0, second=0, microsecond=0)
        count = (self.until - midnight) // self.tick
        return [at for n in range(count + 1) if (at := midnight + n * self.tick) >= self.since]

    def start_of(self, instant: datetime) -> datetime:
        """When the step began that an instant is in."""
        return instant - (instant - EPOCH) % self.step


EPOCH = datetime(2020, 1, 1, tzinfo=UTC)  # a midnight, from which the steps are counted


def chosen_range(request: HttpRequest, now: datetime, default: str = "1h") -> Range:
    """The range named in the address. Raises Http404."""
    name = choice(request, "range", RANGES, default)
    length, words, step, step_words, tick = RANGES[name]
    since = now - length
    return Range(name, words, since - (since - EPOCH) % step, now, step, step_words, tick)


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart; `tone` is its colour's name in the style sheet. None is where nothing is known."""

    name: str
    tone: str
    values: Sequence[float | None]
    on_right: bool = False  # with a scale of its own, for it is of another size than the others


@dataclass(frozen=True, slots=True)
class Chart:
    """Series over the same instants, to be drawn and to stand in a table beside it."""

    id: str
    title: str
    unit: str
    range: Range
    zone: str
    series: Sequence[Series]
    empty: str  # what stands in its place while there is nothing to draw: what will appear here
    stepped: bool = False  # a level, which stays as it is until something moves it
    dotted: bool = False  # values that stand alone, each at its time
    currency: str = ""  # of amounts

    @property
    def json_id(self) -> str:
        return f"chart-{self.id}"

    @property
    def is_empty(self) -> bool:
        return not any(any(series.values) for series in self.series)

    @property
    def drawn(self) -> dict[str, Any]:
        """As charts.js reads it."""
        times = list(map(_milliseconds, self.range.starts))
        return {
            "unit": self.unit,
            "stepped": self.stepped,
            "dotted": self.dotted,
            "since": times[0],
            "until": _milliseconds(self.range.until),
            "ticks": list(map(_milliseconds, self.range.ticks)),
            "days": self.range.tick >= DAY,
            "daily": self.range.is_daily,
            "zone": self.zone,
            "series": [
                {
                    "name": series.name,
                    "tone": series.tone,
                    "axis": "right" if series.on_right else "y",
                    "points": [point for point in zip(times, series.values, strict=True) if point[1] is not None],
                }
                for series in self.series
            ],
        }

    @property
    def rows(self) -> Iterable[tuple[datetime, list[float | None]]]:
        """The table beside it, the newest first, without the instants at which there is nothing to tell."""
        steps = zip(self.range.starts, *(series.values for series in self.series), strict=True)
        for instant, *values in reversed(list(steps)):
            if any(values):
                yield instant, values


def _milliseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)
