"""Acts on the Experiment page: drafts, versions, a changed file, invitations, and the reasons of refused acts."""

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Element

from lib.domain.clock import now_ms
from lib.domain.invitations import Terms, new_invitation
from lib.experiments.book import two_groups
from lib.experiments.definitions import read_definitions_file
from tests.support.experiment_page import ALL, EXPERIMENTS, NAME, Open
from tests.support.experiment_page import begin as begin
from tests.support.page_runs import page_text, press, run_page
from tests.support.waiting import ENOUGH_S, until

# Several experiments


def test_a_new_experiment_is_a_draft_that_takes_the_place_of_the_live_one_when_it_starts(begin: Open) -> None:
    app = begin(ALL)
    page = run_page("experiment")
    page.text_input(key="new_name_0").set_value("no such name!")
    press(page, "Make it")
    assert "as Statsig takes them" in page_text(page) and page.text_input(key="new_name_0").value == "no such name!"
    page.text_input(key="new_name_0").set_value("short_answers")
    press(page, "Make it")
    assert "Draft, it has never started." in page_text(page) and app.experiment == NAME
    copied, live = app.acts.book["short_answers"].written, app.acts.book[NAME].written
    assert copied and live and copied.groups == live.groups and copied.default == live.default
    assert page.selectbox(key="shown_experiment").options == [f"{NAME} (live)", "short_answers (draft)"]
    assert not [one for one in page.selectbox if one.label == "Your group in this session"]  # no tester gets a draft
    press(page, "Start it")
    assert app.experiment == "short_answers" and app.conversations.experiment == "short_answers"
    assert page.selectbox(key="shown_experiment").options == ["short_answers (live)", NAME]


def test_a_new_experiment_may_begin_with_two_groups_that_are_alike(begin: Open) -> None:
    app = begin(ALL, PARLEY_MODEL="tiny")
    page = run_page("experiment")
    page.text_input(key="new_name_0").set_value("afresh")
    page.radio(key="new_copy_0").set_value(False)
    press(page, "Make it")
    written = app.acts.book["afresh"].written
    assert written and [group.parameters for group in written.groups] == [{"model": "tiny"}] * 2
    press(page, "Make it")  # the form is empty again
    assert "as Statsig takes them" in page_text(page)
    page.text_input(key="new_name_1").set_value("afresh")
    press(page, "Make it")
    assert "There is an experiment afresh already." in page_text(page)


def test_the_trial_box_asks_no_draft_of_another_experiment(begin: Open) -> None:
    begin(ALL)
    page = run_page("experiment")
    page.session_state["tried_draft"] = two_groups("another", "tiny")
    page.text_area(key="trial_prompt").set_value("Why?")
    press(page, "Ask every group")
    assert {answer.question.model for answer in page.session_state["trial_answers"].values()} != {"tiny"}


def test_the_group_that_is_chosen_is_switched_off_although_the_click_comes_at_once(begin: Open) -> None:
    app = begin(ALL)
    page = run_page("experiment")
    page.selectbox(key="switched_group_0").select("Test")
    press(page, "Switch it off")
    assert list(app.acts.book[NAME].state.disabled) == ["Test"]


def test_after_an_act_its_button_is_another_one_so_that_a_double_click_acts_once(begin: Open) -> None:
    app = begin(EXPERIMENTS.replace("80", "20"))
    page = press(run_page("experiment"), "Ramp it")
    written = app.acts.book[NAME].written
    assert written and written.allocation == 40
    assert [button.key for button in page.button if button.label == "Ramp it"] == ["ramp_now_1"]


def test_a_form_that_an_act_has_closed_does_nothing() -> None:
    def script() -> None:
        import streamlit as st

        from pages.experiment import acting

        def do() -> None:
            st.session_state.done = st.session_state.get("done", 0) + 1
            acting.begin_forms()

        on_click = acting.once(do)
        on_click()
        on_click()

    assert AppTest.from_function(script, default_timeout=ENOUGH_S).run().session_state["done"] == 1


def test_a_version_is_not_saved_before_its_warnings_are_shown(begin: Open) -> None:
    app = begin(ALL)
    page = run_page("experiment")
    page.session_state["editor"] = True
    page.run()
    fields = page.text_area(key=f"edit_{NAME}_1")
    fields.set_value(str(fields.value).replace("0.5", "0.6")).run()
    fields = page.text_area(key=f"edit_{NAME}_1")
    fields.set_value(str(fields.value).replace("0.6", "3.0"))
    press(page, "Save the version")
    assert app.acts.book[NAME].state.version == 1 and "read the warnings above first" in page_text(page)
    page.checkbox(key=f"sure_{NAME}_1").check().run()
    press(page, "Save the version")
    assert app.acts.book[NAME].state.version == 2


# The file while Parley runs


def test_the_operator_chooses_between_a_changed_file_and_the_version_in_force(begin: Open, tmp_path: Path) -> None:
    app = begin(ALL)
    file = tmp_path / "experiments.toml"
    file.write_text(ALL.replace("weight = 3", "weight = 2"))
    until(lambda: app.acts.pending(NAME))
    page = run_page("experiment")
    assert "The experiments file changed after version 1" in page_text(page)
    assert any("+weight = 2" in code.value for code in page.code)
    assert app.experiments.run(NAME) == 1  # no operator chose it, so it is not in force
    press(page, "Keep version 1")
    assert app.acts.pending(NAME) is None and app.experiments.run(NAME) == 1
    app.acts.seed(read_definitions_file(file), NAME)
    assert app.experiments.run(NAME) == 1  # the next start does not take the file either
    file.write_text(ALL.replace("weight = 3", "weight = 5") + "[fresh.groups]\nA = { weight = 1 }\n")
    until(lambda: app.acts.pending(NAME))
    press(run_page("experiment"), "Take the file")
    known = app.acts.book[NAME]
    assert known.written and [group.weight for group in known.written.groups] == [5, 1] and known.state.run == 2
    assert app.acts.book["fresh"].state.stage == "draft"


def test_a_file_that_breaks_while_parley_runs_counts_for_nothing_and_is_reported(begin: Open, tmp_path: Path) -> None:
    app = begin(ALL)
    (tmp_path / "experiments.toml").write_text(ALL.replace("allocation = 100", "allocation = 120"))
    until(lambda: app.acts.file_problem)
    assert "line 3: [statsig_openai_integration] allocation" in page_text(run_page("experiment"))
    assert app.acts.pending(NAME) is None and app.experiments.run(NAME) == 1


# Invitations


def test_an_invitation_is_made_listed_and_revoked(begin: Open) -> None:
    app = begin(PARLEY_ACCESS="invite")
    page = run_page("experiment")
    assert not page.exception
    assert "There is no invitation yet." in page_text(page)
    page.text_input(key="invitation_name").set_value("Design team")
    page.number_input(key="invitation_sessions").set_value(3)
    page.number_input(key="invitation_usd").set_value(5.0)
    page.selectbox(key="invitation_group").select("Test")
    press(page, "Make the link")
    [made] = app.store.guests.invitations()
    assert (made.name, made.sessions, made.usd, made.group) == ("Design team", 3, 5.0, "Test")
    text = page_text(page)
    assert "**Design team** :green-badge[Open]" in text
    assert "0 of 3 browsers · $0.00 of $5.00 spent, 0 answers · group Test, not in the readout · until" in text
    assert f"/invite/{made.id}." in text
    press(page, "Revoke it")
    assert app.store.guests.invitations()[0].revoked_ms
    assert ":red-badge[Revoked]" in page_text(page)
    assert "/invite/" not in page_text(page)


@pytest.mark.parametrize("name", ["", "taken"])
def test_an_invitation_that_cannot_be_is_refused_with_a_reason(begin: Open, name: str) -> None:
    app = begin(PARLEY_ACCESS="invite")
    assert app.store.guests.invite(new_invitation("taken", Terms(days=3), now_ms()))
    page = run_page("experiment")
    page.text_input(key="invitation_name").set_value(name)
    press(page, "Make the link")
    assert len(page.warning) == 1
    assert len(app.store.guests.invitations()) == 1


# Refused acts


def key_of(page: AppTest, name: str) -> str:
    """Return the key of a form's field. It changes with each act."""
    keys = [str(one.key) for one in (*page.number_input, *page.text_input)]
    return next(key for key in keys if key.startswith(f"{name}_"))


def type_smaller_share(page: AppTest) -> None:
    page.number_input(key=key_of(page, "ramp_percent")).set_value(10.0)


def type_bad_name(page: AppTest) -> None:
    page.text_input(key=key_of(page, "new_name")).set_value("no/such name")


REFUSED: dict[str, tuple[Callable[[AppTest], None], str]] = {
    "Ramp it": (type_smaller_share, "The allocation is 80 %, and a ramp only makes it larger"),
    "Make it": (type_bad_name, "A new experiment's name is at most 64 letters"),
    "Decide": (lambda page: None, "Say in a sentence why"),
}


def refused_acts(page: AppTest) -> list[tuple[str, str]]:
    """Return each reason on the page with the label of the element that follows it."""
    parts = [part for part in page.main if isinstance(part, Element)]
    return [
        (str(part.value), str(getattr(after, "label", "")))
        for part, after in zip(parts, [*parts[1:], None], strict=True)
        if part.type == "error" and after is not None
    ]


@pytest.mark.parametrize("button", REFUSED)
def test_the_reason_of_a_refusal_stands_above_the_button_that_was_pressed(begin: Open, button: str) -> None:
    begin()
    page, (fill, reason) = run_page("experiment"), REFUSED[button]
    fill(page)
    press(page, button)
    ((told, beneath),) = refused_acts(page)
    assert told.startswith(reason) and beneath == button
    assert not refused_acts(page.run())  # the page shows it once


def test_the_reason_of_a_refusal_whose_form_is_gone_stands_at_the_top(begin: Open) -> None:
    app = begin()
    page = run_page("experiment")
    app.acts.end(NAME, "another operator", "Enough is known")
    press(page, "Pause it")
    assert "Pause it" not in [button.label for button in page.button]
    ((told, beneath),) = refused_acts(page)
    assert "does not run" in told and beneath not in [button.label for button in page.button]
    parts = [part for part in page.main if isinstance(part, Element)]
    reason = next(at for at, part in enumerate(parts) if part.type == "error")
    assert "Start it" in [getattr(part, "label", "") for part in parts[reason:]]
