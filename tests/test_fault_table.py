"""The table of faults in the tests' README names tests that exist."""

import re
from pathlib import Path

HERE = Path(__file__).parent
ROWS = [line for line in (HERE / "README.md").read_text().splitlines() if "::test_" in line]


def test_every_fault_has_a_row() -> None:
    assert len(ROWS) == 34


def test_every_test_in_the_table_exists() -> None:
    for row in ROWS:
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row)
        assert named and row.count("::") == len(named), row
        for file, name in named:
            assert re.search(rf"^\s*def {name}\(", (HERE / file).read_text(), re.MULTILINE), f"{file} has no {name}"
