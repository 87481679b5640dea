"""The open app and this session's visitor, for the pages. With `entrance`, all of lib that imports Streamlit.

Opening happens in a thread of its own, so that the server serves at once; whoever needs the app waits for it. A store
that cannot be used is tried again until it can.
"""

import logging
import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import streamlit as st

from lib.access.identity import LOCAL_HEADER, Access
from lib.domain.ids import new_id
from lib.domain.invitations import Invitation, Refusal, address
from lib.domain.record import StoreError
from lib.domain.visitor import Visitor
from lib.settings import Settings
from lib.web.patches import SessionGuard, script_session

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
                self.app = App.open(settings, demo_url)
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
                if not self._closing.wait(PAGES_FIRST_S):
                    self.app.models.prepare()
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
    custom = {"locale": st.context.locale, "timezone": st.context.timezone, "invitation": invitation}
    return Visitor(account or browser, user_id, browser, session_id, {k: v for k, v in custom.items() if v})


def signed_in() -> bool:
    """Whether this session has an account."""
    return bool(st.user.get("is_logged_in"))


guard = SessionGuard()


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
    verified = signed_in() and st.user.get("email_verified", True) in (True, "true")
    return _access().operator(
        local=local,
        cookies=st.context.cookies.to_dict(),
        email=str(st.user.get("email") or "") if verified else None,
        authorization=st.context.headers.get("Authorization"),
    )


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
