"""One act of an operator, from a button: checked again on the server, done, and reported on the page."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from lib.domain.record import StoreError
from lib.experiments.acts import ActError, Acts
from lib.experiments.definitions import DefinitionError
from lib.web import running
from pages import readouts, session
from pages.results.words import plain

PROBLEM, DONE = "act_problem", "act_done"
Do = Callable[[Acts, str], object]
"""Does the act in the name of this operator."""


def act(do: Do, done: str) -> None:
    """Do it, for a button: the next run of the page says what became of it."""
    attempt(do, done)


def attempt(do: Do, done: str) -> bool:
    """Do it; False where it was refused, and then the page says why."""
    state = st.session_state
    state.pop(PROBLEM, None)
    try:
        do(running.app().acts, session.acting_operator())
    except StoreError as error:
        state[PROBLEM] = f"Nothing has changed. {error}"
    except (ActError, DefinitionError, PermissionError) as error:
        state[PROBLEM] = str(error)
    else:
        state[DONE] = done
        readouts.forget()
        return True
    return False


def draw_outcome() -> None:
    """Draw what became of the last act."""
    if problem := st.session_state.pop(PROBLEM, None):
        st.error(plain(problem), icon=":material/error:")
    if done := st.session_state.pop(DONE, None):
        st.toast(plain(done), icon=":material/check:")


def typed(key: str) -> Any:
    """Return what a widget has at the moment of the click."""
    return st.session_state.get(key)
