"""Clicks that arrive while the callbacks of another click run. `test_browser_quick_clicks.py` tests a browser."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from streamlit import config
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.runtime.scriptrunner_utils import script_requests
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequests
from streamlit.runtime.state import SafeSessionState
from streamlit.testing.v1 import AppTest

from lib.web import click_order
from tests.support.ports import free_port
from tests.support.raw_websocket import RawWebsocket, http, rerun
from tests.support.waiting import ENOUGH_S, until

ROOT = Path(__file__).parents[1]
START = """
import streamlit as st

from lib.web.click_order import act_in_order

assert act_in_order()
app = st.App("page.py")
"""
PAGE = """
import time
from pathlib import Path

import streamlit as st


folder = Path(st.query_params["folder"])


def note(line):
    with (folder / "acts").open("a") as acts:
        acts.write(line + "\\n")


def wait_for(name):
    while not (folder / name).exists():
        time.sleep(0.01)


def act(name, gate=None):
    note(name)
    if gate:
        wait_for(gate)
        note(f"{name} ended")


def fail():
    note("broken")
    raise ValueError


st.button("slow", on_click=act, args=("slow", "gate"))
st.button("quick", on_click=act, args=("quick",))
st.button("broken", on_click=fail)
hangs = st.button("hang")


@st.fragment
def part():
    st.button("part", on_click=act, args=("part",))
    st.checkbox("box", key="box", on_change=act, args=("box",))


part()
note(f"drawn {st.session_state.box}")
if hangs:
    note("hangs")
    wait_for("gate")
"""


class Page:
    """A page of one slow and one quick button. The slow one's callback waits for `open_gate`."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._url, self._query = folder, url, f"folder={folder}"
        self._tabs = ExitStack()
        self._tab = self._tabs.enter_context(RawWebsocket(url))
        self._tab.run(self._query)
        self._ids = {button.label: button.id for button in self._tab.widgets("button")}
        self._box = self._tab.widgets("checkbox")[-1].id
        self._fragment = next(message.delta.fragment_id for message in self._tab.messages if message.delta.fragment_id)
        (folder / "acts").write_text("")

    @property
    def acts(self) -> list[str]:
        """Return the lines since the page was opened, without the drawings."""
        return [line for line in self.lines if not line.startswith("drawn")]

    @property
    def lines(self) -> list[str]:
        return (self._folder / "acts").read_text().splitlines()

    def click(self, name: str, box: bool = False) -> None:
        """Send a click, and wait for nothing."""
        states: list[tuple[str, str, Any]] = [(self._box, "bool_value", box)]
        if name != "box":
            states.append((self._ids[name], "trigger_value", True))
        self._tab._socket.send(rerun(self._query, states, fragment=self._fragment if name in ("part", "box") else ""))

    def wait_received(self) -> None:
        """Wait until the server has received all clicks: it has responded to a later request."""
        self._tab.download("no-such-file")

    def close(self) -> None:
        self._tabs.close()

    def reconnect(self) -> None:
        """Close the connection, and resume the session over a new one."""
        self.close()
        self._tab = self._tabs.enter_context(RawWebsocket(self._url, session=self._tab.session))

    def open_gate(self) -> None:
        (self._folder / "gate").touch()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a Streamlit server with this page."""
    folder, port = tmp_path_factory.mktemp("clicks"), free_port()
    (folder / "start.py").write_text(START)
    (folder / "page.py").write_text(PAGE)
    options = ["--server.headless=true", "--server.fileWatcherType=none", "--browser.gatherUsageStats=false"]
    address = [f"--server.port={port}", "--server.address=127.0.0.1"]
    command = [sys.executable, "-m", "streamlit", "run", "start.py", *address, *options]
    url, log, environ = f"http://127.0.0.1:{port}", folder / "log", os.environ | {"PYTHONPATH": str(ROOT)}
    with log.open("w") as lines:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=lines, stderr=lines)
        try:
            until(lambda: _answers(f"{url}/_stcore/health"), show=log.read_text)
            yield url
        finally:
            process.terminate()
            process.wait(ENOUGH_S)


@pytest.fixture
def page(server: str, tmp_path: Path) -> Iterator[Page]:
    page = Page(tmp_path, server)
    yield page
    page.close()
    (tmp_path / "gate").touch()


def _answers(url: str) -> bool:
    try:
        return http(url).status == 200
    except OSError:
        return False


def test_a_click_waits_for_the_callback_of_the_click_before_it(page: Page) -> None:
    page.click("slow")
    until(lambda: page.acts == ["slow"])
    page.click("quick")
    page.click("quick")
    page.wait_received()
    page.open_gate()
    until(lambda: page.acts == ["slow", "slow ended", "quick", "quick"], show=lambda: page.lines)


def test_clicks_that_come_together_all_act_in_their_order(page: Page) -> None:
    page.open_gate()
    for name in ("quick", "slow", "quick", "slow"):
        page.click(name)
    until(lambda: page.acts == ["quick", "slow", "slow ended", "quick", "slow", "slow ended"], show=lambda: page.lines)


def test_a_click_does_not_wait_for_a_script_that_hangs(page: Page) -> None:
    page.click("hang")
    until(lambda: "hangs" in page.acts)
    page.click("quick")
    until(lambda: page.acts == ["hangs", "quick"], show=lambda: page.lines)


def test_clicks_in_and_after_a_fragment_do_not_wait_for_a_script_that_hangs(page: Page) -> None:
    page.click("hang")
    until(lambda: "hangs" in page.acts)
    page.click("part")
    page.click("quick")
    until(lambda: sorted(page.acts) == ["hangs", "part", "quick"], show=lambda: page.lines)


def test_a_page_that_reconnects_while_a_callback_runs_goes_on(page: Page) -> None:
    page.click("slow")
    until(lambda: page.acts == ["slow"])
    page.reconnect()
    page.click("quick")
    until(lambda: page.acts == ["slow", "quick"], show=lambda: page.lines)


def test_the_waiting_clicks_of_a_page_that_is_closed_act(page: Page) -> None:
    page.click("slow")
    until(lambda: page.acts == ["slow"])
    page.click("quick")
    page.click("quick")
    page.wait_received()
    page.close()
    page.open_gate()
    until(lambda: page.acts == ["slow", "slow ended", "quick", "quick"], show=lambda: page.lines)


def test_a_click_that_fails_on_a_closed_page_drops_no_later_click(page: Page) -> None:
    page.click("slow")
    until(lambda: page.acts == ["slow"])
    page.click("broken")
    page.click("quick")
    page.wait_received()
    page.close()
    page.open_gate()
    until(lambda: page.acts == ["slow", "slow ended", "broken", "quick"], show=lambda: page.lines)


def test_a_waiting_click_keeps_what_was_chosen_in_a_fragment_meanwhile(page: Page) -> None:
    page.click("slow")
    until(lambda: page.acts == ["slow"])
    page.click("quick")
    page.click("box", box=True)
    page.wait_received()
    page.open_gate()
    until(lambda: {"quick", "box"} <= set(page.acts) and page.lines[-1] == "drawn True", show=lambda: page.lines)


def test_a_waiting_click_keeps_its_own_choice_where_the_fragment_ran_before(page: Page) -> None:
    page.click("slow")
    until(lambda: page.acts == ["slow"])
    page.click("part", box=False)
    page.click("quick", box=True)
    page.wait_received()
    page.open_gate()
    until(lambda: {"part", "quick"} <= set(page.acts) and page.lines[-1] == "drawn True", show=lambda: page.lines)


def clicks() -> None:
    """A page on which the next click arrives while the callbacks of the one before run."""
    import streamlit as st
    from streamlit.runtime.scriptrunner import get_script_run_ctx
    from streamlit.runtime.scriptrunner_utils.script_requests import RerunData

    def vote() -> None:
        context = get_script_run_ctx()
        assert context and context.script_requests
        context.script_requests.request_rerun(RerunData(page_script_hash=context.page_script_hash))
        st.query_params["voted"] = "yes"
        st.session_state.voted = True

    st.button("Vote", on_click=vote)
    st.session_state.drawn = st.session_state.get("drawn", 0) + 1


@pytest.fixture
def streamlit_comes_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what `act_in_order` replaces."""
    for owner, name in (
        (ScriptRunner, "_maybe_handle_execution_control_request"),
        (ScriptRunner, "request_rerun"),
        (SafeSessionState, "on_script_will_rerun"),
        (ScriptRequests, "on_scriptrunner_ready"),
        (ScriptRequests, "on_scriptrunner_yield"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    fast = config.get_option("runner.fastReruns")
    yield
    config.set_option("runner.fastReruns", fast)


@pytest.mark.usefixtures("streamlit_comes_back")
def test_the_callbacks_of_a_click_end_before_the_next_click_interrupts_the_script() -> None:
    assert click_order.act_in_order()
    page = AppTest.from_function(clicks, default_timeout=ENOUGH_S).run()
    page.button[0].click().run()
    assert page.session_state["voted"]
    assert page.session_state["drawn"] == 2  # the run of the first click ends before it draws


@pytest.mark.parametrize(
    ("owner", "name"),
    [(ScriptRunner, "_maybe_handle_execution_control_request"), (script_requests, "_coalesce_widget_states")],
)
def test_where_streamlit_interrupts_otherwise_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, owner: object, name: str
) -> None:
    monkeypatch.delattr(owner, name)
    assert not click_order.act_in_order()
    assert "a click may be lost" in caplog.text
