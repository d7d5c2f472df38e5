"""The tables of docs/ name tests that exist."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("page", "at_least"), [("field-failures", 40), ("guarantees", 15), ("security", 80)])
def test_tables_name_their_tests(page: str, at_least: int) -> None:
    path, named = "", 0
    for line in (PROJECT / f"docs/{page}.md").read_text().splitlines():
        for file in re.findall(r"`([\w/]+/test_\w+\.py)` whole", line):
            assert (PROJECT / file).exists(), file
        for file, test in re.findall(r"`([\w/.]*)::(\w+)`", line):
            path = file or path
            assert re.search(rf"^ *def {test}\(", (PROJECT / path).read_text(), re.MULTILINE), f"{path}::{test}"
            named += 1
    assert named > at_least
