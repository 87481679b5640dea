"""The clicks of a page act one after the other, in their order. Replaces undocumented parts of Streamlit."""

import logging
import threading
from collections import deque
from typing import Any
from weakref import WeakKeyDictionary

log = logging.getLogger("parley")


class _ClickOrder:
    """The clicks that wait until the callbacks of the click before them have ended.

    `requests` is what Streamlit hands to a script: it CONTINUEs, or a click is pending (RERUN), or it ends (STOP).
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._waiting: WeakKeyDictionary[Any, deque[Any]] = WeakKeyDictionary()
        """By the requests of a script whose callbacks have not ended."""

    def hold(self, requests: Any, click: Any) -> bool:
        """Keep a click if others must act before it; otherwise end the script, so that Streamlit starts another."""
        pending = requests._rerun_data if requests._state.name == "RERUN" else None
        if requests in self._waiting or (pending and _acts(pending) and not pending.fragment_id_queue):
            self._waiting.setdefault(requests, deque()).append(click)
            return True
        if requests._state.name == "CONTINUE" or (pending and pending.is_auto_rerun):
            requests.request_stop()
        return False

    def begin(self, requests: Any, request: Any) -> Any:
        """Note that the callbacks of a request are due, and return it."""
        if request and request.type.name == "RERUN" and _acts(request.rerun_data):
            self._waiting.setdefault(requests, deque())
        return request

    def end(self, requests: Any) -> None:
        """Hand in the next click, because the callbacks of the one before have ended or were not called."""
        if clicks := self._waiting.pop(requests, None):
            requests.request_rerun(clicks.popleft())
            self._waiting[requests] = clicks


def _acts(click: Any) -> bool:
    """Return True if Streamlit calls callbacks in the run that this begins."""
    return click.widget_states is not None


def act_in_order() -> bool:
    """Let the clicks of a page act one after the other, in their order; True where that was possible.

    Streamlit interrupts a script at every access to its session state, in a callback too: a click that arrived at that
    moment ended the callback of the click before it. With fast reruns it starts a second script at once: both acted at
    the same time, or the first one, not begun yet, never did. A vote or a question was lost, or came before Stop.

    So a click waits until the callbacks of the one before have ended. Then it does not wait any longer, as with fast
    reruns, because the script may hang; `runner.fastReruns` itself is false.
    """
    try:
        from streamlit.runtime.scriptrunner import get_script_run_ctx, script_runner
        from streamlit.runtime.scriptrunner_utils import script_requests
        from streamlit.runtime.state import safe_session_state

        scripts: Any = script_runner.ScriptRunner
        states: Any = safe_session_state.SafeSessionState
        queues: Any = script_requests.ScriptRequests
        interrupt, request = scripts._maybe_handle_execution_control_request, scripts.request_rerun
        ready, pause, call = queues.on_scriptrunner_ready, queues.on_scriptrunner_yield, states.on_script_will_rerun
    except (ImportError, AttributeError):
        log.warning("a click may be lost where the next one comes at once: Streamlit is not the version that is known")
        return False
    if getattr(interrupt, "waits", False):
        return True
    calling, order = threading.local(), _ClickOrder()

    def request_in_order(runner: Any, click: Any) -> bool:
        with order.lock:
            return (not click.fragment_id and order.hold(runner._requests, click)) or bool(request(runner, click))

    def ready_for_next(requests: Any) -> Any:
        with order.lock:
            if requests._state.name == "CONTINUE":
                order.end(requests)
            return order.begin(requests, ready(requests))

    def pause_for_next(requests: Any) -> Any:
        with order.lock:
            return order.begin(requests, pause(requests))

    def call_all(state: object, *arguments: Any, **named: Any) -> None:
        calling.back = True
        try:
            call(state, *arguments, **named)
        finally:
            calling.back = False
            if (script := get_script_run_ctx()) and script.script_requests:
                with order.lock:
                    order.end(script.script_requests)

    def interrupt_later(runner: object) -> None:
        if not getattr(calling, "back", False):
            interrupt(runner)

    vars(interrupt_later)["waits"] = True
    scripts._maybe_handle_execution_control_request, scripts.request_rerun = interrupt_later, request_in_order
    queues.on_scriptrunner_ready, queues.on_scriptrunner_yield = ready_for_next, pause_for_next
    states.on_script_will_rerun = call_all
    return True
