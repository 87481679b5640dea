"""The pages of an open app as Streamlit runs them, without a browser, for an operator or a tester.

with open_app(folder, OPENAI_BASE_URL=server.base_url):
    page = run_page("experiment", operator=True)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Element

from lib.access.identity import Access
from lib.app import App
from lib.settings import load
from lib.web import running
from tests.support.waiting import ENOUGH_S

ROOT = Path(__file__).parents[2]
FRAME = str(ROOT / "pages" / "frame.py")
EXPERIMENTS = (ROOT / ".streamlit" / "experiments.toml").read_text(encoding="utf-8")
ACCESS = Access("a-signing-key-of-the-tests")


_scan_packages = manifest_scanner.scan_component_manifests


@cache
def _components() -> Any:
    """Return the components of all installed packages. Streamlit's search takes a tenth of a second in each session."""
    return _scan_packages()


manifest_scanner.scan_component_manifests = _components


def new_session(script: str = FRAME) -> AppTest:
    """Return a session that has not run its script yet."""
    return AppTest.from_file(script, default_timeout=ENOUGH_S)


@contextmanager
def open_app(folder: Path, experiments: str = EXPERIMENTS, **settings: str) -> Iterator[App]:
    """Open the app of this process with these settings until the block ends."""
    toml = folder / "experiments.toml"
    toml.write_text(experiments, encoding="utf-8")
    environ = {"DATABASE_URL": f"sqlite:///{folder}/parley.db", "PARLEY_EXPERIMENTS_FILE": str(toml), **settings}
    running.begin(load(environ, folder / "none.toml"), ACCESS)
    try:
        yield running.app(ENOUGH_S)
    finally:
        running.close()


def run_page(page: str = "", *, operator: bool = True, **query: str) -> AppTest:
    """Wait until the store has written everything, then run this page in a new session. `query` is its query string."""
    assert running.app().store.write(lambda _: None).wait(ENOUGH_S)
    test = new_session()
    test.session_state["operator"] = test.session_state["proven_operator"] = operator
    for name, value in query.items():
        test.query_params[name] = value
    test.run()
    return test.switch_page(f"{page}/page.py").run() if page else test


def press(page: AppTest, label: str) -> AppTest:
    """Click the first button of this label; return the page after that."""
    return next(button for button in page.button if button.label == label).click().run()


def page_text(page: AppTest) -> str:
    """Return all text on the page, without the backslashes of its Markdown."""
    kinds = ("header", "subheader", "markdown", "caption", "text", "warning", "error", "info", "code")
    parts = [str(part.value) for kind in kinds for part in page.get(kind) if isinstance(part, Element)]
    tables = [" | ".join(map(str, [*table.value.columns, *table.value.to_numpy().ravel()])) for table in page.table]
    labels = [part.label for part in (*page.button, *page.expander, *page.toggle, *page.metric)]
    values = [str(metric.value) for metric in page.metric]
    bars = [bar.proto.text for bar in page.get("progress")]
    return "\n".join([*parts, *tables, *labels, *values, *bars]).replace("\\", "")
