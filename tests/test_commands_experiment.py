"""`experiment`, `history`, `audit` and `readout --run`: the life of an experiment from a terminal."""

import gzip
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.invented_readouts import agree
from tests.support.operator_tool import Run, run_tool

GOLDEN = Path(__file__).parent / "golden"
FILE = """
[greeting]
default = { model = "small" }
[greeting.groups]
Control = { weight = 50, parameters = { model = "small" } }
Test = { weight = 50, parameters = { model = "large" } }
[draft.groups]
A = { weight = 1 }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "experiments.toml").write_text(FILE)
    return tmp_path


def tool(folder: Path, *words: str) -> Run:
    return run_tool(folder, *words, PARLEY_EXPERIMENT="greeting", PARLEY_EXPERIMENTS_FILE="experiments.toml")


def output(folder: Path, *words: str) -> str:
    run = tool(folder, *words)
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    return run.stdout


def test_the_life_of_an_experiment_from_a_terminal(folder: Path) -> None:
    assert "greeting  In the experiments file; Parley has not started" in output(folder, "experiment", "list")
    assert "greeting: Paused" in output(folder, "experiment", "pause", "greeting", "--reason", "lunch")
    assert "greeting: Running, day 1, 100 % of users." in output(folder, "experiment", "start", "greeting")
    assert "greeting: Running" in output(folder, "experiment", "disable", "greeting", "Test", "--reason", "rude")
    assert "Run 2 has begun (Test was switched on again)" in output(folder, "experiment", "enable", "greeting", "Test")
    assert json.loads(output(folder, "readout", "--json"))["run"] == 2
    ended = output(folder, "experiment", "decide", "greeting", "--group", "Test", "--reason", "It reads better")
    assert "everybody gets the default" in ended
    exported = output(folder, "experiment", "export", "greeting")
    assert 'default = { model = "large" }' in exported
    history = output(folder, "history", "--markdown")
    assert "## Decision on greeting, run 2: Test" in history and "> It reads better" in history
    pictured = output(folder, "history", "--pictures", "kept")
    (picture,) = (folder / "kept").iterdir()
    assert f"(<kept/{picture.name}>)" in pictured and "![" not in history
    assert ElementTree.parse(picture).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert history.index("Decision on greeting") < history.index("## greeting, run 1")
    acts = [json.loads(line)["act"] for line in output(folder, "audit", "--format", "jsonl").splitlines()]
    assert acts[:5] == ["decide", "enable", "disable", "start", "pause"]
    assert output(folder, "audit", "--act", "decide", "--format", "csv").startswith(
        "time,operator,act,subject,details\n"
    )


def test_what_is_exported_can_be_applied_again(folder: Path) -> None:
    text = output(folder, "experiment", "export", "greeting").replace("weight = 50", "weight = 20", 1)
    (folder / "new.toml").write_text(text)
    output(folder, "experiment", "pause", "greeting")
    output(folder, "experiment", "apply", "greeting", "new.toml", "--reason", "fewer in control")
    shown = output(folder, "experiment", "show", "greeting")
    assert "(fewer in control)" in shown and "-weight = 50" in shown and "+weight = 20" in shown


def test_a_new_experiment_is_made_like_another_or_of_two_groups(folder: Path) -> None:
    assert "second: Draft" in output(folder, "experiment", "create", "second", "--like", "greeting")
    assert 'model = "large"' in output(folder, "experiment", "export", "second")
    assert "third: Draft" in output(folder, "experiment", "create", "third")
    assert output(folder, "experiment", "export", "third").count("weight = 50") == 2
    assert "second: Running" in output(folder, "experiment", "start", "second")
    listed = output(folder, "experiment", "list")
    assert "another experiment is the one that testers get" in listed.partition("greeting")[2].partition("\n")[0]


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (("create", "two words"), 1, "as Statsig takes them"),
        (("create", "greeting"), 1, "There is an experiment greeting already"),
        (("create", "new", "--like", "nobody"), 2, "no experiment nobody"),
        (("ramp", "greeting", "50"), 1, "a ramp only makes it larger"),
        (("end", "greeting", "--at", "2020-01-01"), 1, "The end lies in the past"),
        (("decide", "greeting", "--group", "Nope", "--reason", "why"), 1, "has no group Nope; it has Control, Test"),
        (("decide", "greeting", "--keep-default"), 1, "Say in a sentence why"),
        (("apply", "greeting", "broken.toml"), 2, "line 2: [greeting] allocation: expected a percentage"),
        (("show", "nobody"), 2, "no experiment nobody"),
        (("start", "draft", "--percent", "0"), 1, "no unit takes part"),
    ],
)
def test_an_impossible_act_is_refused_with_the_reason(
    folder: Path, words: tuple[str, ...], code: int, problem: str
) -> None:
    (folder / "broken.toml").write_text("[greeting]\nallocation = 120\n[greeting.groups]\nA = { weight = 1 }")
    run = tool(folder, "experiment", *words)
    assert run.returncode == code and problem in run.stderr and "raceback" not in run.stderr


def test_a_file_of_two_runs_is_read_one_run_at_a_time(tmp_path: Path) -> None:
    """The file has the known case `small` as run 1 and `aa` as run 2; each readout has the known numbers."""
    first, second = (gzip.decompress((GOLDEN / f"{case}.jsonl.gz").read_bytes()) for case in ("small", "aa"))
    lines = [json.loads(line) for line in first.splitlines()]
    for event in map(json.loads, second.splitlines()):
        about = event["metadata"]
        about |= {"run": 2} | ({"experiment": "golden_small"} if "experiment" in about else {})
        for place, key in ((event, "event_id"), (event, "user_id"), (about, "answer_id")):
            if key in place:
                place[key] = f"{place[key]}, run 2"
        lines.append(event)
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "experiments.toml").write_bytes((GOLDEN / "small.toml").read_bytes())

    def readout(*more: str) -> Run:
        words = ("readout", "--experiment", "golden_small", "--events", "events.jsonl", "--json", *more)
        return run_tool(tmp_path, *words, PARLEY_EXPERIMENTS_FILE="experiments.toml")

    for words, number, case in ((("--run", "1"), 1, "small"), ((), 2, "aa")):
        printed = json.loads(readout(*words).stdout)
        assert printed["run"] == number
        expected = json.loads((GOLDEN / f"{case}.json").read_text()) | {"experiment": "golden_small"}
        agree({key: printed[key] for key in expected}, expected, "")
    refused = readout("--run", "3")
    assert refused.returncode == 2 and "has no run 3 of golden_small; its last is run 2" in refused.stderr
