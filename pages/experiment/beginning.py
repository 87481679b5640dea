"""A new experiment: its name, and the definition that it begins with. It is a draft until it is started."""

import streamlit as st

from lib.experiments.acts import ActError, Acts
from lib.experiments.book import copied, to_toml, two_groups
from lib.web import running
from pages.experiment.acting import SHOWN, attempt, draw_form_button, entered, field
from pages.results.words import plain


def draw_beginning() -> None:
    """Draw the form that makes a new experiment."""
    live = running.app().experiment
    has_live = live in running.app().acts.book
    with st.popover("New experiment", icon=":material/add:", type="tertiary", key=field("new_form")):
        st.text_input(
            "Name",
            key=field("new_name"),
            max_chars=64,
            placeholder="short_answers",
            help="Letters, digits, _ and -, as Statsig takes them. It cannot be changed.",
        )
        st.radio(
            "It begins as",
            [True, False] if has_live else [False],
            key=field("new_copy"),
            format_func=lambda copy: f"a copy of {plain(live)}, which is live" if copy else "two identical groups",
        )
        st.text_input("Why, in a sentence", key=field("new_reason"))
        st.caption("It is a draft: edit and try it below, then start it. Until then testers do not notice it.")
        draw_form_button("Make it", "create_now", _create)


def _create() -> None:
    name, copy, reason = str(entered("new_name") or "").strip(), entered("new_copy"), str(entered("new_reason") or "")
    app = running.app()

    def do(acts: Acts, who: str) -> None:
        known = acts.book.get(app.experiment)
        if copy and (known is None or known.written is None):
            raise ActError(f"There is no version of {app.experiment} to copy.")
        model = app.settings.model
        new = copied(known.written, name) if copy and known and known.written else two_groups(name, model)
        acts.create(name, to_toml(new), who, reason)

    if attempt(do, f"{name} is a draft.", field("create_now")):
        st.session_state[SHOWN] = name
