"""The access of this session to the chat: invitation, account, consent. Checked on every rerun and before a question.

Reads Streamlit's session as `session` does, and draws nothing.
"""

import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import streamlit as st

from lib.domain.assignment import Assignment
from lib.domain.invitations import Invitation, Refusal
from lib.domain.record import StoreError
from lib.web import running
from pages import session

log = logging.getLogger("parley.access")

Barrier = Refusal | Literal["sign_in", "consent"]
"""The obstacle between a session and the chat."""
TRUSTED_S = 60.0
"""Seconds that a guest with a valid invitation stays inside while the record cannot be read."""
LOOK_EVERY_S = 1.0
"""Seconds between two checks while an answer runs."""
SAVED_WITHIN_S = 5.0
"""Seconds that storing a consent may take."""


def barrier() -> Barrier | None:
    """Return the obstacle between this session and the chat now. Raises Unready when that cannot be known.

    A proven operator has none. Running on this machine is no proof: behind a proxy that sends no forwarding headers,
    every browser seems to be on this machine.
    """
    access = running.app().settings.access
    session.visitor()  # from here on the session is known to belong to this browser
    if access != "open" and not session.proven_operator():
        if access == "sign-in" and not session.signed_in():
            return "sign_in"
        if access == "invite" and (refusal := _refusal()):
            return refusal
    return None if agreed() else "consent"


def may_know_the_name(barrier: Barrier | None) -> bool:
    """Return False for a visitor who was not invited where the chat is by invitation."""
    return running.app().settings.access != "invite" or barrier in (None, "consent")


def _refusal() -> Refusal | None:
    invitation_id = session.visitor().custom.get("invitation")
    if invitation_id is None:
        return "uninvited"
    now, state = time.monotonic(), st.session_state
    try:
        refusal = running.app().store.guests.enter(invitation_id, session.visitor().visitor_id)
    except StoreError as error:
        if now - state.get("entered_at", -TRUSTED_S) < TRUSTED_S:
            return None
        raise running.Unready(str(error)) from error
    if refusal is None:
        if "entered_at" not in state:
            log.info("a guest came in", extra={"invitation": invitation_id})
        state.entered_at = now
    elif state.pop("entered_at", None) is not None or "told_refusal" not in state:
        state.told_refusal = True
        log.warning("a guest was refused", extra={"cause": refusal})
    return refusal


def just_closed() -> bool:
    """Return True where an invitation has ended while its guest waits for an answer."""
    if running.app().settings.access != "invite":
        return False
    now = time.monotonic()
    if now - st.session_state.get("looked_at", now - LOOK_EVERY_S) < LOOK_EVERY_S:
        return False
    st.session_state.looked_at = now
    try:
        return barrier() is not None
    except running.Unready:
        return False


def groups() -> list[str]:
    """Return the groups of the experiment."""
    app = running.app()
    definition = app.experiments.definition(app.experiment)
    return [group.name for group in definition.groups] if definition else []


def choose(group: str | None) -> None:
    """Put this operator's new conversations into a group, or (None) leave them to the experiment again."""
    _log_forced(group)
    st.session_state.chosen_group = group
    st.query_params.pop("group", None)


def _log_forced(group: str | None) -> None:
    """Write a line of the audit log: this operator's conversations get a group."""
    if session.operator() and group != st.session_state.get("chosen_group"):
        app = running.app()
        app.acts.log(session.operator_name(), "force", app.experiment, {"group": group})


def chosen() -> str | None:
    """Return the group that an operator chose for this session, here or by `?group=NAME`; others cannot choose."""
    if not session.operator():
        return None
    named = st.query_params.get("group")
    if named and named != st.session_state.get("chosen_group") and named in groups():
        _log_forced(named)
        st.session_state.chosen_group = named
    group: str | None = st.session_state.get("chosen_group")
    return group


def unknown_group() -> str | None:
    """Return the name in an operator's address that is not a group."""
    named = st.query_params.get("group") if session.operator() else None
    return named if named and named not in groups() else None


def forced() -> Assignment | None:
    """Return the assignment that an operator or this session's invitation forces on its conversations, or None."""
    app, visitor = running.app(), session.visitor()
    invitation = _invitation()
    group, experiment = chosen() or (invitation.group if invitation else None), app.experiment
    if group is None:
        return None
    try:
        return app.experiments.force(visitor, experiment, group)
    except ValueError as error:  # the group is gone: the conversation must not count either
        log.warning("a forced group does not exist: %s", error)
        return replace(app.experiments.assign(visitor, experiment), forced=True)


def invited_to_compare() -> bool:
    """Return True where this session came by an invitation whose guests compare two answers."""
    invitation = _invitation()
    return invitation is not None and invitation.compare


def _invitation() -> Invitation | None:
    """Return the invitation by which this session came, as it was then."""
    if "invitation" not in st.session_state:
        invitation_id = session.visitor().custom.get("invitation")
        st.session_state.invitation = running.app().store.guests.invitation(invitation_id) if invitation_id else None
    invitation: Invitation | None = st.session_state.invitation
    return invitation


def agreed() -> bool:
    """Return True where this visitor accepted the current notice, or there is none."""
    notice = running.app().settings.consent
    if notice is None or st.session_state.get("agreed") == _version(notice):
        return True
    try:
        accepted = running.app().store.guests.agreed(session.visitor().visitor_id, _version(notice))
    except StoreError as error:
        raise running.Unready(str(error)) from error
    if accepted:
        st.session_state.agreed = _version(notice)
    return accepted


def agree() -> bool:
    """Accept the notice; returns False where that could not be stored."""
    notice = running.app().settings.consent or ""
    written = running.app().store.guests.agree(session.visitor().visitor_id, _version(notice)).wait(SAVED_WITHIN_S)
    if written:
        st.session_state.agreed = _version(notice)
    return written


def _version(notice: str) -> str:
    return hashlib.sha256(notice.encode()).hexdigest()[:16]


def providers() -> dict[str | None, str]:
    """Return the sign-in providers: Streamlit's name of the provider (None: the only one), and its button."""
    try:
        auth: Mapping[str, object] = st.secrets.get("auth", {})
    except FileNotFoundError:
        return {}
    if "client_id" in auth:
        return {None: "Sign in"}
    named = [name for name, section in auth.items() if isinstance(section, Mapping) and "client_id" in section]
    return {name: "Sign in" if len(named) == 1 else f"Sign in with {name.capitalize()}" for name in named}


def offers_sign_in() -> bool:
    """Return True where an operator may want to sign in although testers need not."""
    settings = running.app().settings
    return bool(settings.operators) and settings.access != "sign-in" and not session.signed_in() and bool(providers())
