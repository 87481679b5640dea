"""The open pages of this process: their visitors, and a way to make them rerun.

Streamlit cannot notify a page that the record has changed; this makes its sessions rerun their script, as a click
would. With another version of Streamlit, pages show a change after their next click.

Streamlit knows the address and the widgets of a page only while no script runs; until then it has those of the run
before. So a running script is not interrupted from here. A script that waits long asks `due` and reruns itself.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from streamlit import runtime

from lib.domain.recent import Recent

log = logging.getLogger("parley")

REMEMBERED = 20_000
"""Pages that are remembered."""
RETRY_S = 0.1
"""Seconds between two looks at whether a script has ended."""


@dataclass(frozen=True, slots=True)
class Tab:
    """One page: its visitor, and the sign-in and operator's sessions that it shows."""

    visitor_id: str
    sessions: frozenset[str] = frozenset()


class Tabs:
    """The pages that this process has shown, by Streamlit's session id. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tabs: Recent[str, Tab] = Recent(REMEMBERED)
        self._shown: Recent[str, str | None] = Recent(REMEMBERED)
        self._due: set[str] = set()

    def remember(self, session_id: str, tab: Tab) -> None:
        """Note the owner of this page."""
        with self._lock:
            self._tabs[session_id] = tab

    def show(self, session_id: str | None, conversation_id: str | None) -> None:
        """Note the conversation that a page shows."""
        if session_id is not None:
            with self._lock:
                self._shown[session_id] = conversation_id

    def shown(self) -> set[str]:
        """Return the conversations that an open page shows."""
        with self._lock:
            pages = dict(self._shown)
        return {shown for session_id, shown in pages.items() if shown and active(session_id)}

    def end_closed(self, condition: Callable[[Tab], bool]) -> None:
        """End the sessions of closed pages for which `condition` is true: nothing that they hold is shown again."""
        with self._lock:
            session_ids = [session_id for session_id, tab in self._tabs.items() if condition(tab)]
        _end([session_id for session_id in session_ids if not active(session_id)])

    def look_again(self, condition: Callable[[Tab], bool], but: str | None = None) -> None:
        """Rerun the pages for which `condition` is true, except `but`: at once, or as soon as their script ends."""
        if not runtime.exists():
            return
        with self._lock:
            session_ids = [session_id for session_id, tab in self._tabs.items() if session_id != but and condition(tab)]
            self._due.update(session_ids)
        try:
            loop = runtime.get_instance()._get_async_objs().eventloop
            for session_id in session_ids:
                loop.call_soon_threadsafe(self._rerun, session_id)
        except AttributeError as error:
            _warn(error)

    def due(self, session_id: str | None) -> bool:
        """Return True where this page must rerun and has not begun to."""
        return session_id in self._due

    def begin(self, session_id: str | None) -> None:
        """Note that a run of this page begins. Call it before the run reads what may have changed."""
        with self._lock:
            self._due.discard(session_id or "")

    def _rerun(self, session_id: str) -> None:
        """Rerun a page on the server's event loop, where no click can come between; later if its script runs."""
        if not self.due(session_id):
            return
        try:
            server = runtime.get_instance()
            info = server._session_mgr.get_active_session_info(session_id)
            if info is None:
                self.begin(session_id)
            elif info.session._scriptrunner is None:
                info.session.request_rerun(info.session._client_state)
            else:
                server._get_async_objs().eventloop.call_later(RETRY_S, self._rerun, session_id)
        except AttributeError as error:
            _warn(error)

    def forget_closed(self) -> None:
        """Forget pages whose sessions are gone, and make Streamlit drop those that have expired."""
        if not runtime.exists():
            return
        _expire()
        with self._lock:
            for session_id in [key for key in self._tabs if not _has_session(key)]:
                del self._tabs[session_id]
                self._shown.pop(session_id, None)


def active(session_id: str) -> bool:
    """Return True while a browser shows this page."""
    return runtime.exists() and runtime.get_instance().is_active_session(session_id)


def _has_session(session_id: str) -> bool:
    try:
        return runtime.get_instance()._session_mgr.get_session_info(session_id) is not None
    except AttributeError:
        return True


def _expire() -> None:
    """Drop expired sessions. Streamlit does so only when it stores another one."""
    try:
        server: Any = runtime.get_instance()
        loop, cache = server._get_async_objs().eventloop, server._session_mgr._session_storage._cache
        loop.call_soon_threadsafe(cache.expire)
    except AttributeError as error:
        log.warning("closed pages are kept longer: Streamlit is not the version that is known: %s", error.name)


def _end(session_ids: Iterable[str]) -> None:
    if not runtime.exists():
        return
    try:
        server: Any = runtime.get_instance()
        loop = server._get_async_objs().eventloop
        for session_id in session_ids:
            loop.call_soon_threadsafe(server._session_mgr.close_session, session_id)
    except AttributeError as error:
        log.warning("closed pages are kept longer: Streamlit is not the version that is known: %s", error.name)


def _warn(error: AttributeError) -> None:
    log.warning("open pages show a change only after a click: this version of Streamlit is unknown: %s", error.name)
