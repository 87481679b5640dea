"""Fixtures and hooks of all tests: a real browser, the real app, no connection to other machines, no skip in CI."""

import gc
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from playwright.sync_api import Browser, Page, expect, sync_playwright

from lib.store import Store
from tests.support import app_process, invented_traffic, loopback_guard, openai_server, statsig_server
from tests.support import chromium as chromium
from tests.support import postgres_server as real
from tests.support.app_process import AppProcess
from tests.support.chat_page import SOON_MS, Chat, Record, visit, watched, window
from tests.support.stored_answers import OpenStore
from tests.support.waiting import ENOUGH_S

# An example may take any time on a busy machine. Every run has the same examples, so that no change fails by chance.
hypothesis_settings.register_profile(
    "parley", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("parley")
expect.set_options(timeout=SOON_MS)

collect_ignore = ["bench/peers"]  # programs that start when they are imported
_ways_out: list[str] = []
StartApp = Callable[..., AppProcess]


def pytest_configure() -> None:
    """Note every attempt of the tests, or of the code under test, to leave this machine."""
    loopback_guard.watch(_ways_out.append)


PROVIDER_STYLE = "/pico."
"""Part of the address of a style sheet that the sign-in provider's pages load. The tests' browser cannot reach it."""

SLOW = ("app_process", "AppProcess", "Postgres", "replicas", "chromium", "subprocess")
"""Words in the imports of test files that start processes."""


LONG = (
    "test_pages_results.py",
    "test_pages_experiment.py",
    "test_pages_experiment_acts.py",
    "test_readout_verdicts.py",
    "test_models_completion.py",
    "test_models_failures.py",
)
"""The files of fast tests that take longest."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip files in which the `-m` of `make test` selects no test, so that no worker imports them."""
    chosen = config.option.markexpr
    if collection_path.is_dir():
        return None
    if not collection_path.name.startswith("test_"):
        return True if chosen == "alone" and collection_path.suffix == ".py" else None
    text = collection_path.read_text(encoding="utf-8")
    browser, slow = "pytestmark = pytest.mark.browser" in text, _starts(collection_path)
    left_out = (browser and "not browser" in chosen) or (slow and "not slow" in chosen)
    return True if left_out or (chosen == "alone" and "mark.alone" not in text) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that start a server, a database or another process as slow; `make test FAST=1` leaves them out.

    Sort browser tests first, then slow tests, then those of the longest files, so that no long file runs last.
    """
    for item in items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        if "postgresql" in params.values() or "postgres" in getattr(item, "fixturenames", ()) or _starts(item.path):
            item.add_marker("slow")
    marked = {mark: {item.path for item in items if item.get_closest_marker(mark)} for mark in ("browser", "slow")}

    def place(item: pytest.Item) -> tuple[bool, bool, bool]:
        return item.path not in marked["browser"], item.path not in marked["slow"], item.path.name not in LONG

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Exclude all that was imported from garbage collection, which saves a tenth of the processor time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@cache
def _starts(file: Path) -> bool:
    lines = file.read_text(encoding="utf-8").splitlines()
    return any(line.startswith(("import ", "from ")) and any(word in line for word in SLOW) for line in lines)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Report a skipped test as failed in CI, and add the text of its pages to the report of a failed test."""
    browser = sys.modules.get(f"{__package__}.support.chat_page")
    if browser and call.when == "call" and call.excinfo and isinstance(call.excinfo.value, Exception):
        for page in browser.open_tabs:
            call.excinfo.value.add_note(browser.describe(page))
    return _no_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    """Report a skipped file as failed in CI."""
    return _no_skip((yield))


def _no_skip(report: Any) -> Any:
    if report.outcome == "skipped" and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, which in CI is a failure: {report.longrepr[-1]}"
    return report


@pytest.fixture(autouse=True)
def stays_on_this_machine() -> Iterator[None]:
    """Fail a test in which this process tried to reach another machine."""
    _ways_out.clear()
    yield
    assert not _ways_out, _ways_out


@pytest.fixture(autouse=True)
def leaves_logging_as_it_was() -> Iterator[None]:
    """Undo what `lib.logs.configure` does to the process, so that no test depends on those before it."""
    root, ours = logging.getLogger(), logging.getLogger("parley")
    handlers, levels, show = root.handlers[:], (root.level, ours.level), warnings.showwarning
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    warnings.showwarning = show
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


@pytest.fixture(scope="session")
def postgres() -> Iterator[real.Postgres]:
    """A real PostgreSQL; `database()` gives the URL of an empty one."""
    if real.binaries() is None:
        pytest.skip("there is no PostgreSQL (on Debian: apt-get install postgresql)")
    with real.serve() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/parley.db"
    server: real.Postgres = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture
def open_store(database_url: str) -> Iterator[OpenStore]:
    """A function that opens the store of `database_url` anew at each call, as another process would."""
    opened: list[Store] = []

    def another(**options: Any) -> Store:
        opened.append(Store.open(database_url, **options))
        return opened[-1]

    yield another
    for store in opened:
        store.close()


@pytest.fixture
def parley(open_store: OpenStore) -> Store:
    """A store that hands its events over for delivery."""
    return open_store(deliver=True)


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[app_process.AppProcess]:
    """The app with twelve days of answers. A browser on this machine is an operator's."""
    folder = tmp_path_factory.mktemp("operated")
    invented_traffic.fill(f"sqlite:///{folder}/data/parley.db", invented_traffic.harmed())
    app = app_process.start(folder)
    yield app
    app.stop()
    assert "raceback" not in app.log()


@pytest.fixture
def model_server() -> Iterator[openai_server.Server]:
    """A model server whose answers the test scripts."""
    with openai_server.serve() as server:
        yield server


@pytest.fixture
def statsig(monkeypatch: pytest.MonkeyPatch) -> Iterator[statsig_server.Statsig]:
    """A stand-in for Statsig that stores what it receives and fails as the test scripts it.

    Questions in this process wait for its first answer as long as a busy machine needs.
    """
    monkeypatch.setattr("lib.experiments.evaluator.FIRST_ANSWER_S", ENOUGH_S)
    with statsig_server.serve() as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium for one file: while Playwright's event loop runs, other tests cannot call `asyncio.run`."""
    with sync_playwright() as playwright:
        if not chromium.available(playwright):
            pytest.skip("there is no Chromium: make browser")
        with chromium.launch(playwright, light=True) as launched:
            launched.on("context", lambda context: context.set_default_timeout(SOON_MS))
            yield launched


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page of 1280 × 800. Fails the test if a request left this machine or a script failed."""
    with window(browser) as opened, watched(opened.context, console=False, expected=PROVIDER_STYLE):
        yield opened


@pytest.fixture
def start_app(tmp_path: Path) -> Iterator[StartApp]:
    """A function that starts the real app with the given settings (`app_process.start`). All stop after the test."""
    apps: list[AppProcess] = []

    def start(environ: Mapping[str, str] | None = None, folder: Path | None = None, **more: Any) -> AppProcess:
        apps.append(app_process.start(folder or tmp_path / "app", environ, **more))
        return apps[-1]

    yield start
    for app in apps:
        app.stop()
    assert not [line for app in apps for line in app.outbound()]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """The real app without any setting, for all tests of one file."""
    started = app_process.start(tmp_path_factory.mktemp("app"))
    yield started
    started.stop()
    assert not started.outbound()


@pytest.fixture(scope="module")
def model() -> Iterator[openai_server.Server]:
    """The model server of `chat_app`."""
    with openai_server.serve() as server:
        yield server


@pytest.fixture
def server(model: openai_server.Server) -> openai_server.Server:
    """The model server, without the scripts and requests of earlier tests."""
    model.forget()
    return model


@pytest.fixture(scope="module")
def chat_app(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model: openai_server.Server
) -> Iterator[AppProcess]:
    """The real app in front of a scripted model server, with the SETTINGS of a test file, for all its tests."""
    settings = {"OPENAI_BASE_URL": model.base_url, **getattr(request.module, "SETTINGS", {})}
    started = app_process.start(tmp_path_factory.mktemp("app"), settings)
    yield started
    started.stop()
    assert not started.outbound()
    assert "raceback" not in started.log()


@pytest.fixture
def chat(browser: Browser, chat_app: AppProcess, model: openai_server.Server) -> Iterator[Chat]:
    """A new visitor's empty page. The scripts of earlier tests are removed from the model server."""
    model.forget()
    with visit(browser, chat_app) as opened:
        yield opened


@pytest.fixture(scope="module")
def record(chat_app: AppProcess) -> Iterator[Record]:
    """The record of `chat_app`."""
    with Record.of(chat_app) as opened:
        yield opened
