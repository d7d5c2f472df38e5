"""The words for what is measured: a row of the table, and its figures."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured value, in its unit; `beside` says what was measured next to it, in the same run.

    `target` must be reached and `aim` is wanted; less is better where `less` says so.
    """

    what: str
    value: float
    unit: str
    beside: str = ""
    target: float | None = None
    aim: float | None = None
    less: bool = False

    def reaches(self, wanted: float) -> bool:
        return self.value <= wanted if self.less else self.value >= wanted

    def share_of_target(self) -> float:
        """1 and more: the target is reached. Only for a figure that has one."""
        assert self.target is not None
        return self.target / self.value if self.less else self.value / self.target


Measure = Callable[[], Iterable[Figure]]


@dataclass(frozen=True)
class Row:
    """A row of the table. `name` is what `make bench ROWS=` calls it; `bound` says what bounds its figures
    now, and `needed` what would have to change for the aim."""

    name: str
    title: str
    bound: str
    needed: str
    measure: Measure


def row(name: str, title: str, *, bound: str, needed: str = "") -> Callable[[Measure], Row]:
    """Makes a row of the function that measures it, and of its words."""
    return lambda measure: Row(name, title, " ".join(bound.split()), " ".join(needed.split()), measure)


@dataclass(frozen=True)
class Result:
    """What became of a row: its figures, or none and the reason why they were thrown away."""

    row: Row
    figures: Sequence[Figure] = ()
    thrown_away: str = ""
