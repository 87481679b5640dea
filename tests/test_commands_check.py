"""`check` beside a service: with the service's settings, and without a file that the service could not open."""

import os
import pwd
import re
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from lib.domain.models import TEST_MODEL
from lib.store import Store
from tests.support.app_process import ROOT
from tests.support.operator_tool import environment, run_tool
from tests.test_commands import folder as folder
from tests.test_commands import refusals

AS_ROOT = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root has two users here")


def test_a_check_before_the_first_start_makes_no_database(folder: Path) -> None:
    run = run_tool(folder, "check")
    assert any("data/parley.db is made at the first start" in line for line in run.lines), run.stdout
    assert not (folder / "data").exists()


def test_the_settings_of_the_service_are_taken_from_its_file(folder: Path) -> None:
    file = folder / "parley.env"
    file.write_text(
        "# Parley\n\nPARLEY_TITLE=\"Our chat\"\nexport PARLEY_UNIT='session'\nOPENAI_BASE_URL=http://127.0.0.1:9/v1\n"
    )
    (folder / ".streamlit" / "secrets.toml").write_text('PARLEY_MODEL = "of-the-file"\n')
    run = run_tool(folder, "check", "--env-file", "parley.env", PARLEY_BLIND="false", STATSIG_TIER="staging")
    text = "\n".join(run.lines)
    assert "parley.env sets OPENAI_BASE_URL, PARLEY_TITLE, PARLEY_UNIT" in text
    assert ".streamlit/secrets.toml sets PARLEY_MODEL" in text
    assert "the environment sets nothing" in text
    assert "http://127.0.0.1:9/v1" in text and "demo" not in text


@pytest.mark.parametrize(
    ("text", "problem"), [("PARLEY_TITLE\n", "line 1: must be NAME=value"), (None, "cannot be read")]
)
def test_an_env_file_that_is_malformed_or_missing_is_refused(folder: Path, text: str | None, problem: str) -> None:
    if text:
        (folder / "parley.env").write_text(text)
    run = run_tool(folder, "check", "--env-file", "parley.env")
    assert run.returncode == 2 and problem in run.stderr


def test_an_open_link_without_a_budget_is_reported_with_the_cost_of_abuse(folder: Path) -> None:
    settings = {"PARLEY_ACCESS": "open", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "PARLEY_MODEL": TEST_MODEL}
    (line,) = (line for line in run_tool(folder, "check", **settings).lines if "visitors" in line)
    one, everybody = (int(amount.replace(",", "")) for amount in re.findall(r"up to \$([\d,]+)", line))
    assert "one abusive network" in line and 0 < one < everybody
    (line,) = (
        line
        for line in run_tool(folder, "check", **settings, PARLEY_BUDGET_USD_PER_DAY="5").lines
        if "visitors" in line
    )
    assert "the budget is $5 a day" in line


@AS_ROOT
def test_root_makes_no_file_in_the_folder_of_another_user(folder: Path) -> None:
    data = folder / "data"
    data.mkdir(mode=0o700)
    shutil.chown(data, "nobody")
    run = run_tool(folder, "check")
    assert any("its folder belongs to nobody" in line for line in run.lines), run.stdout
    made = run_tool(folder, "invite", "--name", "Friends")
    assert made.returncode == 2 and "run this as nobody" in made.stderr
    assert list(data.iterdir()) == []


@AS_ROOT
def test_root_leaves_the_record_of_another_user_as_it_was(folder: Path) -> None:
    data = folder / "data"
    with closing(Store.open(f"sqlite:///{data}/parley.db")):
        pass
    owner = pwd.getpwnam("nobody").pw_uid
    for path in (data, *data.iterdir()):
        os.chown(path, owner, -1)
    run = run_tool(folder, "check")
    assert any("can be written" in line for line in run.lines), run.stdout
    assert {path.stat().st_uid for path in data.iterdir()} == {owner}


@AS_ROOT
def test_a_full_disk_is_reported(folder: Path) -> None:
    data = folder / "data"
    data.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", data], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine does not mount a file system")
    try:
        with closing(Store.open(f"sqlite:///{data}/parley.db")):
            pass
        run = run_tool(folder, "check")
        assert run.returncode == 1
        assert any("MB left: make room" in line for line in refusals(run)), run.stdout
    finally:
        subprocess.run(["umount", data], check=True)


def test_the_tool_runs_as_the_documents_say(folder: Path) -> None:
    """The wrapper of docs/operate.md, without the change of user."""
    (folder / "parley.env").write_text("PARLEY_TITLE=Chat\n")
    run = subprocess.run(
        [sys.executable, "-m", "lib", "check", "--env-file", "parley.env"], cwd=folder, capture_output=True,
        env=environment(),
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    assert "--env-file /etc/parley.env" in (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")


def test_the_experiment_of_the_record_is_checked_not_that_of_the_file(folder: Path) -> None:
    file = folder / ".streamlit" / "experiments.toml"
    file.write_text(file.read_text().replace("allocation", 'stop_on = ["error_rate"]\nallocation', 1))
    for words in (("create", "second"), ("start", "second")):
        assert run_tool(folder, "experiment", *words).returncode == 0
    output = run_tool(folder, "check").stdout
    assert "second compares Control, Test" in output and "statsig_openai_integration compares" not in output
    assert "the file changed after it" not in output
    assert run_tool(folder, "experiment", "start", "statsig_openai_integration").returncode == 0
    file.write_text(file.read_text().replace("weight = 50", "weight = 20", 1))
    output = run_tool(folder, "check").stdout
    assert "statsig_openai_integration: stop_on: a group that harms error_rate is switched off." in output
    assert (
        "statsig_openai_integration: version 1 by the experiments file is in force; the file changed after it" in output
    )


def test_the_readout_is_checked_with_the_record_and_not_with_the_file(folder: Path) -> None:
    (folder / "one.toml").write_text("[single.groups]\nAlone = { weight = 1 }\n")
    for words in (("apply", "single", "one.toml"), ("start", "single")):
        assert run_tool(folder, "experiment", *words).returncode == 0
    run = run_tool(folder, "simulate", "--users", "10", "--seed", "1", "--check", "1")
    assert run.returncode == 2 and "single has one group" in run.stderr
