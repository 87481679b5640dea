"""The Experiment page: groups, costs, the reason for a unit's group, trials, invitations; and the operator's actions
on the chat page."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Element

from lib.app import App
from lib.domain.clock import now_ms
from lib.domain.completion import Completion
from lib.domain.conversation import Question
from lib.domain.events import chat_completion, exposure
from lib.domain.invitations import Terms, new_invitation
from lib.domain.models import CONTROL_MODEL, TEST_MODEL
from lib.domain.visitor import Visitor
from lib.experiments.book import two_groups
from lib.experiments.definitions import read_definitions_file
from tests.support import openai_server as openai
from tests.support.page_runs import open_app, page_text, press, run_page
from tests.support.statsig_server import Statsig
from tests.support.waiting import ENOUGH_S, until

NAME = "statsig_openai_integration"
EXPERIMENTS = """
[statsig_openai_integration]
allocation = 80
default = { model = "large-model" }
[statsig_openai_integration.groups]
Control = { weight = 3, parameters = { model = "small-model", temperature = 0.5 } }
Test = { weight = 1, parameters = { model = "large-model", temperature = 0.5, system_prompt = "PROMPT" } }
""".replace("small-model", CONTROL_MODEL).replace("large-model", TEST_MODEL)
PROMPT = "Answer briefly. " * 20
ALL = EXPERIMENTS.replace("allocation = 80", "allocation = 100")
SAME = """
[statsig_openai_integration]
default = { model = "large-model" }
[statsig_openai_integration.groups]
Control = { weight = 1, parameters = { model = "large-model", temperature = 0.2 } }
Test = { weight = 1, parameters = { model = "large-model", temperature = 0.9 } }
"""
Open = Callable[..., App]


@pytest.fixture
def begin(tmp_path: Path, model_server: openai.Server) -> Iterator[Open]:
    """Open the app in front of the stand-in."""
    with ExitStack() as stack:

        def start(experiments: str = EXPERIMENTS.replace("PROMPT", PROMPT), **settings: str) -> App:
            return stack.enter_context(
                open_app(tmp_path, experiments, **({"OPENAI_BASE_URL": model_server.base_url} | settings))
            )

        yield start


def ask(page: AppTest, text: str = "Hello?") -> AppTest:
    return page.chat_input[0].set_value(text).run()


def metadata_of(app: App, name: str) -> list[dict[str, Any]]:
    assert app.store.write(lambda _: None).wait(ENOUGH_S)
    return [event["metadata"] for event in app.store.events.export() if event["name"] == name]


# Groups


def test_groups_stand_side_by_side_and_what_differs_is_marked(begin: Open) -> None:
    begin()
    page = run_page("experiment")
    assert not page.exception
    table = page.table[0].value
    assert list(table.columns) == ["Setting", "Control", "Test", "Not taking part"]
    rows = {
        str(row[0]).replace("\\", ""): [str(cell).replace("\\", "") for cell in row[1:]] for row in table.to_numpy()
    }
    assert rows["Share of units"] == ["75.0 %", "25.0 %", "–"]
    assert rows["model :blue-badge[differs]"] == [
        CONTROL_MODEL, ":blue-background[" + TEST_MODEL + "]", ":blue-background[" + TEST_MODEL + "]",
    ]  # fmt: skip
    assert rows["temperature :blue-badge[differs]"] == ["0.5", "0.5", ":blue-background[–]"]
    prompt = rows["system_prompt :blue-badge[differs]"][1]
    assert prompt.startswith(":blue-background[Answer briefly.") and prompt.endswith("…]")
    assert PROMPT.strip() in [text.value.strip() for text in page.text]  # the whole of it stands below
    picture = next(chart.proto.alt for chart in page.get("vega_lite_chart"))
    assert picture == "Of all units: Control 60 %, Test 20 %, not taking part 20 %"


def test_a_parameter_that_is_not_valid_is_reported(begin: Open) -> None:
    begin(ALL.replace("temperature = 0.5, system", 'temperature = "hot", system'))
    assert "Not valid, not sent | – | temperature" in page_text(run_page("experiment"))


def test_groups_that_the_server_made_the_same_are_reported(
    begin: Open, model_server: openai.Server, capsys: pytest.CaptureFixture[str]
) -> None:
    def reply(request: openai.Request) -> openai.Reply:
        if "temperature" in request.body:
            return openai.status(400, {"message": "Unsupported parameter", "param": "temperature"})
        return openai.HELLO

    model_server.script(otherwise=reply)
    app = begin(SAME)
    assert not run_page("experiment").warning
    definition = app.experiments.definition(NAME)
    assert definition
    for answer in app.trials.ask("ann", "Why?", definition).values():
        until(partial(getattr, answer, "completion"))
    sentence = "Control and Test are now identical: `temperature` was dropped by the server."
    assert sentence in [warning.value.replace("\\", "")[: len(sentence)] for warning in run_page("experiment").warning]
    app.served_groups.log_same()
    app.served_groups.log_same()
    assert len([line for line in capsys.readouterr().err.splitlines() if sentence in line]) == 1


def test_a_paused_experiment_is_reported_as_paused(begin: Open) -> None:
    begin(EXPERIMENTS.replace("80", "0"))
    assert "The experiment is paused" in page_text(run_page("experiment"))


def test_an_unknown_experiment_is_reported_as_unknown_and_invitations_are_there(begin: Open) -> None:
    begin(PARLEY_EXPERIMENT="elsewhere")
    page = run_page("experiment")
    assert not page.exception
    assert "There is no experiment or layer elsewhere" in page_text(page)
    assert "### Invitations" in page_text(page)


def test_the_page_names_the_source_of_its_definitions_and_why_it_is_not_statsig(begin: Open, statsig: Statsig) -> None:
    statsig.specs_fault = 401
    app = begin(STATSIG_SECRET_KEY="secret-key", STATSIG_API_URL=statsig.url)
    statsig.wait(lambda: app.experiments.source.error)
    assert "The local experiments file decides, since" in page_text(run_page("experiment"))
    assert "Its last answer: " in page_text(run_page("experiment"))


def test_without_a_key_the_local_file_decides(begin: Open) -> None:
    begin()
    assert "The local experiments file decides. There is no Statsig key." in page_text(run_page("experiment"))


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


def test_of_a_file_that_changes_while_parley_runs_and_a_version_the_operator_chooses(
    begin: Open, tmp_path: Path
) -> None:
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
    assert app.experiments.run(NAME) == 1  # the next start does not take it either
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


# Today's costs


def test_todays_exposures_answers_and_spend_are_reported(begin: Open, model_server: openai.Server) -> None:
    app = begin(ALL)
    model_server.script(openai.answer("One."), openai.status(401))
    page = ask(ask(run_page(operator=False)))
    group = page.session_state["on_page"].conversation.assignment.group
    question, *rest = _priced_answer(app)
    assert app.store.conversations.finish(question, *rest).wait(ENOUGH_S)
    text = page_text(run_page("experiment"))
    together = 2 if question.assignment.group == group else 1
    assert f"{group} {together}" in text and "1 failed" in text
    assert "There is no limit on a day's spend" in text


def _priced_answer(app: App) -> tuple[Any, ...]:
    """Return another visitor's answer with a price."""
    assigned = app.experiments.assign(Visitor("v", "v", "v", "s"), NAME)
    question = Question("other", "c", "s", 1, TEST_MODEL, assigned)
    completion = Completion("So.", "stop", 1.0, cost_usd=0.25)
    app.store.events.record([exposure(assigned, "s")])
    return question, completion, chat_completion(question, completion)


def test_the_page_shows_a_limit_that_is_near_and_one_that_is_met(begin: Open, model_server: openai.Server) -> None:
    model_server.script(
        otherwise=openai.stream("So.", openai.finish(), openai.usage(1_000_000, 0), openai.DONE)
    )  # 0.50 or 30 US dollars
    begin(ALL, PARLEY_BUDGET_USD_PER_DAY="1000", PARLEY_BUDGET_ANSWERS_PER_VISITOR="2")
    assert "2 answers a visitor and day. No questions today." in page_text(run_page("experiment"))
    page = ask(run_page(operator=False))
    text = page_text(run_page("experiment"))
    assert "of $1,000.00." in text
    assert "Of 1 visitors, the busiest has used 1." in text
    ask(ask(page))
    text = page_text(run_page("experiment"))
    assert "1 of 1 visitors have used all of theirs." in text
    assert "1 more met a limit" in text


def test_a_day_that_is_spent_is_reported(begin: Open, model_server: openai.Server) -> None:
    model_server.script(otherwise=openai.stream("So.", openai.finish(), openai.usage(10_000_000, 0), openai.DONE))
    begin(ALL, PARLEY_BUDGET_USD_PER_DAY="0.5")
    ask(run_page(operator=False))
    assert "The day's $0.50 are spent. New answers are refused until " in page_text(run_page("experiment")).replace(
        "**", ""
    )


def test_a_model_without_a_price_is_reported_where_there_is_a_limit(begin: Open) -> None:
    begin(ALL.replace(TEST_MODEL, "llama"), PARLEY_BUDGET_USD_PER_DAY="5")
    assert "The day's limit cannot be kept: llama has no price." in page_text(run_page("experiment"))


# Why this group?


def test_any_units_group_is_explained(begin: Open) -> None:
    app = begin(ALL)
    page = run_page("experiment")
    page.text_input(key="unit").set_value("somebody").run()
    decided = app.experiments.assign(Visitor("somebody", "somebody", "somebody", "somebody"), NAME)
    text = page_text(page)
    assert f"**{decided.group}**, by the rule {decided.group}" in text
    assert "Not exposed" in text
    [table] = [one.value for one in page.table if "Rule" in one.value]
    assert list(table.iloc[-1][["Rule", "Result"]]) == [decided.group, "**matches**"]


def test_whether_a_unit_was_exposed_and_delivered_is_reported(begin: Open) -> None:
    app = begin(ALL, STATSIG_SECRET_KEY="secret-key", STATSIG_API_URL="http://127.0.0.1:9/v1")
    decided = app.experiments.assign(Visitor("ann", "ann", "ann", "s"), NAME)
    met = [exposure(decided, "s", time_ms=now_ms() - 5_000), exposure(decided, "s2")]
    assert app.store.events.record(met).wait(ENOUGH_S)
    page = run_page("experiment")
    assert f"Exposed to {decided.group}, first" in page_text(page.text_input(key="unit").set_value("ann").run())
    assert "2 of 2 still on the way to Statsig." in page_text(page)
    assert app.store.outbox.acknowledge([event.event_id for event in met]).wait(ENOUGH_S)
    assert "Delivered to Statsig." in page_text(page.run())


# Trials


def test_one_prompt_is_answered_by_every_group_and_recorded_nowhere(begin: Open, model_server: openai.Server) -> None:
    app = begin(ALL)
    model_server.script(otherwise=openai.answer("Because."))
    page = run_page("experiment")
    page.text_area(key="trial_prompt").set_value("Why?")
    press(page, "Ask every group")
    for answer in page.session_state["trial_answers"].values():
        news = answer.follow()
        while news(10) is not None:
            pass
    page.run()
    assert page_text(page).count("Because.") == 2
    assert sorted(request.body["model"] for request in model_server.requests) == [CONTROL_MODEL, TEST_MODEL]
    assert list(app.store.events.export()) == []
    page.text_area(key="trial_prompt").set_value("  ")
    assert "Please write a question first." in page_text(press(page, "Ask every group"))


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


# On the chat page


def test_an_operator_forces_a_group_and_the_readout_is_reported(begin: Open) -> None:
    app = begin(ALL)
    page = ask(run_page(group="Test"))
    assert not page.exception
    assert ":material/science: Forced: Test" in page_text(page) or "Forced: Test" in page_text(page)
    [met] = metadata_of(app, "exposure")
    assert (met["group"], met["forced"], met["rule_id"]) == ("Test", True, "override")
    [ended] = metadata_of(app, "chat_completion")
    assert ended["group"] == "Test"
    press(page, "Use my own group")
    assert "group" not in page.query_params
    assert page.session_state["on_page"].conversation.assignment.forced
    assert "Forced: Test" in page_text(page)  # of the conversation that is on the page


def test_the_group_chosen_on_the_experiment_page_holds_on_the_chat_page(begin: Open) -> None:
    app = begin(ALL)
    page = run_page("experiment")
    page.selectbox(key="force").select("Control").run()
    assert "Forced: Control" in page_text(page)
    page = ask(page.switch_page("chat/page.py").run())
    assert page.query_params["group"] == "Control"
    assert [met["forced"] for met in metadata_of(app, "exposure")] == [True]


def test_a_conversation_that_began_otherwise_keeps_its_group(begin: Open) -> None:
    app = begin(ALL)
    page = ask(run_page())
    own = page.session_state["on_page"].conversation.assignment.group
    other = "Test" if own == "Control" else "Control"
    page.query_params["group"] = other
    page = ask(page.run())
    assert {ended["group"] for ended in metadata_of(app, "chat_completion")} == {own}
    assert f"This conversation keeps {own}" in page_text(page)


def test_a_group_that_is_not_there_is_reported_and_forces_nothing(begin: Open) -> None:
    app = begin(ALL)
    page = ask(run_page(group="Nobody's"))
    assert "There is no group Nobody's in this experiment." in page_text(page)
    assert [met["forced"] for met in metadata_of(app, "exposure")] == [False]


def test_no_other_visitor_can_force_a_group(begin: Open) -> None:
    app = begin(ALL)
    pages = [ask(run_page(operator=False, group=group)) for group in ("Test", "Control", "Test", "Control")]
    assert {met["forced"] for met in metadata_of(app, "exposure")} == {False}
    assert all("orced" not in page_text(page) and "Test" not in page_text(page) for page in pages)


def test_an_operator_can_see_what_testers_see(begin: Open) -> None:
    begin(ALL)
    page = ask(run_page())
    assert "| Group |" in page_text(page)
    page.toggle(key="as_tester").set_value(True).run()
    assert "| Group |" not in page_text(page) and "gpt" not in page_text(page)
    page.switch_page("experiment/page.py").run()
    page.switch_page("chat/page.py").run()
    assert page.toggle(key="as_tester").value and "| Group |" not in page_text(page)


def test_testers_who_are_not_blind_see_the_details_and_no_switch(begin: Open) -> None:
    begin(ALL, PARLEY_BLIND="false")
    page = ask(run_page(operator=False))
    assert "| Group |" in page_text(page)
    assert not page.toggle


def test_the_page_exists_for_operators_alone(begin: Open) -> None:
    begin(ALL)
    page = run_page(operator=False)
    with pytest.raises(ValueError, match="experiment"):
        page.switch_page("experiment/page.py")
    assert not page.toggle


# Models


def test_operators_read_that_a_model_is_missing_and_testers_do_not(begin: Open, model_server: openai.Server) -> None:
    model_server.models = [CONTROL_MODEL]
    app = begin(ALL)
    app.standings.refresh()
    until(app.standings.worries)
    assert "is not at openai" in page_text(run_page("experiment")) and "is not at openai" in page_text(run_page())
    assert "is not at openai" not in page_text(run_page(operator=False))
    assert not model_server.requests


# Refused acts


def key_of(page: AppTest, name: str) -> str:
    """The key of a form's field, which changes with each act."""
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
    """Each reason on the page with the label of what comes right after it."""
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
    assert not refused_acts(page.run())  # it is said once


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


# Planning


def test_the_page_plans_both_ways_and_recommends_one(begin: Open) -> None:
    begin()
    page = run_page("experiment")
    assert "Let testers compare: that takes" in page_text(page)
    assert "satisfaction 65 % against 75 %" in page_text(page)
    testers = [list(table.value["Testers"]) for table in page.table if "Testers" in table.value]
    assert testers[0][0] == "1,500"  # a treatment that gets a quarter of the units
    page.number_input(key="plan_lift").set_value(20.0).run()
    assert "satisfaction 65 % against 85 %" in page_text(page)


def test_a_difference_that_cannot_be_is_refused_on_the_page(begin: Open) -> None:
    begin()
    page = run_page("experiment")
    page.number_input(key="plan_lift").set_value(50.0).run()
    assert any("a lift is between" in str(one.value).replace("\\", "") for one in page.warning)
