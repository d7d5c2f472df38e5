"""The table, row by row: what has a target, and how the cost grows."""

from benchmarks.rows import growing, paying, placing, reading, resting, sweeping

TARGETS = (
    placing.one_by_one,
    placing.much_wanted,
    placing.last_unit,
    placing.in_bulk,
    paying.payments,
    reading.availability,
    sweeping.sweep,
    reading.growth_of_pages,
    resting.resting,
    placing.everything_on,
    reading.lists_of_many,
)
GROWTH = (
    growing.by_connections,
    growing.by_businesses,
    growing.by_skus,
    growing.by_lines,
    reading.load_generator,
)
