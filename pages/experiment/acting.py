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

PROBLEM, DONE, FORMS = "act_problem", "act_done", "act_forms"
SHOWN = "shown_experiment"
"""The key of the experiment that the page shows."""
Do = Callable[[Acts, str], object]
"""A function that performs the act in the name of this operator."""


def act(do: Do, done: str, button: str = "") -> None:
    """Perform an act, as a button's callback. The next run of the page reports the outcome."""
    attempt(do, done, button)


def attempt(do: Do, done: str, button: str = "") -> bool:
    """Perform an act; return False where it was refused. The page then says why, above the button with this key."""
    state = st.session_state
    state.pop(PROBLEM, None)
    try:
        do(running.app().acts, session.acting_operator())
    except StoreError as error:
        state[PROBLEM] = button, f"Nothing has changed. {error}"
    except (ActError, DefinitionError, PermissionError) as error:
        state[PROBLEM] = button, str(error)
    else:
        state[DONE] = done
        readouts.forget()
        begin_forms()
        return True
    return False


def draw_done() -> None:
    """Report the last act where it succeeded."""
    if done := st.session_state.get(DONE):
        st.toast(plain(done), icon=":material/check:")
        del st.session_state[DONE]  # only once it is drawn, because a click may interrupt the run earlier


def draw_problem(button: str | None = None) -> None:
    """Draw once the reason why the last act was refused; with a button, only where the act was that button's."""
    place = st.container()  # even without a problem, so that the elements below keep their places and the focus
    refused: tuple[str, str] | None = st.session_state.get(PROBLEM)
    if refused is not None and button in (None, refused[0]):
        place.error(plain(refused[1]), icon=":material/error:")
        del st.session_state[PROBLEM]


def draw_button(label: str, key: str, do: Do, done: str) -> None:
    """Draw the button at the end of a form, and above it the reason why its act was refused."""
    draw_form_button(label, key, act, do, done, field(key))


def draw_form_button(label: str, key: str, on_click: Callable[..., object], *args: object) -> None:
    """Draw the button at the end of a form with a callback of its own.

    Its key changes with each form, so that the second click of a double click finds no button or a closed form.
    """
    draw_problem(field(key))
    st.button(label, type="primary", key=field(key), on_click=once(on_click), args=args)


def once(on_click: Callable[..., object]) -> Callable[..., None]:
    """Return a callback that does nothing where an act has closed the forms since the button was drawn."""
    drawn = _forms()

    def clicked(*args: object) -> None:
        if drawn == _forms():
            on_click(*args)

    return clicked


def typed(key: str) -> Any:
    """Return the value of a widget at the moment of the click."""
    return st.session_state.get(key)


def field(key: str) -> str:
    """Return the key of a form or of one of its fields. It changes with each act, so that a form begins closed and
    empty."""
    return f"{key}_{_forms()}"


def _forms() -> int:
    """Return the number of times that the forms were closed."""
    return int(st.session_state.get(FORMS, 0))


def entered(key: str) -> Any:
    """Return the value of a form's field at the moment of the click."""
    return typed(field(key))


def begin_forms() -> None:
    """Close the forms and forget what was typed into them."""
    state = st.session_state
    state[FORMS] = _forms() + 1
    if SHOWN in state:
        state[SHOWN] = state[SHOWN]  # otherwise the browser keeps the option's old label
