"""The open app and this session's visitor, for the pages. With `entrance`, all of lib that imports Streamlit.

Opening happens in a thread of its own, so that the server serves at once; whoever needs the app waits for it. A store
that cannot be used is tried again until it can.
"""

import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import streamlit as st

from lib.access.identity import LOCAL_HEADER, PLACE_HEADER, Access
from lib.access.sessions import Sessions
from lib.domain.ids import new_id
from lib.domain.invitations import Invitation, Refusal, address
from lib.domain.record import StoreError
from lib.domain.visitor import Visitor, device_of
from lib.settings import Settings
from lib.web import accounts
from lib.web.descriptors import limit
from lib.web.patches import SessionGuard, script_session
from lib.web.tabs import Tab, Tabs

if TYPE_CHECKING:  # half a second of imports, made by the thread that opens while the page is on its way to the browser
    from lib.app import App
    from lib.demo.sample import Sample

log = logging.getLogger("parley")

WAIT_S = 10.0
"""How long a page waits for a start that is under way."""
RETRY_S = 2.0
"""Between two attempts to open a store that cannot be used."""
PAGES_FIRST_S = 5.0
"""How long the OpenAI client is left to the first question: a page that waits for the start should not wait for it."""
UNFINISHED = "the start is unfinished"
AS_TESTER = "as_tester"
"""The session's state that says that an operator looks at the chat as a tester does."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why this process cannot serve. Anybody may read the `part`, operators the `cause`."""

    part: Literal["start", "database"]
    cause: str


class Unready(Exception):
    """Parley is not open (yet). Its text is for the operator."""


class _Opening:
    """One start: `app` once it succeeded, `trouble` while it has not, `tried` once either is known."""

    def __init__(self, settings: Settings, access: Access, demo_url: str | None) -> None:
        self.access = access
        self.sample: Sample | None = None
        self.app: App | None = None
        self.sessions: Sessions | None = None
        self.trouble: str | None = UNFINISHED
        self.part: Literal["start", "database"] = "start"
        self.tried, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._open, args=(settings, demo_url), name="opening", daemon=True)
        self._thread.start()

    def _open(self, settings: Settings, demo_url: str | None) -> None:
        while not self._closing.is_set():
            try:
                from lib.app import App
                from lib.demo.sample import Sample

                self.sample = self.sample or Sample(settings)
                opened = App.open(settings, demo_url)
                self.sessions, self.app = Sessions(opened.store), opened
            except StoreError as error:
                self.trouble, self.part = str(error), "database"
                self.tried.set()
                log.error("the store cannot be used: %s", error)
                self._closing.wait(RETRY_S)
            except Exception as error:
                self.part = "start"
                self.trouble = f"the start failed: {type(error).__name__}"
                self.tried.set()
                log.exception("the start failed")
                return
            else:
                self.trouble = None
                self.tried.set()
                log.info("ready", extra={"file_descriptors": limit()})
                if not self._closing.wait(PAGES_FIRST_S):
                    self.app.models.prepare()
                    self.app.standings.refresh()
                return

    def close(self) -> None:
        self._closing.set()
        self._thread.join(WAIT_S)
        if self.sample:
            self.sample.close()
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


def app(wait: float = WAIT_S) -> "App":
    """The open app. Waits for a start that is under way; raises Unready when it failed (and is tried again)."""
    opening = _opening
    if opening is None:
        raise Unready("nothing was started")
    opening.tried.wait(wait)
    if opening.app is None:
        raise Unready(opening.trouble)
    return opening.app


def invitations() -> list[Invitation]:
    """All invitations, the newest first. Raises Unready."""
    try:
        return app().store.invitations()
    except StoreError as error:
        raise Unready(str(error)) from error


def sample() -> "Sample":
    """Simulated visitors, for who wants to see a readout before there are real ones. Raises Unready."""
    if _opening is None or _opening.sample is None:
        raise Unready(UNFINISHED)
    return _opening.sample


def trouble() -> Trouble | None:
    """Return why this process cannot serve, or None."""
    if _opening is None or _opening.app is None:
        return Trouble(_opening.part if _opening else "start", (_opening and _opening.trouble) or UNFINISHED)
    cause = _opening.app.trouble()
    return Trouble("database", cause) if cause else None


def visitor() -> Visitor:
    """Who this Streamlit session is: the cookie's visitor, or the session itself where there is no cookie."""
    if "visitor" not in st.session_state:
        st.session_state.visitor = _visitor(app().settings)
    known: Visitor = st.session_state.visitor
    return known


def _visitor(settings: Settings) -> Visitor:
    session_id, cookies = new_id(), st.context.cookies.to_dict()
    cookie = _access().visitor(cookies)
    if session := script_session():
        guard.remember(session, cookie)
    browser = cookie or session_id
    account = _access().account(f"{st.user.get('iss')} {st.user.get('sub')}") if signed_in() else None
    if account:
        log.info("a signed-in session began")
    user_id = {"session": session_id, "visitor": browser, "account": account or browser}[settings.unit]
    invitation = _access().guest(cookies) if settings.access == "invite" else None
    device = device_of(st.context.headers.get("User-Agent"))
    custom = {
        "locale": st.context.locale, "timezone": st.context.timezone, "device": device, "invitation": invitation,
    }  # fmt: skip
    place = st.context.headers.get(PLACE_HEADER, "") if settings.access == "open" else ""
    told = {k: v for k, v in custom.items() if v}
    visitor = Visitor(account or browser, user_id, browser, session_id, told, place, cookie is not None)
    if session := script_session():
        _tabs.remember(session, Tab(visitor.visitor_id, frozenset(_sessions_here())))
    return visitor


def signed_in() -> bool:
    """Return True where this session has an account, and was not signed out in another tab."""
    return bool(st.user.get("is_logged_in")) and not _ended(accounts.session(st.user.to_dict()))


guard = SessionGuard()


def _sessions_here() -> list[str]:
    """Return the sessions of an account and of an operator that this page shows."""
    account = accounts.session(st.user.to_dict()) if st.user.get("is_logged_in") else None
    token = _access().operator_session(st.context.cookies.to_dict())
    return [one for one in (account, token) if one]


def _ended(session: str) -> bool:
    sessions = _opening.sessions if _opening else None
    return sessions is None or sessions.ended(session)


def sign_out(sessions: Sequence[str]) -> None:
    """End these sessions for good, in every tab and on every replica. Raises Unready."""
    app(0)
    known = _opening.sessions if _opening else None
    if known is None:
        raise Unready("the start is unfinished")
    try:
        known.end(sessions)
    except StoreError as error:
        raise Unready(str(error)) from error
    _tabs.look_again(lambda tab: not tab.sessions.isdisjoint(sessions))


def may_sign_out() -> bool:
    """Return True where this page shows an account's or an operator's session, of which there is a way out."""
    return not all(map(_ended, _sessions_here()))


def leave_ended_session() -> None:
    """Forget everything that this page knew under a sign-in or an operator's session that has ended meanwhile."""
    state = st.session_state
    if "visitor" in state and "left" not in state and any(map(_ended, _sessions_here())):
        state.clear()
        state.left = True


_tabs = Tabs()


def tabs() -> Tabs:
    """Return the open pages of this process."""
    return _tabs


def may_enter(invitation_id: str, visitor_id: str | None) -> Refusal | None:
    """Why a visitor could not come in by this invitation now. Raises Unready."""
    try:
        return app(0).store.may_enter(invitation_id, visitor_id)
    except StoreError as error:
        raise Unready(str(error)) from error


def invitation_link(invitation: Invitation) -> str:
    """The link of an invitation, as it is handed out."""
    token = _access().invitation_token(invitation.id, invitation.expires_ms // 1000)
    return address(app().settings.public_url, token)


def page_allowed(origin: str, hosts: Collection[str]) -> bool:
    """Whether a page of this origin may ask us: one that we served, under one of these names, or a configured one."""
    configured = st.get_option("server.corsAllowedOrigins") or ()
    open_to_all = not st.get_option("server.enableCORS")
    return open_to_all or urlsplit(origin).netloc in hosts or origin in configured


def operator() -> bool:
    """Whether this session may see what is for operators; decided once for a session."""
    if "operator" not in st.session_state:
        here = st.context.headers.get(LOCAL_HEADER) == "1"
        st.session_state.operator = proven_operator() or _is_operator(local=here)
    return bool(st.session_state.operator)


def sees_details() -> bool:
    """Whether this session sees what answers are made of: operators, unless they look as a tester does; and everybody
    where testers are not blind."""
    if not app().settings.blind:
        return True
    return operator() and not st.session_state.get(AS_TESTER, False)


def proven_operator() -> bool:
    """Whether it is one by an email or the token, and not because it runs on this machine alone."""
    if "proven_operator" not in st.session_state:
        st.session_state.proven_operator = _is_operator(local=False)
        if st.session_state.proven_operator:
            log.info("an operator's session began")
    return bool(st.session_state.proven_operator)


def _is_operator(local: bool) -> bool:
    account: Mapping[str, Any] | None = st.user.to_dict() if signed_in() else None
    if account and (cause := _access().refusal(account)):
        log.info("a signed-in account is no operator's", extra={"cause": cause})
    return _access().operator(
        local=local, cookies=_live_cookies(st.context.cookies.to_dict()), account=account,
        authorization=st.context.headers.get("Authorization"),
    )  # fmt: skip


def _live_cookies(cookies: Mapping[str, str]) -> Mapping[str, str]:
    """Return the cookies, or none where the operator's session that they hold was signed out."""
    session = _access().operator_session(cookies)
    return {} if session and _ended(session) else cookies


def may_read_metrics(local: bool, cookies: Mapping[str, str], authorization: str | None) -> bool:
    """Return True where `/metrics` answers."""
    if local:
        return True
    return _access().may_read_metrics(local=False, cookies=_live_cookies(cookies), authorization=authorization)


def _access() -> Access:
    if _opening is None:
        raise Unready("nothing was started")
    return _opening.access


def on_script_error(error: Exception) -> bool:
    """What a page shows when it fails: a sentence, never a traceback. The cause is in the log."""
    if isinstance(error, Unready | StoreError):
        log.warning("a page cannot be shown: %s", error)
        st.error("Parley cannot be used right now. Its operator has been told. Please try again in a minute.")
    else:
        log.error("a page failed", exc_info=error)
        st.error("Something went wrong on this page. Reload it to go on; nothing that was saved is lost.")
    return True
