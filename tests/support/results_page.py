"""The Results page in this process, on a store with invented traffic, and the parts of it that tests read."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from lib.access.identity import Access
from lib.settings import load
from lib.store.database import Database
from lib.web import running
from pages import readouts
from tests.support import invented_traffic
from tests.support.invented_traffic import Traffic
from tests.support.page_runs import new_session
from tests.support.waiting import ENOUGH_S

ROOT = Path(__file__).parent.parent.parent
PAGE = str(ROOT / "pages" / "results" / "page.py")
MORE = """
[three]
[three.groups]
plain = { weight = 1, parameters = { model = "a" } }
_long_name = { weight = 1, parameters = { model = "b" } }
c = { weight = 1, parameters = { model = "c" } }
"""
Begin = Callable[..., None]
Open = Callable[..., AppTest]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The database URL of the page's store."""
    return f"sqlite:///{tmp_path}/parley.db"


@pytest.fixture
def begin(tmp_path: Path, url: str) -> Iterator[Begin]:
    """A function that opens the app of this process, without a demo model unless its URL is given."""
    definitions = tmp_path / "experiments.toml"
    definitions.write_text((ROOT / ".streamlit" / "experiments.toml").read_text() + MORE)

    def start(demo_url: str | None = None, **settings: str) -> None:
        environ = {"DATABASE_URL": url, "PARLEY_EXPERIMENTS_FILE": str(definitions), **settings}
        readouts.forget()
        running.begin(load(environ, tmp_path / "none.toml"), Access("a-signing-key-of-the-tests"), demo_url)
        running.app(ENOUGH_S)

    yield start
    running.close()


@pytest.fixture
def show(begin: Begin, url: str) -> Open:
    """A function that opens the page, by default for an operator, on a store with the given traffic."""

    def open_results(*past: Traffic, operator: bool = True, **query: str) -> AppTest:
        invented_traffic.fill(url, *past)
        begin()
        return visit(operator, **query)

    return open_results


def visit(operator: bool = True, **query: str) -> AppTest:
    test = new_session(PAGE)
    test.session_state["operator"] = operator
    for name, value in query.items():
        test.query_params[name] = value
    return test.run()


def text_of(test: AppTest) -> str:
    """Return all text on the page, without the backslashes of its Markdown."""
    parts = [*test.subheader, *test.markdown, *test.caption, *test.text, *test.warning, *test.error]
    labels = [part.label for part in (*test.button, *test.expander)]
    return "\n".join([*(str(part.value) for part in parts), *labels]).replace("\\", "")


def headline(test: AppTest) -> str:
    return str(test.subheader[0].value).replace("\\", "")


def charts(test: AppTest) -> list[str]:
    """Return the alternative texts of the charts, from top to bottom."""
    return [chart.proto.alt for chart in test.get("vega_lite_chart")]


def change(url: str, *statements: Any) -> None:
    with closing(Database.open(url)) as database, database.begin() as connection:
        for statement in statements:
            connection.execute(statement)
