"""Invitations: the list, a form for a new one, and the end of one."""

from datetime import tzinfo

import streamlit as st

from lib.domain.budget import FOR_GOOD, Account, Spent, invitation_account
from lib.domain.clock import now_ms
from lib.domain.invitations import DAYS, MAX_DAYS, Invitation, Terms, new_invitation
from lib.domain.record import StoreError
from lib.web import running
from pages import entrance, session
from pages.results.words import moment, plain

SHOWN = 20
"""Invitations on the page at first."""
STATES = {
    None: ("Open", "green"),
    "used_up": ("Used up", "gray"),
    "expired": ("Expired", "gray"),
    "revoked": ("Revoked", "red"),
}


def draw_guests(zone: tzinfo) -> None:
    """Draw the list, newest first, below the button for a new one."""
    if running.app().settings.access != "invite":
        st.caption("Invitations matter only with `PARLEY_ACCESS=invite`. Now everyone who can open the page may chat.")
    if not running.app().settings.public_url_is_set:
        url = plain(session.public_url())
        st.caption(f"Links begin with {url}, the address of this page. `PARLEY_PUBLIC_URL` sets another one.")
    _draw_form()
    try:
        invitations = session.invitations()
        spent = running.app().store.spending.spent([_account(one) for one in invitations if one.usd is not None])
    except (running.Unready, StoreError) as error:
        st.error(plain(str(error)), icon=":material/cloud_off:")
        return
    if not invitations:
        st.caption("There is no invitation yet.")
    more = st.session_state.get("invitations_shown", SHOWN)
    for one in invitations[:more]:
        _draw(one, spent.get(_account(one), Spent()), zone)
    if len(invitations) > more:
        st.button("Show older", type="tertiary", key="older_invitations", on_click=_show_more, args=(more + SHOWN,))


def _show_more(shown: int) -> None:
    st.session_state.invitations_shown = shown


def _account(one: Invitation) -> Account:
    return Account("invitation", invitation_account(one.id), FOR_GOOD, usd=one.usd)


def _draw_form() -> None:
    """Draw the form. Once the link is made the next form has another key, so that late events of this one do not reopen
    it."""
    key = f"new_invitation_{st.session_state.get('made')}"
    with st.popover("New invitation", icon=":material/add_link:", key=key, on_change="rerun"):
        with st.form("invitation", border=False):
            st.text_input("Name", max_chars=80, help="For you alone: testers never see it.", key="invitation_name")
            st.number_input("Days", 1, MAX_DAYS, DAYS, key="invitation_days")
            st.number_input(
                "Number of browsers", 1, 1_000_000, None, key="invitation_sessions", placeholder="Any number"
            )
            st.selectbox(
                "Group",
                entrance.groups(),
                None,
                key="invitation_group",
                placeholder="By the experiment",
                help="Guests get this group and are left out of the readout.",
            )
            st.checkbox(
                "Compare two answers",
                key="invitation_compare",
                help="Guests compare two answers to each question and take no part in the A/B test.",
            )
            st.number_input("US dollars in total", 0.01, None, None, key="invitation_usd", placeholder="No limit")
            st.form_submit_button("Make the link", type="primary", on_click=_make)
        if problem := st.session_state.get("invitation_problem"):
            st.warning(problem)
            del st.session_state["invitation_problem"]


def _make() -> None:
    state, app = st.session_state, running.app()
    try:
        who = session.acting_operator()
        terms = Terms(
            days=int(state.invitation_days),
            sessions=state.invitation_sessions,
            group=state.invitation_group,
            usd=state.invitation_usd,
            compare=bool(state.invitation_compare),
        )
        made = new_invitation(state.invitation_name or "", terms, now_ms())
        if not app.store.guests.invite(made):
            state.invitation_problem = (
                "There is already an open invitation with this name. Revoke it, or choose another name."
            )
            return
    except (ValueError, StoreError, PermissionError) as error:
        state.invitation_problem = plain(str(error))
        return
    limits = {"sessions": made.sessions, "group": made.group, "usd": made.usd}
    app.acts.log(who, "invite", made.name, limits)
    state.made, state.invitation_name = made.id, ""


def _draw(one: Invitation, spent: Spent, zone: tzinfo) -> None:
    state = one.closed(now_ms())
    word, color = STATES[state]
    new = st.session_state.get("made") == one.id
    with st.container(border=True, gap="small", key=f"invitation_{one.id}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{plain(one.name)}** :{color}-badge[{word}]")
            if state in (None, "used_up"):
                _draw_revoke(one)
        st.caption(_use(one, spent, zone))
        if state is None and new:
            st.code(session.invitation_link(one), language=None, wrap_lines=True)
        elif state is None:
            with st.expander("Link", icon=":material/link:"):
                st.code(session.invitation_link(one), language=None, wrap_lines=True)


def _draw_revoke(one: Invitation) -> None:
    with st.popover("Revoke", icon=":material/link_off:", type="tertiary", key=f"revoke_{one.id}"):
        st.markdown("Its guests lose access at once.")
        st.button("Revoke it", type="primary", key=f"revoke_now_{one.id}", on_click=_revoke, args=(one.id,))


def _revoke(invitation_id: str) -> None:
    try:
        who = session.acting_operator()
        running.app().store.guests.revoke(invitation_id)
        running.app().acts.log(who, "revoke", invitation_id)
    except (StoreError, PermissionError) as error:
        st.toast(plain(str(error)), icon=":material/cloud_off:")


def _use(one: Invitation, spent: Spent, zone: tzinfo) -> str:
    """Return the limits of an invitation and their use."""
    facts = [f"{one.used:,} of {one.sessions:,} browsers" if one.sessions else f"{one.used:,} browsers"]
    if one.usd is not None:
        facts.append(f"\\${spent.usd:.2f} of \\${one.usd:,.2f} spent, {spent.answers:,} answers")
    if one.group:
        facts.append(f"group {plain(one.group)}, not in the readout")
    if one.compare:
        facts.append("compares two answers, not in the A/B test")
    facts.append(f"until {moment(one.expires_ms, zone)}")
    if one.last_ms:
        facts.append(f"the last new guest came on {moment(one.last_ms, zone)}")
    return " · ".join(facts)
