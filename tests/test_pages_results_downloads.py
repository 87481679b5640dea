"""The Results page's files: the readout, every table, and comments that are no formulas."""

import csv
import doctest
import io
import json
from typing import Any

import pytest
from sqlalchemy import update

from lib.commands import spreadsheet
from lib.commands.spreadsheet import BOM
from lib.readout.results import Window
from lib.store.schema import message
from pages import readouts
from pages.results import numbers, words
from tests.support import invented_traffic
from tests.support.invented_traffic import EXPERIMENT
from tests.support.results_page import Begin, change
from tests.support.results_page import begin as begin
from tests.support.results_page import url as url


@pytest.fixture
def files(begin: Begin, url: str) -> dict[str, str]:
    """Return the content of every file, by the label of its button."""
    invented_traffic.fill(url, invented_traffic.harmed())
    change(url, update(message).where(message.c.comment.is_not(None)).values(comment="=HYPERLINK(1)"))
    begin()
    window = Window(EXPERIMENT)
    results, details = readouts.results(window), readouts.details(window)
    assert results and details
    history = readouts.history(window, results)
    return {label: file.content(results, details, history) for label, file in numbers.FILES.items()}


def test_the_readout_can_be_downloaded_as_its_object(files: dict[str, str]) -> None:
    report = json.loads(files["Readout (JSON)"])
    assert report["verdict"] == "better"
    assert report["metrics"]["response_time"]["vs_control"]["Test"]["guardrail"] == "harmed"


def rows(text: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file that a person downloads."""
    assert text.startswith(BOM)
    return list(csv.DictReader(io.StringIO(text.removeprefix(BOM))))


def test_every_table_can_be_downloaded_with_its_numbers(files: dict[str, str]) -> None:
    tables = {label: rows(text) for label, text in files.items() if "CSV" in label}
    metrics = tables["All metrics (CSV)"]
    assert len(metrics) == 2 * (10 + 2)
    assert float(metrics[1]["cs_low"]) < float(metrics[1]["diff"]) < float(metrics[1]["cs_high"])
    assert sum(int(row["new_users"]) for row in tables["New users (CSV)"]) == 610
    assert tables["Difference over time (CSV)"][-1]["diff"] == metrics[1]["diff"]
    timed = sum(int(row["answers"]) for row in tables["Response times (CSV)"])
    assert timed == sum(float(row["sy"]) for row in metrics if row["metric"] == "response_time")


def test_a_comment_is_not_a_formula_in_a_spreadsheet(files: dict[str, str]) -> None:
    comments = [row["comment"] for row in rows(files["Reasons and comments (CSV)"])]
    assert "'=HYPERLINK(1)" in comments
    assert not any(comment.startswith("=") for comment in comments)


@pytest.mark.parametrize("module", [words, spreadsheet], ids=["words", "spreadsheet"])
def test_examples_in_docstrings_hold(module: Any) -> None:
    outcome = doctest.testmod(module)
    assert outcome.attempted and not outcome.failed
