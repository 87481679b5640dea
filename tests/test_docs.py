"""The documents on security and privacy match the code: they name tests that exist and every table of personal data."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from lib.__main__ import _parser
from lib.store import schema
from tests.support.app_process import ROOT
from tests.support.operator_tool import run_tool

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

IMPERSONAL = {"alert", "lease", "migration", "definition", "weights", "purged", "held", "experiment_state"}
"""Tables about the experiment and the database itself, without any id of a person."""


PROMISES = ("docs/understand/security.md", "docs/understand/privacy.md")


@pytest.mark.parametrize("document", PROMISES)
def test_every_test_that_a_document_names_exists(document: str) -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / document).read_text(encoding="utf-8")))
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    assert len(named) > 30
    assert named - set(re.findall(r"def (test_\w+)\(", sources)) == set()


@pytest.mark.parametrize("document", PROMISES)
def test_every_promise_names_the_test_that_holds_it(document: str) -> None:
    """Headings, heads of tables, and the last chapter, which no test can hold, are left out."""
    tested = (ROOT / document).read_text(encoding="utf-8").partition("\n## Outside of Parley")[0].partition("\n## ")[2]
    blocks = [block for part in re.split(r"\n\n+", tested)[1:] for block in re.split(r"\n(?=- |\| )", part)]
    untested = [block for block in blocks if not re.search(r"`test_\w+(\.py)?`", block)]
    allowed = r"## |\| (what|who|cookie|point|risk) \||The id of a person"
    assert [block for block in untested if not re.match(allowed, block)] == []


def test_the_privacy_document_names_every_table_that_may_hold_personal_data() -> None:
    named = set(re.findall(r"`(\w+)`", (ROOT / "docs/understand/privacy.md").read_text(encoding="utf-8")))
    assert set(schema.metadata.tables) - IMPERSONAL - named == set()


def tool_calls() -> list[str]:
    """Return every distinct call of the operator's tool in the documents' shell blocks, in order."""
    blocks = [
        block
        for document in DOCUMENTS
        for block in re.findall(r"```sh\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    ]
    lines = [line for block in blocks for line in block.splitlines() if '"$@"' not in line]
    calls = [match[1] for line in lines if (match := re.match(r"(?:(?:\.venv/bin/)?python -m lib|parley) (.+)", line))]
    return list(dict.fromkeys(shlex.join(_words(call)) for call in calls))


def _words(call: str) -> list[str]:
    words = shlex.split(call, comments=True)
    return words[: words.index(">")] if ">" in words else words


@pytest.mark.parametrize("call", tool_calls())
def test_a_call_of_the_tool_in_a_document_has_options_that_exist(call: str) -> None:
    assert _parser().parse_args(shlex.split(call)).command in call


def test_the_calls_in_the_documents_that_need_no_other_server_work(tmp_path: Path) -> None:
    """Run them in order in one folder. Left out: `simulate` and `move`, which have tests of their own, and
    `statsig-setup` without `--dry-run`, which asks for a key."""
    shutil.copytree(ROOT / ".streamlit", tmp_path / ".streamlit", ignore=shutil.ignore_patterns("secrets.toml"))
    others = ("simulate", "move", "readout --events")
    calls = [call for call in tool_calls() if not call.startswith(others) and call != "statsig-setup"]
    results = {call: run_tool(tmp_path, *shlex.split(call), PARLEY_ACCESS="invite") for call in calls}
    empty = {call for call, run in results.items() if run.returncode == 1}
    assert {call: run.stderr for call, run in results.items() if run.returncode not in (0, 1)} == {}
    assert empty <= {"readout", "readout --json"}, {call: results[call].stderr for call in empty}
    assert len(results) > 8
