"""The open app and this session's visitor, for the pages: the only module of lib that imports Streamlit.

Opening happens in a thread of its own, so that the server serves at once; whoever needs the app waits for it. A store
that cannot be used is tried again until it can.
"""

import logging
import threading

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from lib.access import LOCAL_HEADER, Access
from lib.app import App
from lib.events import Visitor, new_id
from lib.settings import Settings
from lib.store import StoreError

log = logging.getLogger("parley")

WAIT_S = 10.0
"""How long a page waits for a start that is under way."""
RETRY_S = 2.0
"""Between two attempts to open a store that cannot be used."""


class Unready(Exception):
    """Parley is not open (yet). Its text is for the operator."""


class _Opening:
    """One start: `app` once it succeeded, `trouble` while it has not."""

    def __init__(self, settings: Settings, access: Access, demo_url: str | None) -> None:
        self.access = access
        self.app: App | None = None
        self.trouble: str | None = "the start is unfinished"
        self.opened, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._open, args=(settings, demo_url), name="opening", daemon=True)
        self._thread.start()

    def _open(self, settings: Settings, demo_url: str | None) -> None:
        while not self._closing.is_set():
            try:
                self.app = App.open(settings, demo_url)
            except StoreError as error:
                self.trouble = str(error)
                log.error("the store cannot be used: %s", error)
                self._closing.wait(RETRY_S)
            except Exception as error:
                self.trouble = f"the start failed: {type(error).__name__}"
                log.exception("the start failed")
                return
            else:
                self.trouble = None
                self.opened.set()
                return

    def close(self) -> None:
        self._closing.set()
        self._thread.join(WAIT_S)
        if self.app:
            self.app.close()


_opening: _Opening | None = None


def begin(settings: Settings, access: Access, demo_url: str | None = None) -> None:
    """Start opening the app of this process."""
    global _opening
    _opening = _Opening(settings, access, demo_url)


def close() -> None:
    """Close the app of this process, if there is one."""
    global _opening
    opening, _opening = _opening, None
    if opening:
        opening.close()


def app(wait: float = WAIT_S) -> App:
    """The open app. Waits for a start that is under way; raises Unready when there is none to be had."""
    opening = _opening
    if opening is None:
        raise Unready("nothing was started")
    opening.opened.wait(wait)
    if opening.app is None:
        raise Unready(opening.trouble)
    return opening.app


def trouble() -> str | None:
    """Why this process cannot serve, or None."""
    if _opening is None or _opening.app is None:
        return (_opening and _opening.trouble) or "the start is unfinished"
    return _opening.app.trouble()


def visitor() -> Visitor:
    """Who this Streamlit session is: the cookie's visitor, or the session itself where there is no cookie."""
    if "visitor" not in st.session_state:
        st.session_state.visitor = _visitor(app().settings)
    known: Visitor = st.session_state.visitor
    return known


def _visitor(settings: Settings) -> Visitor:
    session_id = new_id()
    visitor_id = _access().visitor(st.context.cookies.to_dict()) or session_id
    user_id = session_id if settings.unit == "session" else visitor_id
    if settings.unit == "account" and st.user.get("is_logged_in"):
        user_id = _access().account(f"{st.user.get('iss')} {st.user.get('sub')}")
    custom = {"locale": st.context.locale, "timezone": st.context.timezone}
    return Visitor(visitor_id, user_id, visitor_id, session_id, {k: v for k, v in custom.items() if v})


def connected() -> bool:
    """Whether a browser still shows this session: for two minutes after a tab was closed its script goes on without."""
    context = get_script_run_ctx()
    if context is None or not runtime.exists():
        return True
    return runtime.get_instance().is_active_session(context.session_id)


def operator() -> bool:
    """Whether this session may see what is for operators; decided once for a session."""
    if "operator" not in st.session_state:
        st.session_state.operator = _access().operator(
            local=st.context.headers.get(LOCAL_HEADER) == "1",
            cookies=st.context.cookies.to_dict(),
            email=str(st.user.get("email") or "") if st.user.get("is_logged_in") else None,
        )
    return bool(st.session_state.operator)


def _access() -> Access:
    if _opening is None:
        raise Unready("nothing was started")
    return _opening.access


def on_script_error(error: Exception) -> bool:
    """What a page shows when it fails: a sentence, never a traceback. The cause is in the log."""
    if isinstance(error, Unready):
        log.warning("a page cannot be shown: %s", error)
        st.error("Parley cannot be used right now. Its operator has been told. Please try again in a minute.")
    else:
        log.error("a page failed", exc_info=error)
        st.error("Something went wrong on this page. Reload it to go on; nothing that was saved is lost.")
    return True
