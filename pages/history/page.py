"""The History page: runs and decisions, the newest first, and below them what every operator did."""

import streamlit as st

from lib.domain.record import StoreError
from lib.store import audit, states
from lib.web import running
from pages import session
from pages.clock import reader_zone
from pages.results.words import plain

WIDTH = 960

if not session.operator():
    st.stop()
st.set_page_config(layout="wide")
zone = reader_zone()

with st.container(horizontal_alignment="center"), st.container(width=WIDTH, key="operator_page"):
    from pages.history import audit_log, chapters

    st.header("History", anchor=False)
    try:
        with running.app().store.read() as connection:
            runs, decisions = states.runs(connection), states.decisions(connection)
            guardrails = list(audit.entries(connection, act="guardrail", limit=None))
    except StoreError as error:
        st.error(f"{plain(str(error))} Try again in a minute.", icon=":material/cloud_off:")
        st.stop()
    if runs or decisions:
        chapters.draw_chapters(runs, decisions, guardrails, zone)
    else:
        st.info("There is no run yet. The first begins when an experiment starts.", icon=":material/history:")
    st.markdown("### Audit log")
    audit_log.draw_audit_log(zone)
