"""Clicks that arrive while the callbacks of another run. `test_browser_quick_clicks.py` has them in a browser."""

import pytest
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequests
from streamlit.runtime.state import SafeSessionState
from streamlit.testing.v1 import AppTest

from lib.web import click_order
from tests.support.waiting import ENOUGH_S


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
def streamlit_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what `act_in_order` replaces."""
    for owner, name in (
        (ScriptRunner, "_maybe_handle_execution_control_request"),
        (ScriptRunner, "request_rerun"),
        (SafeSessionState, "on_script_will_rerun"),
        (ScriptRequests, "on_scriptrunner_ready"),
        (ScriptRequests, "on_scriptrunner_yield"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))


@pytest.mark.usefixtures("streamlit_comes_back")
def test_the_callbacks_of_a_click_end_before_the_next_click_interrupts_the_script() -> None:
    assert click_order.act_in_order()
    page = AppTest.from_function(clicks, default_timeout=ENOUGH_S).run()
    page.button[0].click().run()
    assert page.session_state["voted"]
    assert page.session_state["drawn"] == 2  # the run of the first click ends before it draws


def test_where_streamlit_interrupts_otherwise_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(ScriptRunner, "_maybe_handle_execution_control_request")
    assert not click_order.act_in_order()
    assert "a click may be lost" in caplog.text
