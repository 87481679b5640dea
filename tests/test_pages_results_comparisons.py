"""Comparisons on the Results page, beside the A/B test and without one."""

import csv
import io
import json
from contextlib import closing
from pathlib import Path
from typing import Any

from lib.commands.spreadsheet import BOM
from lib.readout.results import Window
from lib.store import Store
from lib.web import running
from pages import readouts
from pages.results import numbers
from tests.support import invented_traffic
from tests.support.invented_events import preferred
from tests.support.invented_traffic import EXPERIMENT
from tests.support.results_page import Begin, Open, charts, headline, text_of, visit
from tests.support.results_page import begin as begin
from tests.support.results_page import show as show
from tests.support.results_page import url as url
from tests.support.waiting import ENOUGH_S
from tests.test_store_preferences import event


def votes(url: str, wins: int, losses: int, **more: Any) -> None:
    """Record the comparisons of thirty testers, each with `wins` votes for Test, `losses` for Control, and one tie."""
    lines = [
        preferred(
            f"p{tester}-{n}",
            f"k{tester}-{n}",
            f"comparer{tester}",
            n,
            value,
            left="Control",
            right="Test",
            experiment=EXPERIMENT,
            **more,
        )
        for tester in range(30)
        for n, value in enumerate(["Test"] * wins + ["Control"] * losses + ["tie"])
    ]
    with closing(Store.open(url)) as store:
        assert store.events.record([event(line) for line in lines]).wait(ENOUGH_S)


def test_comparisons_stand_beside_the_a_b_test_and_are_no_part_of_it(show: Open, url: str) -> None:
    plain = headline(show(invented_traffic.better()))
    votes(url, 6, 3)
    readouts.forget()
    page = visit()
    assert headline(page) == plain and "Comparisons: Test against Control" in text_of(page)
    assert "30 people gave 300 votes: 180 for Test, 90 for Control, 30 ties (both good), 0 both bad." in text_of(page)
    assert "Net preference against Control with its interval" in charts(page)
    assert not page.info


def test_where_the_two_ways_disagree_the_page_says_why(show: Open, url: str) -> None:
    invented_traffic.fill(url, invented_traffic.better())
    votes(url, 2, 7)
    page = show()
    text = str(page.info[0].value)
    assert "The two ways disagree on Test" in text and "side by side testers prefer Control" in text


def test_an_experiment_that_only_compares_shows_its_comparisons(show: Open, url: str) -> None:
    votes(url, 6, 3)
    page = show()
    assert "Testers prefer Test" in text_of(page) and "No unit has taken part yet." in text_of(page)
    assert not page.button and not page.subheader


def test_simulated_votes_are_marked_and_can_be_removed(show: Open, url: str) -> None:
    votes(url, 6, 3, simulated=True)
    page = show()
    assert "Simulated data" in text_of(page)
    assert [button.label for button in page.button] == ["Remove sample data"]


def test_an_experiment_that_asks_for_comparisons_says_how_to_get_them(show: Open, begin: Begin, tmp_path: Path) -> None:
    show(invented_traffic.better())
    running.close()
    definitions = tmp_path / "experiments.toml"
    text = definitions.read_text()
    definitions.write_text(text.replace("allocation = 100", "allocation = 100\ncompare = 25", 1))
    begin()
    assert "25 % of new units see two answers to each question" in text_of(visit())


def test_comparisons_can_be_downloaded(show: Open, url: str) -> None:
    votes(url, 6, 3)
    show()
    results = readouts.results(Window(EXPERIMENT))
    assert results is not None
    text = numbers.FILES["Comparisons (CSV)"].content(results, None, [])  # type: ignore[arg-type]
    row = next(csv.DictReader(io.StringIO(text.removeprefix(BOM))))
    assert (row["group"], row["votes"], row["wins"], row["verdict"]) == ("Test", "300", "180", "better")
    report = json.loads(numbers.FILES["Readout (JSON)"].content(results, None, []))  # type: ignore[arg-type]
    assert report["comparisons"]["treatments"]["Test"]["losses"] == 90
