"""`python -m lib statsig-setup`: a project gets the experiment and its metrics, and the key goes nowhere else."""

import json
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.experiments.console import SETUP_METRICS, Console, ConsoleError
from tests.support import statsig_console
from tests.support.operator_tool import Run, environment, run_tool
from tests.support.waiting import ENOUGH_S

KEY = "console-Ab12cd34ef"
SETTINGS = {"PARLEY_EXPERIMENT": "chat_models"}
EXPERIMENTS = """
[chat_models]
unit = "stableID"
allocation = 80
default = { model = "small", temperature = 1 }
primary = "error_rate"
[chat_models.groups]
Control = { weight = 1, parameters = { model = "small" } }
Test = { weight = 2, parameters = { model = "large", temperature = 0.2 } }
["not.this"]
[ "not.this".groups]
A = { weight = 1 }
"""
CREATED = [*(f"metric {metric.name}" for metric in SETUP_METRICS), "experiment chat_models"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit/experiments.toml").write_text(EXPERIMENTS)
    return tmp_path


@pytest.fixture
def console() -> Iterator[statsig_console.Console]:
    with statsig_console.serve(KEY) as served:
        yield served


def setup(folder: Path, *words: str, **named: str) -> Run:
    return run_tool(folder, "statsig-setup", *words, **(SETTINGS | named))


def keyed(folder: Path, console: statsig_console.Console, **named: str) -> Run:
    named = {"STATSIG_CONSOLE_KEY": KEY, "STATSIG_API_URL": f"{console.address}/v1"} | named
    return setup(folder, **named)


def test_an_empty_project_gets_the_metrics_and_then_the_experiment(
    folder: Path, console: statsig_console.Console
) -> None:
    run = keyed(folder, console)
    assert run.returncode == 0, run.stderr
    assert re.findall(r"^created  (.*)$", run.stdout, re.MULTILINE) == CREATED
    assert console.objects["experiments", "chat_models"] == {
        "id": "chat_models", "name": "chat_models", "idType": "stableID", "allocation": 80,
        "description": "Set up by Parley, which assigns testers of its chat to these groups.",
        "hypothesis": "Another group is better than Control in errors_per_answer.", "sequentialTesting": True,
        "groups": [
            {"name": "Control", "size": 33.3, "parameterValues": {"model": "small", "temperature": 1}},
            {"name": "Test", "size": 66.7, "parameterValues": {"model": "large", "temperature": 0.2}},
        ],
        "primaryMetrics": [{"name": "errors_per_answer", "type": "ratio", "direction": "decrease"}],
        "secondaryMetrics": [
            {"name": metric.name, "type": metric.kind, "direction": metric.direction}
            for metric in SETUP_METRICS
            if metric.name != "errors_per_answer"
        ],
    }  # fmt: skip
    failed = console.objects["metrics", "errors_per_answer::ratio"]
    assert failed["metricEvents"][0]["criteria"] == [
        {"type": "value", "condition": "in", "values": ["error", "interrupted"]}
    ]
    assert failed["unitTypes"] == ["stableID"]
    assert {request.method for request in console.requests} == {"GET", "POST"}  # and nothing is started


def test_existing_objects_are_reported_and_not_changed(folder: Path, console: statsig_console.Console) -> None:
    keyed(folder, console)
    console.objects["experiments", "chat_models"]["groups"] = [{"name": "Other", "size": 100}]
    del console.objects["metrics", "cost_usd::sum"]
    before, console.requests[:] = json.dumps(console.objects["experiments", "chat_models"]), []
    run = keyed(folder, console)
    assert run.returncode == 0
    assert run.stdout.count("left alone") == len(SETUP_METRICS)
    assert "created  metric cost_usd" in run.stdout
    assert "its groups are Other 100 %, those of the local table Control 33.3 %, Test 66.7 %" in run.stdout
    assert json.dumps(console.objects["experiments", "chat_models"]) == before
    assert [request.method for request in console.requests].count("POST") == 1


def test_a_dry_run_needs_no_key_and_prints_the_requests(folder: Path, console: statsig_console.Console) -> None:
    dry = setup(folder, "--dry-run", STATSIG_API_URL=f"{console.address}/v1", STATSIG_CONSOLE_KEY="")
    assert (dry.returncode, console.requests) == (0, [])
    keyed(folder, console)
    for request in console.requests:
        assert f"{request.method} {console.address}{request.path}" in dry.stdout
        if request.body:
            assert json.dumps(request.body, indent=2) in dry.stdout
    assert "https://statsigapi.net/console/v1/experiments" in setup(folder, "--dry-run").stdout
    assert KEY not in dry.stdout


@pytest.mark.parametrize(
    ("fault", "words"),
    [(401, "does not take this key"), (403, "does not take this key"), (429, "run this again in 15 minutes"),
     (500, "refused it (500"), ("redirect", "sends elsewhere (302)"),
     ("garbage", "not as Statsig's Console API does")],
)  # fmt: skip
def test_a_failure_says_what_to_do_without_the_key(
    folder: Path, console: statsig_console.Console, fault: int | str, words: str
) -> None:
    console.fault = fault
    run = keyed(folder, console)
    assert run.returncode == 1 and words in run.stderr and "Traceback" not in run.stderr
    assert KEY not in run.stdout + run.stderr
    assert [request.path for request in console.requests if "elsewhere" in request.path] == []


def test_a_key_that_the_server_repeats_is_not_shown(folder: Path, console: statsig_console.Console) -> None:
    run = keyed(folder, console, STATSIG_CONSOLE_KEY="console-another1")
    assert run.returncode == 1 and "Key: [key]" in run.stderr
    assert "another1" not in run.stdout + run.stderr


def test_after_the_limit_the_next_run_continues(folder: Path, console: statsig_console.Console) -> None:
    console.mutations = 3
    run = keyed(folder, console)
    assert run.returncode == 1 and run.stdout.count("created") == 3
    console.mutations = 900
    run = keyed(folder, console)
    assert run.returncode == 0 and run.stdout.count("left alone") == 3 and run.stdout.count("created") == 4


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({}, "there is no console key: set STATSIG_CONSOLE_KEY"),
        ({"STATSIG_CONSOLE_KEY": "secret-hunter22"}, "that is no console key"),
        ({"STATSIG_CONSOLE_KEY": KEY, "STATSIG_API_URL": "http://statsig.example/v1"}, "in the open: use https"),
        ({"STATSIG_CONSOLE_KEY": KEY, "STATSIG_API_URL": "http://127.0.0.1:9/v1"}, "does not answer"),
        ({"STATSIG_CONSOLE_KEY": KEY, "PARLEY_EXPERIMENT": "not.this"}, "letters, digits, _ and -"),
    ],
)
def test_a_failed_request_is_reported(folder: Path, named: dict[str, str], words: str) -> None:
    run = setup(folder, **named)
    assert run.returncode == 1 and words in run.stderr and "Traceback" not in run.stderr
    assert "hunter22" not in run.stderr and KEY not in run.stderr


def test_an_unknown_experiment_is_a_mistake_of_usage(folder: Path) -> None:
    run = setup(folder, "--dry-run", PARLEY_EXPERIMENT="another")
    assert run.returncode == 2 and "has no experiment another" in run.stderr


def test_the_key_is_typed_without_being_shown(folder: Path, console: statsig_console.Console) -> None:
    terminal, other_end = pty.openpty()
    command = [sys.executable, "-m", "lib", "statsig-setup"]
    named = environment(**SETTINGS, STATSIG_API_URL=f"{console.address}/v1")
    run = subprocess.Popen(
        command, cwd=folder, env=named, stdin=other_end, stdout=other_end, stderr=other_end, start_new_session=True
    )
    os.close(other_end)
    shown = b""
    while b"not kept" not in shown:
        assert select.select([terminal], [], [], 60)[0], shown
        shown += os.read(terminal, 4096)
    os.write(terminal, KEY.encode() + b"\n")
    while True:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
    os.close(terminal)
    assert run.wait(ENOUGH_S) == 0, shown
    assert b"created  experiment chat_models" in shown and KEY.encode() not in shown
    assert not [path for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_a_console_does_not_print_its_key() -> None:
    assert KEY not in repr(Console(KEY))
    with pytest.raises(ConsoleError, match="in the open"):
        Console(KEY, "http://statsigapi.net")
