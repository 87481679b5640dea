import csv
import io
import json
import os
import pty
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lib import __version__
from lib.commands import export
from lib.commands.spreadsheet import cell
from lib.domain import events
from lib.domain.assignment import Assignment
from lib.domain.completion import Completion, Usage
from lib.domain.conversation import Conversation, Question
from lib.domain.events import Event
from lib.domain.models import CONTROL_MODEL, TEST_MODEL
from lib.domain.rating import SIGNALS
from lib.experiments.evaluator import read_file
from lib.store import Store
from tests.support import openai_server, statsig_server
from tests.support.app_process import ROOT
from tests.support.operator_tool import Run, environment, run_tool
from tests.support.statsig_specs import NAMED
from tests.support.waiting import ENOUGH_S

EXPERIMENTS = ROOT / ".streamlit/experiments.toml"
IDS = {"userID": "u", "stableID": "u", "sessionID": "s"}
ASSIGNED = Assignment("exp", "Test", "rule", "u", IDS, {"model": "large-model"})
ENDED = Completion(
    "Because, it “said”\n=1+1 👋", "stop", 1.5, 0.5, Usage(10, 20, 30, 5, 7, "server"), "large-0613", error="None",
    parameter_error="seed", dropped_parameters=("top_p", "seed"), cost_usd=0.0000015,
)  # fmt: skip
BEGAN_MS = 1_793_491_200_000  # 2026-11-01, UTC
QUESTION = Question("a1", "c1", "s", 1, "large-model", ASSIGNED)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The operator's folder: an experiments file, and no database yet."""
    (tmp_path / ".streamlit").mkdir()
    shutil.copy(EXPERIMENTS, tmp_path / ".streamlit")
    return tmp_path


def every_event() -> list[Event]:
    """Return one event of each kind, a second apart."""
    completed = events.chat_completion(QUESTION, ENDED)
    metadata = completed.metadata
    kinds = [
        events.exposure(ASSIGNED, "s", simulated=True),
        completed,
        events.rating(QUESTION, metadata, "satisfaction", 2.0),
        events.rating_withdrawn(QUESTION, metadata, "satisfaction", 3),
        events.feedback_reason(QUESTION, metadata, "wrong"),
        *(events.signal(QUESTION, name) for name in SIGNALS),
    ]
    return [replace(event, time_ms=BEGAN_MS + 1_000 * number) for number, event in enumerate(kinds)]


def fill(folder: Path, many: int = 0) -> None:
    """Fill a database with one answered and rated question, and `many` more events."""
    (folder / "data").mkdir(exist_ok=True)
    exposure, completed, rated, *_ = every_event()
    with closing(Store.open(f"sqlite:///{folder}/data/parley.db")) as store:
        conversation = Conversation("c1", "v", ASSIGNED)
        store.conversations.ask(conversation, QUESTION, "Why?", exposure)
        store.conversations.finish(QUESTION, ENDED, completed)
        store.conversations.rate("a1", "satisfaction", rated)
        assert store.events.record([events.signal(QUESTION, "copied") for _ in range(many)]).wait(ENOUGH_S)


# The tool itself


def test_the_version_is_reported_without_loading_anything(folder: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "lib", "--version"]
    run = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    assert run.stdout == f"parley {__version__}\n"
    assert not [word for word in ("pydantic", "sqlalchemy", "statsig", "openai", "streamlit") if word in run.stderr]


@pytest.mark.parametrize(
    "words",
    [[], ["dance"], ["export"], ["export", "--format", "xml"], ["export", "--format", "csv", "--since", "soon"]],
)
def test_wrong_usage_exits_with_2(folder: Path, words: list[str]) -> None:
    run = run_tool(folder, *words)
    assert (run.returncode, run.stdout) == (2, "")
    assert "usage:" in run.stderr


@pytest.mark.parametrize("words", [["check"], ["export", "--format", "jsonl"]])
def test_wrong_settings_exit_with_2_and_a_line_for_each_problem(folder: Path, words: list[str]) -> None:
    run = run_tool(folder, *words, PARLEY_BLIND="perhaps", PARLEY_MODLE="x", OPENAI_API_KEY="hunter 22")
    assert (run.returncode, run.stdout) == (2, "")
    assert len(run.stderr.splitlines()) == 3
    assert "PARLEY_BLIND" in run.stderr and "PARLEY_MODLE" in run.stderr and "hunter" not in run.stderr


# export


def test_jsonl_has_every_event_as_the_contract_has_it(folder: Path) -> None:
    fill(folder)
    run = run_tool(folder, "export", "--format", "jsonl")
    assert run.returncode == 0, run.stderr
    parsed = [json.loads(line) for line in run.lines]
    assert [event["name"] for event in parsed] == ["exposure", "chat_completion", "satisfaction"]
    assert {tuple(event) for event in parsed} == {("event_id", "name", "time", "user_id", "value", "metadata")}
    assert parsed[1]["metadata"]["response_time"] == 1.5
    assert "said" not in run.stdout and "Why?" not in run.stdout


def test_text_is_exported_only_when_asked_for(folder: Path) -> None:
    fill(folder)
    run = run_tool(folder, "export", "--format", "jsonl", "--text")
    (text,) = (event["text"] for event in map(json.loads, run.lines) if "text" in event)
    assert text == {"question": "Why?", "answer": ENDED.text, "comment": None, "reasoning": None}


def test_csv_has_stable_columns(folder: Path) -> None:
    empty = run_tool(folder, "export", "--format", "csv")
    assert empty.lines == [",".join(export.columns())]
    fill(folder)
    rows = list(csv.DictReader(io.StringIO(run_tool(folder, "export", "--format", "csv", "--text").stdout)))
    assert list(rows[0]) == [*export.columns(), "question", "answer", "comment", "reasoning"]
    exposed, completed, rated = rows
    assert (exposed["group"], exposed["forced"], exposed["value"], exposed["turn"]) == ("Test", "false", "", "")
    assert (completed["value"], completed["cost_usd"], completed["turn"]) == ("stop", "1.5e-06", "1")
    assert (completed["question"], completed["answer"]) == ("Why?", cell(ENDED.text))
    assert (rated["value"], rated["rating_delay"], rated["question"]) == ("1", "2.0", "")


def test_parquet_has_the_same_columns_with_types(folder: Path) -> None:
    fill(folder)
    run = run_tool(folder, "export", "--format", "parquet", "--text")
    assert run.returncode == 0, run.stderr
    table = pq.read_table(io.BytesIO(run.raw))
    assert table.column_names == list(export.columns(text=True))
    exposed, completed, rated = table.to_pylist()
    assert (exposed["group"], exposed["forced"], exposed["value"], exposed["turn"]) == ("Test", False, None, None)
    assert (completed["response_time"], completed["completion_tokens"], completed["answer"]) == (1.5, 20, ENDED.text)
    assert (rated["name"], rated["value"], rated["rating_delay"]) == ("satisfaction", "1", 2.0)
    assert isinstance(rated["time"], int)


def test_parquet_of_nothing_is_a_table_without_rows(folder: Path) -> None:
    run = run_tool(folder, "export", "--format", "parquet")
    table = pq.read_table(io.BytesIO(run.raw))
    assert (table.num_rows, table.column_names) == (0, list(export.columns()))


def test_parquet_is_written_in_groups_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "GROUP_OF_ROWS", 3)
    sink = io.BytesIO()
    export.write((event.wire() for event in every_event()), "parquet", sink)
    sizes = [group["num_rows"] for group in _groups(sink)]
    assert sizes == [3, 3, 2]


def _groups(sink: io.BytesIO) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = pq.read_metadata(sink).to_dict()["row_groups"]
    return written


def test_no_field_of_any_event_is_without_a_column() -> None:
    assert [event.name for event in every_event() if "other" in export.flatten(event.wire())] == []


def test_an_unknown_field_is_kept() -> None:
    line = every_event()[1].wire()
    line["metadata"] |= {"colour": "blue", "turn": "first", "nothing": None}
    row = export.flatten(line)
    assert json.loads(row["other"]) == {"colour": "blue", "turn": "first"}
    assert "turn" not in row


def test_only_events_since_a_day_are_exported(folder: Path) -> None:
    fill(folder)
    for since, many in (("2026-11-01", 3), ("2026-11-01T01:00:01+01:00", 2), ("2026-11-02", 0)):
        assert len(run_tool(folder, "export", "--format", "jsonl", "--since", since).lines) == many


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_closed_pipe_is_not_an_error(folder: Path, form: str) -> None:
    fill(folder, many=30_000)
    command = [sys.executable, "-m", "lib", "export", "--format", form]
    with subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as tool:
        assert tool.stdout is not None and tool.stderr is not None
        assert tool.stdout.read(1)
        tool.stdout.close()
        assert (tool.wait(ENOUGH_S), tool.stderr.read()) == (0, b"")


def test_parquet_is_not_written_to_a_terminal(folder: Path) -> None:
    terminal, other_end = pty.openpty()
    command = [sys.executable, "-m", "lib", "export", "--format", "parquet"]
    run = subprocess.run(command, cwd=folder, env=environment(), stdout=other_end, stderr=subprocess.PIPE)
    os.close(other_end)
    os.close(terminal)
    assert run.returncode == 2
    assert b"terminal" in run.stderr


def test_an_export_from_a_file_that_is_no_database_says_why(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data/parley.db").write_text("this is no database, whatever it is called" * 100)
    run = run_tool(folder, "export", "--format", "jsonl")
    assert (run.returncode, run.stdout) == (1, "")
    assert "parley.db" in run.stderr and "Traceback" not in run.stderr


# purge


def test_a_purge_deletes_only_with_consent(folder: Path) -> None:
    fill(folder, many=5)
    preview = run_tool(folder, "purge", "--before", "2026-11-02")
    assert preview.returncode == 0 and preview.lines[0] == "3 events from before 2026-11-02 00:00 UTC can be deleted."
    assert "Nothing was deleted yet: repeat this with --yes." in preview.lines[-1]
    assert len(run_tool(folder, "export", "--format", "jsonl").lines) == 8
    done = run_tool(folder, "purge", "--before", "2026-11-02", "--yes")
    assert done.returncode == 0 and done.lines[0] == "3 events from before 2026-11-02 00:00 UTC were deleted."
    assert len(run_tool(folder, "export", "--format", "jsonl").lines) == 5
    again = run_tool(folder, "purge", "--before", "2026-11-02", "--yes")
    assert (again.returncode, again.lines) == (0, ["0 events from before 2026-11-02 00:00 UTC were deleted."])


def test_a_purge_of_the_future_is_refused(folder: Path) -> None:
    run = run_tool(folder, "purge", "--before", "2999-01-01", "--yes")
    assert run.returncode == 2 and "lies in the future" in run.stderr
    assert run_tool(folder, "purge", "--yes").returncode == 2


# check


def refusals(run: Run) -> list[str]:
    """Return the lines about problems, without the one about an open link that has no budget."""
    return [line for line in run.lines if not line.startswith(("ok ", "warn visitors"))]


def test_a_fresh_machine_passes_the_check(folder: Path) -> None:
    run = run_tool(folder, "check")
    assert (run.returncode, refusals(run)) == (0, []), run.stderr
    parts = {line.split()[1] for line in run.lines}
    assert parts == {"settings", "database", "experiments", "experiment", "model", "prices"}


def test_a_model_server_that_has_the_models_passes_the_check(folder: Path) -> None:
    with openai_server.serve() as server:
        run = run_tool(folder, "check", OPENAI_BASE_URL=server.base_url)
        assert (run.returncode, refusals(run)) == (0, [])
        assert [request.path for request in server.listings] == ["/v1/models"] and not server.requests


def test_a_model_that_the_server_lacks_is_reported(folder: Path) -> None:
    with openai_server.serve() as server:
        server.models = [CONTROL_MODEL, "llama"]
        run = run_tool(folder, "check", OPENAI_BASE_URL=server.base_url)
    (line,) = refusals(run)
    assert run.returncode == 1
    assert f"Test: {TEST_MODEL} is not at openai" in line and "llama" in line


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Serve this answer to every request; yield the base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (401, b'{"error": {"message": "Incorrect API key provided: sk-hunter22"}}', "OPENAI_API_KEY"),
        (200, b"<html>welcome</html>", "an HTML page came instead of a list of models; is OPENAI_BASE_URL the whole"),
        (200, b"", "an empty body came instead of a list of models"),
        (500, b"", "later"),
    ],
)
def test_problems_of_the_model_server_are_reported(folder: Path, status: int, body: bytes, problem: str) -> None:
    with answering(status, body) as base_url:
        run = run_tool(folder, "check", OPENAI_BASE_URL=base_url, OPENAI_API_KEY="sk-hunter22")
    (line,) = refusals(run)
    assert run.returncode == 1
    assert problem in line and "127.0.0.1" in line
    assert "hunter22" not in run.stdout + run.stderr and "Traceback" not in run.stderr


@pytest.mark.parametrize("status", [404, 405])
def test_a_server_without_a_list_of_models_does_not_fail_the_check(folder: Path, status: int) -> None:
    with answering(status, b"not here") as base_url:
        run = run_tool(folder, "check", OPENAI_BASE_URL=base_url)
    (line,) = refusals(run)
    assert run.returncode == 0
    assert line.startswith("warn") and "cannot be listed" in line and "/v1" in line


def test_an_address_that_lists_its_models_in_another_apis_form_is_reported(folder: Path) -> None:
    body = {"models": [{"name": "models/any", "supportedGenerationMethods": ["generateContent"]}]}
    with answering(200, json.dumps(body).encode()) as base_url:
        run = run_tool(folder, "check", OPENAI_BASE_URL=base_url)
    warning = next(line for line in refusals(run) if line.startswith("warn"))
    assert "Gemini's own API" in warning and "set OPENAI_BASE_URL" in warning and "/v1beta/openai" in warning


def test_a_model_server_that_is_not_there_is_reported(folder: Path) -> None:
    run = run_tool(folder, "check", OPENAI_BASE_URL="http://u:hunter22@127.0.0.1:9/v1")
    (line,) = refusals(run)
    assert "127.0.0.1:9" in line and "does the server run" in line and "hunter22" not in line


def specs() -> dict[str, Any]:
    served, _ = read_file(EXPERIMENTS)
    return served | {"time": 5}


def test_a_statsig_that_serves_the_experiment_passes_the_check(folder: Path) -> None:
    with statsig_server.serve(specs()) as statsig:
        run = run_tool(folder, "check", STATSIG_SECRET_KEY="secret-hunter22", STATSIG_API_URL=statsig.url)
        assert statsig.events == []
    assert (run.returncode, refusals(run)) == (0, []), run.stderr
    assert any("statsig" in line and "serves" in line for line in run.lines)


@pytest.mark.parametrize("fault", [401, "reset", "garbage"])
def test_problems_of_statsig_are_reported(folder: Path, fault: int | str) -> None:
    with statsig_server.serve(specs()) as statsig:
        statsig.specs_fault = fault
        run = run_tool(folder, "check", STATSIG_SECRET_KEY="secret-hunter22", STATSIG_API_URL=statsig.url)
    (line,) = refusals(run)
    assert run.returncode == 1
    assert "statsig" in line and "STATSIG_SECRET_KEY" in line
    assert "hunter22" not in run.stdout + run.stderr


def test_an_experiment_that_statsig_does_not_have_is_reported(folder: Path) -> None:
    with statsig_server.serve(specs()) as statsig:
        run = run_tool(
            folder, "check", STATSIG_SECRET_KEY="secret-x", STATSIG_API_URL=statsig.url, PARLEY_EXPERIMENT="another"
        )
    (line,) = refusals(run)
    assert "Statsig has no experiment or layer named another" in line


@pytest.mark.parametrize(
    ("shape", "code", "words"),
    [
        ("company_unit", 1, "by companyID, an id that Parley does not send"),
        ("not_started", 0, "has not started at Statsig"),
        ("shipped", 0, "A decision was made at Statsig: everybody gets Test"),
    ],
)
def test_the_experiments_state_at_statsig_is_reported(folder: Path, shape: str, code: int, words: str) -> None:
    with statsig_server.serve(NAMED[shape]()) as statsig:
        run = run_tool(folder, "check", STATSIG_SECRET_KEY="secret-x", STATSIG_API_URL=statsig.url)
    assert [line for line in run.lines if words in line], run.stdout
    assert len([line for line in refusals(run) if "experiment" in line]) == code


def test_an_experiment_that_the_file_does_not_have_is_reported(folder: Path) -> None:
    (line,) = refusals(run_tool(folder, "check", PARLEY_EXPERIMENT="another"))
    assert "experiments.toml has no experiment or layer named another" in line


def test_a_broken_experiments_file_is_reported_beside_the_rest(folder: Path) -> None:
    (folder / ".streamlit/experiments.toml").write_text("[a]\nunit = 'userID'\n[a.groups]\nA = { weight = -1 }\n")
    run = run_tool(folder, "check")
    assert run.returncode == 1
    assert all("experiments.toml" in line for line in refusals(run)) and refusals(run)
    assert any(f"{CONTROL_MODEL} is there" in line for line in run.lines)


def test_a_parameter_that_cannot_be_sent_is_reported(folder: Path) -> None:
    file = folder / ".streamlit/experiments.toml"
    file.write_text(file.read_text().replace(f'"{TEST_MODEL}" }} }}', f'"{TEST_MODEL}", temperature = 9 }} }}'))
    (line,) = refusals(run_tool(folder, "check"))
    assert "group Test" in line and "temperature" in line


def test_a_database_that_cannot_be_used_is_reported_without_its_password(folder: Path) -> None:
    run = run_tool(
        folder, "check", DATABASE_URL="postgresql+psycopg://u:hunter22@127.0.0.1:9/parley", PARLEY_SIGNING_KEY="k" * 32
    )
    (line,) = refusals(run)
    assert line.startswith("NO   database") and "127.0.0.1" in line
    assert "hunter22" not in run.stdout + run.stderr


def test_a_budget_that_cannot_be_kept_is_reported(folder: Path) -> None:
    with openai_server.serve() as server:
        server.models.append("llama")
        environ = {"OPENAI_BASE_URL": server.base_url, "PARLEY_BUDGET_USD_PER_DAY": "5"}
        assert refusals(run_tool(folder, "check", **environ)) == []
        file = folder / ".streamlit/experiments.toml"
        file.write_text(file.read_text().replace(TEST_MODEL, "llama"))
        (line,) = refusals(run_tool(folder, "check", **environ))
    assert "PARLEY_BUDGET_USD_PER_DAY" in line and "llama" in line
