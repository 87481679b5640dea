"""The running Parley of this process: opened in a thread of its own, so that the server serves at once.

Users of the open app wait for it. A store that cannot be used is retried until it can. Knows neither Streamlit nor
sessions.
"""

import functools
import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lib.access.crowd import Crowd
from lib.access.identity import Access
from lib.access.sessions import Sessions
from lib.domain.invitations import Refusal
from lib.domain.record import StoreError
from lib.settings import Settings
from lib.web.descriptors import limit
from lib.web.tabs import Tabs

if TYPE_CHECKING:  # half a second of imports, done by the opening thread while the page travels to the browser
    from lib.app import App, Housekeeping
    from lib.demo.sample import Sample

log = logging.getLogger("parley")

WAIT_S = 10.0
"""Seconds that a page waits for an unfinished start."""
RETRY_S = 2.0
"""Seconds between two attempts to open the store."""
PAGES_FIRST_S = 5.0
"""Seconds by which the import of the OpenAI client is delayed, so that the first page does not wait for it."""
UNFINISHED = "the start is unfinished"


@dataclass(frozen=True, slots=True)
class Trouble:
    """The reason why this process cannot serve. `part` is public, `cause` is for operators."""

    part: Literal["start", "database"]
    cause: str


class Unready(Exception):
    """Parley is not open (yet). The message is for the operator."""


class _Opening:
    """One start: `app` once it succeeded, `trouble` while it has not, `tried` once either is set."""

    def __init__(self, settings: Settings, access: Access, demo_url: str | None, crowd: Crowd | None) -> None:
        self.access = access
        self.sample: Sample | None = None
        self.app: App | None = None
        self.sweeping: Housekeeping | None = None
        self.sessions: Sessions | None = None
        self.trouble: str | None = UNFINISHED
        self.part: Literal["start", "database"] = "start"
        self.tried, self._closing = threading.Event(), threading.Event()
        what = (settings, demo_url, crowd)
        self._thread = threading.Thread(target=self._open, args=what, name="opening", daemon=True)
        self._thread.start()

    def _open(self, settings: Settings, demo_url: str | None, crowd: Crowd | None) -> None:
        while not self._closing.is_set():
            try:
                from lib.app import App, Housekeeping
                from lib.demo.sample import Sample

                self.sample = self.sample or Sample(settings)
                opened = App.open(settings, demo_url, crowd)
                self.sessions, self.app = Sessions(opened.store.guests), opened
                self.sweeping = Housekeeping()
                self.sweeping.begin(functools.partial(let_go, opened))
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
                return

    def close(self) -> None:
        self._closing.set()
        self._thread.join(WAIT_S)
        if self.sweeping:
            self.sweeping.stop()
            self.sweeping.join()
        if self.sample:
            self.sample.close()
        if self.app:
            self.app.close()


_opening: _Opening | None = None


def begin(settings: Settings, access: Access, demo_url: str | None = None, crowd: Crowd | None = None) -> None:
    """Start opening the app of this process."""
    global _opening
    _opening = _Opening(settings, access, demo_url, crowd)


def close() -> None:
    """Close this process's app, if it is open."""
    global _opening
    opening, _opening = _opening, None
    if opening:
        opening.close()


def app(wait: float = WAIT_S) -> "App":
    """Return the open app. Waits for an unfinished start; raises Unready when it failed (and is retried)."""
    opening = _opening
    if opening is None:
        raise Unready("nothing was started")
    opening.tried.wait(wait)
    if opening.app is None:
        raise Unready(opening.trouble)
    return opening.app


def sample() -> "Sample":
    """Return the simulated visitors of the Results page. Raises Unready."""
    if _opening is None or _opening.sample is None:
        raise Unready(UNFINISHED)
    return _opening.sample


def trouble() -> Trouble | None:
    """Return the reason why this process cannot serve, or None."""
    if _opening is None or _opening.app is None:
        return Trouble(_opening.part if _opening else "start", (_opening and _opening.trouble) or UNFINISHED)
    cause = _opening.app.trouble()
    return Trouble("database", cause) if cause else None


def ended(session: str) -> bool:
    """Return True for a signed-out session of an account or an operator, and while that is unknown."""
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


_tabs = Tabs()


def tabs() -> Tabs:
    """Return the open pages of this process."""
    return _tabs


def let_go(opened: "App") -> None:
    """Drop all text that was deleted, here or by another replica, and unstored text that no page shows."""
    _tabs.forget_closed()
    if visitors := opened.conversations.deletions.learn():
        forget_pages(visitors)
    opened.conversations.forget_closed(_tabs.shown())


def forget_pages(visitors: Collection[str], but: str | None = None) -> None:
    """Rerun the open pages of these visitors, except `but`, and end their closed ones."""
    _tabs.end_closed(lambda tab: tab.visitor_id in visitors)
    _tabs.look_again(lambda tab: tab.visitor_id in visitors, but=but)


def may_enter(invitation_id: str, visitor_id: str | None) -> Refusal | None:
    """Return the reason why a visitor could not use this invitation now. Raises Unready."""
    try:
        return app(0).store.guests.may_enter(invitation_id, visitor_id)
    except StoreError as error:
        raise Unready(str(error)) from error


def live_cookies(cookies: Mapping[str, str]) -> Mapping[str, str]:
    """Return the cookies, or none where their operator's session was signed out."""
    session = access().operator_session(cookies)
    return {} if session and ended(session) else cookies


def may_read_metrics(local: bool, cookies: Mapping[str, str], authorization: str | None) -> bool:
    """Return True where `/metrics` answers."""
    if local:
        return True
    return access().may_read_metrics(local=False, cookies=live_cookies(cookies), authorization=authorization)


def access() -> Access:
    """Return the access rules. Raises Unready."""
    if _opening is None:
        raise Unready("nothing was started")
    return _opening.access
