"""The Results page shows its store in every state, to operators alone."""

import json
import re
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, update
from streamlit.testing.v1 import AppTest

from lib.domain.clock import DAY_MS, now_ms
from lib.domain.invitations import Invitation
from lib.store import audit
from lib.store.database import Database
from lib.store.schema import answer, conversation, exposure, message, weights
from lib.web import running
from pages import readouts
from pages.results import charts as drawings
from pages.results import words
from tests.support import invented_traffic
from tests.support.invented_traffic import EXPERIMENT, Group, Traffic
from tests.support.results_page import Begin, Open, change, charts, headline, text_of, visit
from tests.support.results_page import begin as begin
from tests.support.results_page import show as show
from tests.support.results_page import url as url
from tests.support.waiting import ENOUGH_S

EMPTY = Traffic({"Control": Group(0), "Test": Group(0)})
FEW = Traffic({"Control": Group(9), "Test": Group(14)}, days=0.4)
DECIDING = ["Satisfaction", "Errors", "Response time"]


def compares(test: AppTest) -> bool:
    """Return True where any chart or table compares groups."""
    tables = [str(column) for table in test.table for column in table.value.columns]
    return any(word in " ".join([*charts(test), *tables]) for word in ("difference", "−", "cost", "dollar"))


# Visitors


def test_a_tester_sees_nothing(show: Open) -> None:
    page = show(invented_traffic.better(), operator=False)
    assert not page.exception
    assert text_of(page) == "" and charts(page) == [] and len(page.table) == 0


# Contents


def test_a_group_keeps_its_colour_while_it_is_alone(show: Open) -> None:
    page = show(Traffic({"Control": Group(0), "Test": Group(30)}, days=0.4))
    coloured = [spec for chart in page.get("vega_lite_chart") if '"color": {"field"' in (spec := chart.proto.spec)]
    assert any("Response times of Test" in alt for alt in charts(page)) and coloured
    assert all('"domain": ["Control", "Test"]' in spec for spec in coloured)


def test_an_empty_page_says_what_will_appear(show: Open) -> None:
    page = show(EMPTY)
    assert headline(page) == "Not enough data yet: nobody has met this experiment."
    assert "which group is better" in text_of(page)
    assert charts(page) == []
    assert "Show it with sample data" not in text_of(page)  # a real model would have to answer


def test_an_undecided_page_says_how_many_more_users_it_takes(show: Open) -> None:
    page = show(invented_traffic.undecided())
    assert headline(page).startswith("Undecided: The true difference may be anywhere from")
    assert "gray-badge[:material/balance: Undecided]" in text_of(page)
    assert "more users; at the last 7 days' pace" in text_of(page)
    assert charts(page)[:3] == [f"{name}: difference to Control with its interval" for name in DECIDING]


def test_a_better_group_is_reported_with_colour_word_and_icon(show: Open) -> None:
    page = show(invented_traffic.better())
    assert headline(page).startswith("Test is better on satisfaction: +")
    assert ":blue-badge[:material/trending_up: Better]" in text_of(page)
    assert "looks larger than it is: count on the near end of the interval, +" in text_of(page)
    assert "Harmed" not in text_of(page)


def test_a_harmed_guardrail_is_reported_beside_the_gain(show: Open) -> None:
    page = show(invented_traffic.harmed())
    assert "but slower: +" in headline(page)
    assert ":orange-badge[:material/warning: Harmed: response time]" in text_of(page)
    assert "Weigh the gain against the harm" in text_of(page)


def test_without_prices_the_costs_in_seconds_remain(show: Open) -> None:
    page = show(Traffic({"Control": Group(400, 0.75, usd=None), "Test": Group(400, 0.35, usd=None)}))
    assert headline(page).startswith("Test is worse on satisfaction: −")
    assert "No cost per answer is known: the model has no price." in text_of(page)
    assert "Satisfaction and response time of each group" in charts(page)
    assert "To end it, decide on the Experiment page" in text_of(page)


@pytest.mark.parametrize(
    ("past", "because"),
    [
        (invented_traffic.broken(), "The split is broken: 320 in Control where 245 were meant"),
        (Traffic({"Control": Group(100, 0.7), "Test": Group(110, 0.4)}, both=20), "of the users met two groups"),
    ],
)
def test_where_groups_cannot_be_compared_no_winner_is_shown(show: Open, past: Traffic, because: str) -> None:
    page = show(past)
    assert because in headline(page)
    assert ":red-badge[:material/error: Broken]" in text_of(page)
    assert "Find out why before reading on" in text_of(page)
    assert not compares(page)
    assert charts(page)[0] == "Users who met the experiment, by day and group"


def test_weights_that_changed_while_it_ran_end_the_comparison(show: Open, url: str) -> None:
    invented_traffic.fill(url)
    early, late = (now_ms() - days * 86_400_000 for days in (20, 2))
    rows = [(early, '{"Control": 0.9, "Test": 0.1}'), (late, '{"Control": 0.5, "Test": 0.5}')]
    change(url, *(insert(weights).values(experiment=EXPERIMENT, since_ms=ms, shares=shares) for ms, shares in rows))
    page = show(invented_traffic.better())
    assert "The weights changed while it ran" in headline(page)
    assert "End this run and start a new one on the Experiment page" in text_of(page)
    assert "Split check: not possible, the weights changed." in text_of(page)
    assert not compares(page)


def test_too_little_data_names_the_missing_users_and_draws_no_difference(show: Open) -> None:
    page = show(FEW)
    assert headline(page).startswith("Not enough data yet: Control has")
    assert "Still missing: users with a rating, " in text_of(page)
    assert "9 in Control and 14 in Test with an answer" in text_of(page)
    assert not any("difference" in chart for chart in charts(page))


def test_every_treatment_is_compared_and_every_name_stays_as_it_is(show: Open) -> None:
    groups = {"plain": Group(150, 0.45), "_long_name": Group(150, 0.85), "c": Group(150, 0.5)}
    page = show(Traffic(groups, experiment="three"), experiment="three")
    assert headline(page) == "_long_name is better than plain on satisfaction, c is undecided."
    assert "Satisfaction, treatments among each other" in text_of(page)
    assert "_long_name: +" in text_of(page)
    assert [chart for chart in charts(page) if "day by day" in chart] == [
        "Satisfaction: difference of _long_name to plain, day by day",
        "Satisfaction: difference of c to plain, day by day",
    ]
    assert page.table[0].value["Group"].tolist() == list(groups)


def test_users_who_do_not_count_are_reported(show: Open) -> None:
    page = show(Traffic({"Control": Group(60), "Test": Group(60)}, both=2, forced=3))
    assert "Left out: 4 who met two groups and 3 with a forced group." in text_of(page)


def test_a_group_that_is_rated_less_is_seen(show: Open) -> None:
    page = show(Traffic({"Control": Group(200, rates=0.6), "Test": Group(200, rates=0.2)}))
    assert "Answers rated of each group" in charts(page)
    rated = next(part.value for part in page.caption if part.value.startswith("Answers that were rated"))
    one = r"\d+\.\d % \(\d+\.\d to \d+\.\d\)"
    assert re.fullmatch(rf"Answers that were rated: Control {one}; Test {one}\.", rated.replace("\\", ""))


def test_an_unfinished_day_is_in_the_caption_and_not_in_the_chart(show: Open) -> None:
    met, groups = [(0, "Control", 7), (DAY_MS, "Test", 5), (2 * DAY_MS, "Test", 1)], ["Control", "Test"]
    drawn = drawings.arrivals(met, groups, 2 * DAY_MS + 1)
    assert drawn is not None
    rows = [(row["day"][8:10], row["group"], row["users"]) for row in next(iter(drawn.to_dict()["datasets"].values()))]
    assert rows == [("01", "Control", 7), ("01", "Test", 0), ("02", "Control", 0), ("02", "Test", 5)]
    assert drawings.arrivals(met[:1], groups, DAY_MS - 1) is None
    [caption] = [one.value for one in show(invented_traffic.better()).caption if one.value.startswith("New users")]
    assert re.fullmatch(r"New users a day \(UTC\)\. \d+ \w+ is not over: Control \d+, Test \d+ so far\.", caption)


def test_one_value_without_an_interval_has_an_axis_that_begins_at_0(show: Open) -> None:
    page = show(Traffic({"Control": Group(1, failed=0), "Test": Group(0)}, answers=1, days=0.4))
    axes = {
        chart.proto.alt: json.loads(chart.proto.spec)["layer"][1]["encoding"]["x"]["scale"]["domain"]
        for chart in page.get("vega_lite_chart")
        if chart.proto.alt in ("Response time of each group", "Errors of each group")
    }
    low, high = axes["Response time of each group"]
    assert low == 0 < high
    assert axes["Errors of each group"] == [0, 100]  # percent


def test_every_chart_and_table_has_a_text_that_stands_for_it(show: Open) -> None:
    page = show(invented_traffic.harmed())
    assert len(charts(page)) == 14 and all(charts(page))
    assert all(table.proto.alt for table in page.table)


def test_an_unknown_experiment_is_named(begin: Begin, url: str) -> None:
    begin(PARLEY_EXPERIMENT="nowhere")
    assert "There is no experiment nowhere" in text_of(visit())


def test_a_record_that_cannot_be_read_is_reported_in_a_sentence(show: Open, tmp_path: Path) -> None:
    show(invented_traffic.undecided())
    readouts.forget()
    (tmp_path / "parley.db").rename(tmp_path / "elsewhere.db")
    running.app().store._channel.database.reader.dispose()
    page = visit()
    assert "cannot be read" in page.error[0].value and "tried again every minute" in page.error[0].value
    assert not page.exception


# Remarks of testers


def test_remarks_come_newest_first_with_their_questions(show: Open, url: str) -> None:
    page = show(invented_traffic.harmed())
    labels = [one.label.replace("\\", "") for one in page.expander if one.label != "All metrics"]
    assert len(labels) == 10
    with closing(Database.open(url)) as database, database.read() as connection:
        newest = connection.execute(
            answer.select().where(answer.c.reason.is_not(None)).order_by(answer.c.rated_ms.desc()).limit(1)
        ).one()
    assert labels[0].startswith(words.REASON_WORDS[newest.reason])
    assert words.moment(newest.rated_ms, UTC) in labels[0]
    assert "How do I connect a model of my own?" in text_of(page)
    assert "Open the conversation" not in text_of(page)


def test_more_remarks_are_shown_when_they_are_asked_for(show: Open) -> None:
    page = show(invented_traffic.harmed())
    more = next(button for button in page.button if button.label == "Show more").click().run()
    assert len(more.expander) == 21


def test_the_audit_log_has_a_line_an_hour_for_each_conversation_whose_texts_were_shown(
    show: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_texts_acts() -> list[tuple[str, str]]:
        store = running.app().store
        assert store.write(lambda _: None).wait(ENOUGH_S)
        with store.read() as connection:
            entries = list(audit.entries(connection, act="read texts", limit=None))
        return [(one.subject, str(one.details["page"])) for one in entries]

    now = now_ms()
    monkeypatch.setattr("lib.experiments.acts.now_ms", lambda: now)
    page = show(invented_traffic.harmed())
    first = read_texts_acts()
    assert len(set(first)) == len(first) and 5 <= len(first) <= 10 and {page for _, page in first} == {"Results"}
    page.run()
    visit()
    assert read_texts_acts() == first  # another look or another tab within the hour adds no line
    next(button for button in page.button if button.label == "Show more").click().run()
    more = read_texts_acts()
    assert len(set(more)) == len(more) > len(first)
    monkeypatch.setattr("lib.experiments.acts.now_ms", lambda: now + 3_600_000)
    visit()
    assert sorted(read_texts_acts()) == sorted([*more, *first])


def test_without_text_a_remark_is_its_reason(show: Open, url: str) -> None:
    invented_traffic.fill(url, FEW)
    change(url, delete(message), delete(conversation))
    page = show()
    assert [one.label for one in page.expander] == ["All metrics"]
    assert any(part.value.startswith("Wrong") for part in page.markdown)
    with running.app().store.read() as connection:
        assert list(audit.entries(connection, act="read texts")) == []


# Filters


def test_dates_narrow_the_page_to_the_users_of_those_days(show: Open) -> None:
    page = show(Traffic({"Control": Group(200), "Test": Group(200)}, days=8))
    users = [int(n) for n in page.table[0].value["Users"]]
    day = datetime.now(UTC).date() - timedelta(4)
    page.date_input[0].set_value((day, day)).run()
    fewer = [int(n) for n in page.table[0].value["Users"]]
    assert all(0 < few < many / 2 for few, many in zip(fewer, users, strict=True))


@pytest.mark.parametrize("unit", ["visitor", "session", "account"])
def test_an_invitation_narrows_the_page_to_its_guests(begin: Begin, url: str, unit: str) -> None:
    invented_traffic.fill(url, Traffic({"Control": Group(40), "Test": Group(40)}))
    begin(PARLEY_UNIT=unit)
    page, some = visit(), select(exposure.c.user_id).limit(7)
    running.app().store.guests.invite(Invitation("abc", "Friends", now_ms(), now_ms() + 1_000_000))
    change(url, update(exposure).where(exposure.c.user_id.in_(some)).values(invitation="abc"))
    page.run()
    page.selectbox(key="invitation").select("abc").run()
    assert sum(int(n) for n in page.table[0].value["Users"]) == 7


def test_a_tier_narrows_the_page_to_its_events(show: Open, url: str) -> None:
    page = show(Traffic({"Control": Group(40), "Test": Group(40)}))
    assert "tier" not in [box.key for box in page.selectbox]  # there is only one
    some = select(exposure.c.user_id).limit(7)
    for table in (answer, exposure):
        change(url, update(table).where(table.c.user_id.in_(some)).values(tier="staging"))
    readouts.forget()
    page.run()
    assert page.selectbox(key="tier").options == ["Not recorded", "staging"]
    page.selectbox(key="tier").select("staging").run()
    assert sum(int(n) for n in page.table[0].value["Users"]) == 7


# Sample data


def test_sample_data_is_marked_and_goes_with_one_click(show: Open) -> None:
    page = show(replace(invented_traffic.better(), simulated=True))
    assert headline(page).startswith("In simulated data: Test is better")
    assert ":violet-badge[:material/science: Simulated data]" in text_of(page)
    page.button(key="remove_sample").click().run()
    assert headline(page) == "Not enough data yet: nobody has met this experiment."
    assert "simulated" not in text_of(page).lower()


def test_sample_data_goes_although_the_next_click_takes_the_button_off_the_page(show: Open) -> None:
    page = show(replace(invented_traffic.better(), simulated=True))
    page.selectbox(key="experiment").select("three")
    page.button(key="remove_sample").click().run()
    assert not running.sample().is_in(running.app().store)


def test_beside_real_data_sample_data_is_not_shown(show: Open) -> None:
    page = show(invented_traffic.undecided(), replace(invented_traffic.better(), simulated=True, seed=2))
    assert headline(page).startswith("Undecided")
    assert "There is sample data, too. It is not shown here." in text_of(page)
    page.button(key="remove_sample").click().run()
    assert headline(page).startswith("Undecided")
    assert "sample data" not in text_of(page)


def test_with_the_demo_model_an_empty_page_offers_sample_data(begin: Begin) -> None:
    begin("http://127.0.0.1:9/v1")
    assert "Show it with sample data" in text_of(visit())


def test_with_statsig_an_empty_page_offers_no_sample_data(begin: Begin) -> None:
    begin("http://127.0.0.1:9/v1", STATSIG_SECRET_KEY="secret-of-the-tests", STATSIG_API_URL="http://127.0.0.1:9")
    assert "Show it with sample data" not in text_of(visit())
