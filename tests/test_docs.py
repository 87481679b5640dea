"""The documents on security and privacy match the code: they name tests that exist and every table of personal data."""

import re

from lib.store import schema
from tests.support.app_process import ROOT

NOBODYS = {"migration", "definition", "weights", "purged", "held"}
"""Tables about the experiment and the database itself, in which no id of a person stands."""


def test_every_test_that_the_security_document_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/understand/security.md").read_text(encoding="utf-8")))
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    assert len(named) > 30
    assert named - set(re.findall(r"def (test_\w+)\(", sources)) == set()


def test_the_privacy_document_names_every_table_that_may_hold_somebodys_data() -> None:
    told = set(re.findall(r"`(\w+)`", (ROOT / "docs/understand/privacy.md").read_text(encoding="utf-8")))
    assert set(schema.metadata.tables) - NOBODYS - told == set()
