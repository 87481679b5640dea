"""The order of a page's clicks: each acts after the one before it. Replaces undocumented parts of Streamlit."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

log = logging.getLogger("parley")


class _ClickOrder:
    """The clicks that wait until the callbacks of the click before them have ended.

    `requests` is the object by which Streamlit controls a script: the script continues (CONTINUE), a click is pending
    (RERUN), or the script ends (STOP). Clicks inside a fragment do not wait: Streamlit keeps one pending until the
    script has ended. `merge` combines the widgets' states of an older and a newer click.
    """

    def __init__(self, merge: Callable[[Any, Any], Any]) -> None:
        self.lock = threading.Lock()
        self._merge = merge
        self._waiting: WeakKeyDictionary[Any, deque[Any]] = WeakKeyDictionary()
        """The waiting clicks of each script whose callbacks have not ended, by its requests. Each click is stored with
        the request that was pending when it came: a click inside a fragment, or the fragment's own next run."""

    def hold(self, requests: Any, click: Any) -> bool:
        """Keep a click and return True if others must act before it. Otherwise end the script, so that Streamlit starts
        another."""
        state, pending = requests._state.name, requests._rerun_data
        if state == "STOP":
            return False
        in_fragment = state == "RERUN" and bool(pending.fragment_id_queue)
        if requests in self._waiting or (state == "RERUN" and _acts(pending) and not in_fragment):
            self._waiting.setdefault(requests, deque()).append((click, pending))
            return True
        if in_fragment:
            self._add(click, pending, click)
        if in_fragment or state == "CONTINUE":
            requests.request_stop()
        return False

    def begin(self, requests: Any, request: Any) -> Any:
        """Note that the callbacks of a request are due, and return it."""
        if request and request.type.name == "RERUN" and _acts(request.rerun_data):
            self._waiting.setdefault(requests, deque())
        return request

    def end(self, requests: Any) -> deque[Any]:
        """Hand the next click to Streamlit, because the callbacks of the one before have ended or were not called.

        Where the page was closed, no further script runs: return all waiting clicks instead.
        """
        clicks = self._waiting.pop(requests, deque())
        if not clicks or requests._state.name == "STOP":
            return deque(click for click, _ in clicks)
        click, before = clicks.popleft()
        if requests._state.name == "RERUN":
            pending = requests._rerun_data
            self._add(click, *((pending, click) if pending is before else (click, pending)))
        requests.request_rerun(click)
        self._waiting[requests] = clicks
        return deque()

    def _add(self, click: Any, older: Any, newer: Any) -> None:
        """Merge the widgets' states of two clicks into `click`, which is one of them."""
        if _acts(older) and _acts(newer):
            click.widget_states.CopyFrom(self._merge(older.widget_states, newer.widget_states))


def _acts(click: Any) -> bool:
    """Return True if Streamlit calls callbacks in the run that this click begins."""
    return click.widget_states is not None


class _Replacements:
    """Replacements of Streamlit's functions that keep the order of clicks."""

    def __init__(self) -> None:
        """Find the functions and try them once. Raises ImportError or AttributeError in another version."""
        from streamlit import config
        from streamlit.runtime.scriptrunner import get_script_run_ctx, script_runner
        from streamlit.runtime.scriptrunner_utils import script_requests
        from streamlit.runtime.state import safe_session_state

        scripts: Any = script_runner.ScriptRunner
        states: Any = safe_session_state.SafeSessionState
        queues: Any = script_requests.ScriptRequests
        merge: Any = script_requests._coalesce_widget_states
        self._interrupt, self._request = scripts._maybe_handle_execution_control_request, scripts.request_rerun
        self._ready, self._pause = queues.on_scriptrunner_ready, queues.on_scriptrunner_yield
        self._call = states.on_script_will_rerun
        _ClickOrder(merge).hold(queues(), queues()._rerun_data)
        self._scripts, self._states, self._queues = scripts, states, queues
        self._running_script, self._set_option = get_script_run_ctx, config.set_option
        self._calling, self._order = threading.local(), _ClickOrder(merge)

    @property
    def installed(self) -> bool:
        """True where Streamlit's functions were replaced before."""
        return getattr(self._interrupt, "waits", False)

    def install(self) -> None:
        """Put the replacements into Streamlit's classes."""
        interrupt = _function(self.interrupt)
        vars(interrupt)["waits"] = True
        self._scripts._maybe_handle_execution_control_request = interrupt
        self._scripts.request_rerun = _function(self.request)
        self._queues.on_scriptrunner_ready = _function(self.ready)
        self._queues.on_scriptrunner_yield = _function(self.pause)
        self._states.on_script_will_rerun = _function(self.call)
        self._set_option("runner.fastReruns", False)

    def request(self, runner: Any, click: Any) -> bool:
        """Take a click of a page: keep it, or hand it to Streamlit."""
        with self._order.lock:
            kept = not click.fragment_id and self._order.hold(runner._requests, click)
            return kept or bool(self._request(runner, click))

    def ready(self, requests: Any) -> Any:
        """Return the request with which the next script begins."""
        with self._order.lock:
            if requests._state.name == "CONTINUE":
                self._order.end(requests)
            return self._order.begin(requests, self._ready(requests))

    def pause(self, requests: Any) -> Any:
        """Return the request that interrupts a script."""
        with self._order.lock:
            return self._order.begin(requests, self._pause(requests))

    def call(self, state: object, *arguments: Any, **named: Any) -> None:
        """Call the callbacks of a click, then those of the clicks that no script follows."""
        self._calling.back = True
        try:
            self._call(state, *arguments, **named)
        finally:
            for click in self._left():
                self._call_left(state, click)
            self._calling.back = False

    def _call_left(self, state: object, click: Any) -> None:
        try:
            self._call(state, click.widget_states, is_history_navigation=click.is_history_navigation)
        except Exception:  # the clicks after it still act
            log.exception("a click on a page that was closed failed")

    def interrupt(self, runner: object) -> None:
        """Interrupt a script, except in its callbacks."""
        if not getattr(self._calling, "back", False):
            self._interrupt(runner)

    def _left(self) -> deque[Any]:
        script = self._running_script()
        with self._order.lock:
            return self._order.end(script.script_requests) if script and script.script_requests else deque()


def _function(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method as a function: an attribute of a class gets the instance as an argument only if it is a
    function."""

    def call(*arguments: Any, **named: Any) -> Any:
        return method(*arguments, **named)

    return call


def act_in_order() -> bool:
    """Let the clicks of a page act one after the other, in their order; True where that was possible.

    Streamlit interrupts a script at every access to its session state, in a callback too, so a click that arrived at
    that moment ended the callback of the click before it. With fast reruns Streamlit starts a second script at once:
    both clicks acted at the same time, or the first one never acted because its script had not begun. A vote or a
    question was lost, or acted before a Stop that was clicked earlier.

    So a click waits until the callbacks of the one before have ended. It does not wait for the rest of that script, as
    with fast reruns, because the script may hang. `st.stop` and `st.switch_page` no longer end a callback.
    """
    try:
        replacements = _Replacements()
    except (ImportError, AttributeError):
        log.warning("a click may be lost where the next one comes at once: Streamlit is not the version that is known")
        return False
    if not replacements.installed:
        replacements.install()
    return True
