"""`invite`: links made, listed and revoked from a terminal."""

from contextlib import closing
from pathlib import Path

import pytest

from lib.store import Store
from tests.support import app_process
from tests.support.operator_tool import Run, run_tool


def tool(folder: Path, *words: str, **environ: str) -> Run:
    """Run `python -m lib invite …` in this folder."""
    return run_tool(folder, "invite", *words, **environ)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    app_process.lay_out(tmp_path)
    return tmp_path


def test_the_tool_makes_lists_and_ends_links(folder: Path) -> None:
    public = {"PARLEY_PUBLIC_URL": "https://chat.example.org", "PARLEY_ACCESS": "invite"}
    made = tool(folder, "--name", "Ann & co", "--sessions", "3", "--group", "Test", "--usd", "2.5", **public)
    assert made.returncode == 0
    [link] = made.stdout.splitlines()
    assert link.startswith("https://chat.example.org/invite/") and "Ann" not in link
    assert "left out of the readout" in made.stderr and "PARLEY_ACCESS" not in made.stderr
    [_, row] = tool(folder, "--list", **public).stdout.splitlines()
    assert row.split("  ")[1] == "Ann & co" and "0 of 3" in row and "2.5" in row and row.endswith(link)
    assert tool(folder, "--revoke", "Ann & co").returncode == 0
    assert "revoked" in tool(folder, "--list").stdout.splitlines()[1]


def test_the_tool_makes_links_for_guests_that_compare(folder: Path) -> None:
    made = tool(folder, "--name", "Friday", "--compare")
    assert made.returncode == 0 and "compares two answers" in made.stderr
    [head, row] = tool(folder, "--list").stdout.splitlines()
    assert "compare" in head and "yes" in row.split()
    with closing(Store.open(f"sqlite:///{folder}/data/parley.db")) as store:
        assert [one.compare for one in store.guests.invitations()] == [True]


def test_the_tool_says_that_a_link_has_no_effect_with_open_access(folder: Path) -> None:
    made = tool(folder, "--name", "Ann")
    assert made.stdout.startswith("http://localhost:8501/invite/") and "PARLEY_ACCESS is open" in made.stderr


@pytest.mark.parametrize(
    ("code", "words", "says"),
    [
        (2, ["--name", "A", "--group", "Nobody"], "it has Control, Test"),
        (2, ["--name", "A", "--days", "0"], "from 1 to 365"),
        (2, ["--name", "A", "--group", "Test", "--compare"], "leave one of the two out"),
        (2, ["--list", "--compare"], "give it a --name"),
        (2, ["--name", "A", "--days", "many"], "invalid int"),
        (2, ["--name", "A", "--list"], "not allowed with"),
        (2, ["--list", "--sessions", "2"], "give it a --name"),
        (2, [], "is required"),
        (1, ["--revoke", "Nobody"], "no open invitation"),
    ],
)
def test_the_tool_says_why_it_refuses(folder: Path, code: int, words: list[str], says: str) -> None:
    run = tool(folder, *words)
    assert (run.returncode, run.stdout) == (code, "")
    assert says in run.stderr


def test_a_taken_name_exits_with_1(folder: Path) -> None:
    assert tool(folder, "--name", "Ann").returncode == 0
    run = tool(folder, "--name", "Ann")
    assert run.returncode == 1 and "already" in run.stderr and run.stdout == ""
