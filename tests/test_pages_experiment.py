"""The Experiment page: groups, costs, the reason for a unit's group, trials, models, the plan."""

from functools import partial
from typing import Any

import pytest

from lib.app import App
from lib.domain.clock import now_ms
from lib.domain.completion import Completion
from lib.domain.conversation import Question
from lib.domain.events import chat_completion, exposure
from lib.domain.models import CONTROL_MODEL, TEST_MODEL
from lib.domain.visitor import Visitor
from tests.support import openai_server as openai
from tests.support.experiment_page import ALL, EXPERIMENTS, NAME, PROMPT, Open, ask
from tests.support.experiment_page import begin as begin
from tests.support.page_runs import page_text, press, run_page
from tests.support.statsig_server import Statsig
from tests.support.waiting import ENOUGH_S, until

SAME = """
[statsig_openai_integration]
default = { model = "large-model" }
[statsig_openai_integration.groups]
Control = { weight = 1, parameters = { model = "large-model", temperature = 0.2 } }
Test = { weight = 1, parameters = { model = "large-model", temperature = 0.9 } }
"""


def test_the_page_exists_for_operators_alone(begin: Open) -> None:
    begin(ALL)
    page = run_page(operator=False)
    with pytest.raises(ValueError, match="experiment"):
        page.switch_page("experiment/page.py")
    assert not page.toggle


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
    assert PROMPT.strip() in [text.value.strip() for text in page.text]  # the whole prompt stands below
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


# Models


def test_operators_read_that_a_model_is_missing_and_testers_do_not(begin: Open, model_server: openai.Server) -> None:
    model_server.models = [CONTROL_MODEL]
    app = begin(ALL)
    app.standings.refresh()
    until(app.standings.worries)
    assert "is not at openai" in page_text(run_page("experiment")) and "is not at openai" in page_text(run_page())
    assert "is not at openai" not in page_text(run_page(operator=False))
    assert not model_server.requests


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
