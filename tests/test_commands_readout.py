"""`python -m lib readout`: the known cases, the table, the store, and refusals."""

import gzip
import json
import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lib.domain import events
from lib.domain.assignment import Assignment
from lib.domain.completion import Completion
from lib.domain.conversation import Conversation, Question
from lib.domain.visitor import Visitor
from lib.experiments.evaluator import Experiments, compile_definitions
from lib.store import Store
from tests.support import statsig_server
from tests.support.operator_tool import Run, run_tool
from tests.support.waiting import ENOUGH_S

GOLDEN = Path(__file__).parent / "golden"


def parley(folder: Path, *words: str, **environ: str) -> Run:
    return run_tool(folder, "readout", *words, **environ)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The operator's folder, with the events and the definition of the small known case."""
    (tmp_path / "events.jsonl").write_bytes(gzip.decompress((GOLDEN / "small.jsonl.gz").read_bytes()))
    (tmp_path / "experiments.toml").write_bytes((GOLDEN / "small.toml").read_bytes())
    yield tmp_path


SMALL = {"PARLEY_EXPERIMENTS_FILE": "experiments.toml"}
NAMED = ("--experiment", "golden_small", "--events", "events.jsonl")


def test_a_file_is_read_out_as_one_object(folder: Path) -> None:
    run = parley(folder, *NAMED, "--json", **SMALL)
    assert (run.returncode, run.stderr) == (0, "")
    report, expected = json.loads(run.stdout), json.loads((GOLDEN / "small.json").read_text())
    assert (report["verdict"], report["as_of"]) == ("not_enough_data", "2026-10-05T13:35:09Z")
    assert report["delivery"] == {"events": 355, "acknowledged": None, "pending": None}
    theirs = expected["metrics"]["satisfaction"]["vs_control"]["b"]
    ours = report["metrics"]["satisfaction"]["vs_control"]["b"]
    assert all(math.isclose(ours[name], value, rel_tol=1e-9) for name, value in theirs.items() if name != "verdict")


def test_a_file_needs_no_database_and_makes_none(folder: Path) -> None:
    before = set(folder.rglob("*"))
    assert parley(folder, *NAMED, **SMALL).returncode == 0
    assert set(folder.rglob("*")) == before


def test_the_setting_names_the_experiment_where_the_option_does_not(folder: Path) -> None:
    run = parley(folder, "--events", "events.jsonl", PARLEY_EXPERIMENT="golden_small", **SMALL)
    assert run.stdout.startswith("golden_small: Not enough data\n")


def test_the_table_holds_every_metric_with_its_intervals(folder: Path) -> None:
    table = parley(folder, *NAMED, **SMALL).stdout
    assert "Not enough data yet: control has 9 users and b has 9 users with a rating, and each group needs 20." in table
    rows = {line.split("  ")[0]: line for line in table.splitlines()}
    assert "23 [11, 41]" in rows["satisfaction (primary)"]
    assert "– not enough data" in rows["satisfaction (primary)"]
    assert {
        "answers rated",
        "thumbs up per answer",
        "answers copied",
        "errors (guardrail)",
        "response time p50",
        "response time p95",
        "cost per answer",
    } <= rows.keys()
    assert "Split check: as configured (log e = -0.04)." in table


def test_unreadable_lines_are_reported_on_stderr_and_the_rest_counts(folder: Path) -> None:
    with (folder / "events.jsonl").open("a") as lines:
        lines.write('{"event_id": "cut o')
    run = parley(folder, *NAMED, "--json", **SMALL)
    assert run.returncode == 0
    assert json.loads(run.stdout)["delivery"]["events"] == 355
    assert run.stderr.splitlines() == ["line 356: not JSON", "1 line could not be read and is not in the readout."]
    assert json.loads(run.stdout)["unreadable"] == 1


def test_more_than_one_unreadable_line_in_a_hundred_exits_with_1(folder: Path) -> None:
    with (folder / "events.jsonl").open("a") as lines:
        lines.write("?\n" * 4)
    run = parley(folder, *NAMED, "--json", **SMALL)
    assert run.returncode == 1
    assert json.loads(run.stdout)["unreadable"] == 4
    assert "That is more than 1 % of the 359 lines: the readout is not to be relied on." in run.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--experiment", "another", "--events", "events.jsonl"), "no experiment another; it has golden_small"),
        (
            ("--experiment", "golden_small", "--events", "missing.jsonl"),
            "missing.jsonl cannot be read: No such file or directory",
        ),
        (("--experiment", "golden_small", "--events", "."), ". cannot be read: Is a directory"),
        (("--simulated",), "usage:"),
    ],
)
def test_an_impossible_readout_is_refused_in_a_line(folder: Path, words: tuple[str, ...], problem: str) -> None:
    run = parley(folder, *words, **SMALL)
    assert (run.returncode, run.stdout) == (2, "")
    assert problem in run.stderr and "Traceback" not in run.stderr


def test_a_broken_definition_is_reported_with_its_line(folder: Path) -> None:
    text = (folder / "experiments.toml").read_text()
    (folder / "experiments.toml").write_text(text.replace('primary = "satisfaction"', 'primary = "happiness"'))
    run = parley(folder, *NAMED, **SMALL)
    assert run.returncode == 2
    assert "experiments.toml: line 6: [golden_small] primary: no such metric: 'happiness'" in run.stderr


def converse(store: Store, number: int, *, simulated: bool) -> None:
    group = ("control", "b")[number % 2]
    user = f"{'s' if simulated else 'u'}{number}"
    assigned = Assignment("golden_small", group, group, user, {"userID": user}, {})
    conversation = Conversation(f"c-{user}", user, assigned, simulated=simulated)
    question = Question(f"a-{user}", conversation.id, "s", 1, "large-model", assigned, simulated)
    ended = Completion("text", "stop", 1.0 + number, 0.5)
    store.conversations.ask(conversation, question, "Why?", events.exposure(assigned, "s", simulated=simulated))
    assert store.conversations.finish(question, ended, events.chat_completion(question, ended)).wait(ENOUGH_S)


def test_the_store_is_read_out(folder: Path) -> None:
    with closing(Store.open(f"sqlite:///{folder}/data/parley.db")) as store:
        for number in range(5):
            converse(store, number, simulated=False)
        for number in range(9):
            converse(store, number, simulated=True)
    run = parley(folder, "--experiment", "golden_small", "--json", **SMALL)
    report = json.loads(run.stdout)
    assert (run.returncode, run.stderr) == (0, "")
    assert report["srm"]["counts"] == {"control": 3, "b": 2}
    assert report["delivery"] == {"events": 10, "acknowledged": 0, "pending": 0}
    assert report["metrics"]["response_time"]["groups"]["b"]["value"] == 3.0


def test_a_store_with_simulated_visitors_alone_is_read_out_and_called_so(folder: Path) -> None:
    with closing(Store.open(f"sqlite:///{folder}/data/parley.db")) as store:
        for number in range(4):
            converse(store, number, simulated=True)
    report = json.loads(parley(folder, "--experiment", "golden_small", "--json", **SMALL).stdout)
    assert report["sentence"].startswith("In simulated data:")
    assert report["srm"]["counts"] == {"control": 2, "b": 2}


def test_an_empty_store_is_reported_as_empty(folder: Path) -> None:
    run = parley(folder, "--experiment", "golden_small", **SMALL)
    assert run.returncode == 0
    assert "nobody has met this experiment" in run.stdout


def test_a_store_that_cannot_be_opened_exits_with_1(folder: Path) -> None:
    (folder / "data").write_text("not a folder")
    run = parley(folder, "--experiment", "golden_small", **SMALL)
    assert run.returncode == 1
    assert "cannot be used" in run.stderr and "Traceback" not in run.stderr


def test_with_a_key_the_groups_are_those_that_statsig_served_last_and_it_is_not_asked(folder: Path) -> None:
    served = (folder / "experiments.toml").read_text().replace("b = { weight = 0.5", "b = { weight = 1.5")
    key = "secret-Ab12"
    with statsig_server.serve(compile_definitions(served)[0]) as statsig:
        stored: list[str] = []
        with closing(
            Experiments.open(folder / "experiments.toml", key=key, api_url=statsig.url, keep=stored.append)
        ) as asked:
            asked.assign(Visitor("u", "u", "u", "s"), "golden_small")
        with closing(Store.open(f"sqlite:///{folder}/data/parley.db")) as store:
            for number in range(8):
                converse(store, number, simulated=False)
            assert store.keep_definitions("statsig", stored[0]).wait(ENOUGH_S)
        before = len(statsig.requests)
        environ = SMALL | {"STATSIG_SECRET_KEY": key, "STATSIG_API_URL": statsig.url}
        run = parley(folder, "--experiment", "golden_small", "--json", **environ)
        assert len(statsig.requests) == before
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout)["srm"]["chi2"] == pytest.approx((4 - 2) ** 2 / 2 + (4 - 6) ** 2 / 6)


# Comparisons


COMPARED = {"PARLEY_EXPERIMENTS_FILE": "compare.toml"}


@pytest.fixture
def compared(folder: Path) -> Path:
    """The operator's folder with the events and the definition of the known comparisons added."""
    (folder / "compare.jsonl").write_bytes(gzip.decompress((GOLDEN / "compare-small.jsonl.gz").read_bytes()))
    (folder / "compare.toml").write_bytes((GOLDEN / "compare-small.toml").read_bytes())
    return folder


def test_the_table_has_comparisons_apart_from_the_a_b_test(compared: Path) -> None:
    run = parley(compared, "--experiment", "golden_compare_small", "--events", "compare.jsonl", **COMPARED)
    assert run.returncode == 0, run.stderr
    at = run.lines.index("Comparisons: Better")
    assert run.lines[at + 1].startswith(
        "Testers prefer b: it wins 81 % of the comparisons that had a winner (14 people,"
    )
    assert run.lines[at + 2] == "14 people gave 71 votes: 39 for b, 9 for control, 18 ties (both good), 5 both bad."
    assert not any("Testers" in line for line in run.lines[:at])


def test_the_json_has_comparisons_or_null(compared: Path) -> None:
    run = parley(compared, "--experiment", "golden_compare_small", "--events", "compare.jsonl", "--json", **COMPARED)
    report = json.loads(run.stdout)
    assert report["comparisons"]["sentence"].startswith("Testers prefer b")
    assert report["comparisons"]["treatments"]["b"]["votes"] == 71
    assert json.loads(parley(compared, *NAMED, "--json", **SMALL).stdout)["comparisons"] is None


# Planning


def test_the_plan_needs_no_database_and_makes_none(folder: Path) -> None:
    run = run_tool(folder, "plan", "--experiment", "golden_small", "--lift", "0.1", "--testers-per-day", "30", **SMALL)
    assert run.returncode == 0, run.stderr
    assert "A/B test                         1,200    40" in run.lines
    assert any(line.startswith("Let testers compare: that takes ") for line in run.lines)
    assert not (folder / "data").exists()


def test_a_plan_for_figures_that_cannot_be_is_refused(folder: Path) -> None:
    run = run_tool(folder, "plan", "--experiment", "golden_small", "--lift", "0.9", **SMALL)
    assert run.returncode == 2 and "a lift is between" in run.stderr
    assert run_tool(folder, "plan", "--experiment", "nobody", **SMALL).returncode == 2
