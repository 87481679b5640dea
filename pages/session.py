"""This Streamlit session: its visitor, and its permissions.

Reads the session's cookies, account and headers once and remembers what they mean. Knows no page.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import streamlit as st

from lib.access.identity import LOCAL_HEADER, PLACE_HEADER
from lib.domain.ids import new_id
from lib.domain.invitations import Invitation, address
from lib.domain.record import StoreError
from lib.domain.visitor import Visitor, device_of
from lib.settings import Settings
from lib.web import accounts, patches, running
from lib.web.patches import script_session
from lib.web.running import Unready
from lib.web.tabs import Tab

log = logging.getLogger("parley")

T = TypeVar("T")

AS_TESTER = "as_tester"
"""The key of the session's state for an operator's view as a tester."""
VIEW, TESTER = "view", "tester"
"""The query parameter for that view, and its value."""


def visitor() -> Visitor:
    """Return the visitor of this session: the cookie's, or the session itself where there is no cookie."""
    if "visitor" not in st.session_state:
        st.session_state.visitor = _visitor(running.app().settings)
    known: Visitor = st.session_state.visitor
    return known


def _visitor(settings: Settings) -> Visitor:
    session_id, cookies = new_id(), st.context.cookies.to_dict()
    cookie = running.access().visitor(cookies)
    if session := script_session():
        patches.guard.remember(session, cookie)
    browser = cookie or session_id
    account = running.access().account(f"{st.user.get('iss')} {st.user.get('sub')}") if signed_in() else None
    if account:
        log.info("a signed-in session began")
    user_id = {"session": session_id, "visitor": browser, "account": account or browser}[settings.unit]
    invitation = running.access().guest(cookies) if settings.access == "invite" else None
    device = device_of(st.context.headers.get("User-Agent"))
    custom = {
        "locale": st.context.locale,
        "timezone": st.context.timezone,
        "device": device,
        "invitation": invitation,
    }
    place = st.context.headers.get(PLACE_HEADER, "") if settings.access == "open" else ""
    known = {k: v for k, v in custom.items() if v}
    visitor = Visitor(account or browser, user_id, browser, session_id, known, place, bool(cookie or account))
    if session := script_session():
        running.tabs().remember(session, Tab(visitor.visitor_id, frozenset(_sessions_here())))
    return visitor


def signed_in() -> bool:
    """Return True where this session has an account, and was not signed out in another tab."""
    return bool(st.user.get("is_logged_in")) and not running.ended(accounts.session(st.user.to_dict()))


def _sessions_here() -> list[str]:
    """Return the sessions of an account and of an operator that this page shows."""
    account = accounts.session(st.user.to_dict()) if st.user.get("is_logged_in") else None
    token = running.access().operator_session(st.context.cookies.to_dict())
    return [one for one in (account, token) if one]


def may_sign_out() -> bool:
    """Return True where this page shows an account's or an operator's session, which can be signed out."""
    return not all(map(running.ended, _sessions_here()))


def begin_run() -> None:
    """Note that a run of this page begins."""
    running.tabs().begin(script_session())


def give_way() -> None:
    """Let a click interrupt a wait, and rerun where this page must. Call it several times a second."""
    _ = "visitor" in st.session_state  # Streamlit interrupts where its session state is read
    if running.tabs().due(script_session()):
        st.rerun()


def leave_ended_session() -> None:
    """Forget everything that this page showed under a session that has ended meanwhile."""
    state = st.session_state
    if "visitor" in state and "left" not in state and any(map(running.ended, _sessions_here())):
        state.clear()
        state.left = True


def invitation_link(invitation: Invitation) -> str:
    """Return the link of an invitation to hand out."""
    token = running.access().invitation_token(invitation.id, invitation.expires_ms // 1000)
    return address(public_url(), token)


def public_url() -> str:
    """Return the address that links begin with: `PARLEY_PUBLIC_URL`, else the one that this browser uses."""
    settings, here = running.app().settings, urlsplit(st.context.url or "")
    if settings.public_url_is_set or not here.netloc:
        return settings.public_url
    return f"{here.scheme}://{here.netloc}"


def operator() -> bool:
    """Return True for an operator's session; decided once for a session."""
    if "operator" not in st.session_state:
        here = st.context.headers.get(LOCAL_HEADER) == "1"
        st.session_state.operator = proven_operator() or _is_operator(local=here)
    return bool(st.session_state.operator)


def as_tester() -> bool:
    """Return True where an operator views the chat as a tester. The address keeps this over a reload."""
    if not operator():
        return False
    if AS_TESTER not in st.session_state:
        st.session_state[AS_TESTER] = st.query_params.get(VIEW) == TESTER
    return bool(st.session_state[AS_TESTER])


def sees_details() -> bool:
    """Return True where this session sees the details of answers: operators, unless in a tester's view; everyone where
    testers are not blind."""
    if not running.app().settings.blind:
        return True
    return operator() and not as_tester()


def sees_sides() -> bool:
    """Return True where this session sees the groups of a comparison: operators alone, because a comparison is blind
    whatever `PARLEY_BLIND` says."""
    return operator() and not as_tester()


def proven_operator() -> bool:
    """Return True for an operator by email or token, not by running on this machine alone."""
    if "proven_operator" not in st.session_state:
        st.session_state.proven_operator = _is_operator(local=False)
        if st.session_state.proven_operator:
            log.info("an operator's session began")
    return bool(st.session_state.proven_operator)


def acting_operator() -> str:
    """Return the name of this session's operator. Raises PermissionError where the session is no operator's, or not
    any more."""
    if not operator() or any(map(running.ended, _sessions_here())):
        raise PermissionError("This page is for operators: sign in again.")
    return operator_name()


def operators_file(make: Callable[[str], T]) -> Callable[[], T]:
    """Return the function that makes a download on this page; `make` gets the operator's name.

    Streamlit calls it later, outside of any session. It raises PermissionError once this session is no operator's any
    more.
    """
    who, sessions = acting_operator(), _sessions_here()

    def content() -> T:
        if any(map(running.ended, sessions)):
            raise PermissionError("This page is for operators: sign in again.")
        return make(who)

    return content


def operator_name() -> str:
    """Return the name of this session's operator in the audit log."""
    account = st.user.to_dict() if signed_in() else {}
    if account and running.access().refusal(account) is None:
        return str(account.get("email") or account.get("sub") or "an account")
    return "the operator token" if proven_operator() else "a browser on this machine"


def _is_operator(local: bool) -> bool:
    account: Mapping[str, Any] | None = st.user.to_dict() if signed_in() else None
    if account and (cause := running.access().refusal(account)):
        log.info("a signed-in account is no operator's", extra={"cause": cause})
    return running.access().operator(
        local=local,
        cookies=running.live_cookies(st.context.cookies.to_dict()),
        account=account,
        authorization=st.context.headers.get("Authorization"),
    )


def invitations() -> list[Invitation]:
    """Return all invitations, newest first. Raises Unready."""
    try:
        return running.app().store.guests.invitations()
    except StoreError as error:
        raise Unready(str(error)) from error
