"""The table of guards is of the code as it stands; `make guards` takes them out."""

from pathlib import Path

import pytest

from orders_project.local.servers import PROJECT
from proofs.guards.run import Workplace
from proofs.guards.table import GUARDS, Guard


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_guards_stand_where_the_table_says(guard: Guard) -> None:
    file = PROJECT / guard.file
    assert guard.taken_out_of(file.read_text()) != file.read_text()
    for test in guard.tests:
        path, _, name = test.partition("::")
        name = name.partition("[")[0]
        assert f"def {name}(" in (PROJECT / path).read_text() if name else (PROJECT / path).exists(), test


@pytest.mark.slow
def test_guard_that_is_taken_out_is_missed(tmp_path: Path) -> None:
    """One of our code and one of the database; with the guard in place the same tests are green."""
    place = Workplace(tmp_path)
    try:
        ours = next(guard for guard in GUARDS if guard.file == "orders/services/timeline.py")
        law = next(law for law in place.laws() if law.name == "payment_once")
        assert place.test([*ours.tests, *law.tests])[0] == 0
        for guard in (ours, law):
            verdict = place.try_without(guard)
            assert verdict.missed, verdict
    finally:
        place.close()
