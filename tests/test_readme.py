"""The README says what is there: every setting, command, event, parameter and file, and nothing else."""

import re
from pathlib import Path

import pytest

from lib.__main__ import COMMANDS
from lib.demo.knowledge import LONGEST, Knowledge, sections
from lib.domain.events import RATING_WITHDRAWN
from lib.domain.rating import RATINGS, REASONS, SIGNALS
from lib.experiments.console import SETUP_METRICS
from lib.experiments.definitions import KEYS, METRICS, read_definitions
from lib.metrics.counters import Metrics
from lib.models.parameters import check_parameters
from lib.settings import FIELDS
from tests.support.app_process import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CHAPTERS = dict(sections(README, depth=4))
LARGEST_PICTURE = 80_000
PARAMETERS = [
    ("model", "m"), ("provider", "openai"), ("system_prompt", "Be kind."), ("temperature", 1), ("top_p", 1),
    ("presence_penalty", 1), ("frequency_penalty", 1), ("max_tokens", 1), ("max_completion_tokens", 1), ("seed", 1),
    ("stop", "END"), ("reasoning_effort", "low"), ("verbosity", "low"),
]  # fmt: skip


def rows(chapter: str) -> list[list[str]]:
    """The cells of the chapter's table, its head left out."""
    lines = [line for line in CHAPTERS[chapter].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def names(text: str) -> list[str]:
    """What stands in code style."""
    return re.findall(r"`([^`]+)`", text)


def code(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def shown(default: object) -> str:
    """A default as the table tells it."""
    if default is None or default == ():
        return "none"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def test_every_setting_is_listed_once_and_no_other() -> None:
    told = [names(name) for name, _, _ in rows("Settings")]
    assert [name for name in told if "<NAME>" not in name[0]] == [[name] for name in FIELDS]
    assert ["PARLEY_PROVIDER_<NAME>_URL", "PARLEY_PROVIDER_<NAME>_KEY"] in told


SETTINGS = [(row[0].strip("`"), row[1]) for row in rows("Settings") if "<NAME>" not in row[0]]


@pytest.mark.parametrize(("name", "default"), SETTINGS)
def test_a_setting_has_the_default_that_is_told(name: str, default: str) -> None:
    in_words = {"OPENAI_BASE_URL": "OpenAI's", "STATSIG_API_URL": "Statsig's"}
    in_words["PARLEY_HISTORY_TOKENS"] = "by model"
    in_words["PARLEY_ABANDONED"] = "`finish`; `stop` with a budget"
    in_words["PARLEY_SIGNING_KEY"] = "made once, kept beside the SQLite file"
    assert default == in_words.get(name, shown(FIELDS[name].default))


def test_every_command_of_the_tool_is_told_and_no_other() -> None:
    told = {names(row[0])[0].split()[0] for row in rows("The operator's tool")}
    assert told == {command.name for command in COMMANDS}


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_a_command_that_is_told_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"(?:^|[ `])make (\w+)(?=[`\n ]*$|`)", text, re.MULTILINE)) <= set(targets)
    assert set(re.findall(r"python -m lib ([a-z-]+)", text)) <= {command.name for command in COMMANDS}


@pytest.mark.parametrize("target", ["run", "test", "lint", "browser"])
def test_the_plain_lines_are_what_make_does(target: str) -> None:
    recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    plain = "\n".join(code("sh")).splitlines()
    assert [line for line in recipe[1].replace("$(BIN)", ".venv/bin").split("\n\t") if line.strip() not in plain] == []


def test_every_room_is_listed_once_and_no_other() -> None:
    named = [name for row in rows("The code") for name in names(row[0])]
    rooms = [path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "lib").glob("*/__init__.py")]
    assert sorted(named) == sorted(
        ["streamlit_app.py", "pages", "lib/app.py", "lib/settings.py", "lib/logs.py", *rooms]
    )


def test_the_metrics_that_are_set_up_at_statsig_are_those_that_are_told() -> None:
    kinds = {"ratio": "ratio", "mean": "aggregation, average", "sum": "aggregation, sum"}
    told = [(names(name)[0], kind) for name, kind, _ in rows("Metrics to create in Statsig")]
    assert told == [(metric.name, kinds[metric.kind]) for metric in SETUP_METRICS]


def test_every_event_is_told_and_no_other() -> None:
    told = [name.strip("`") for name, _, _ in rows("Events")]
    known = ["exposure", "chat_completion", *RATINGS, RATING_WITHDRAWN, "feedback_reason", *SIGNALS]
    assert told == known
    assert [name for name in REASONS if f"`{name}`" not in CHAPTERS["Events"]] == []


def test_every_key_of_an_experiment_is_told_and_no_other() -> None:
    told = [names(row[0])[0].split(".")[0] for row in rows("What an experiment's table may say")]
    assert set(told) == set(KEYS)


@pytest.mark.parametrize("name, value", PARAMETERS)
def test_a_parameter_that_is_told_is_accepted(name: str, value: object) -> None:
    assert name in [told for row in rows("Parameters") for told in names(row[0])]
    assert check_parameters({name: value}, {}, "m").error is None


def test_no_parameter_is_told_that_is_not_accepted() -> None:
    assert {told for row in rows("Parameters") for told in names(row[0])} == {name for name, _ in PARAMETERS}


def test_every_metric_for_prometheus_is_told() -> None:
    families = re.findall(r"^# TYPE (parley_\w+) (?!gauge)", Metrics().text().decode(), re.MULTILINE)
    told = re.findall(r"^\| (.*?) \|", (ROOT / "docs" / "operations.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(families) <= set(re.findall(r"parley_\w+", " ".join(told)))


def test_the_experiment_that_is_shown_is_the_one_that_parley_comes_with() -> None:
    shipped = (ROOT / ".streamlit" / "experiments.toml").read_text(encoding="utf-8")
    assert code("toml", CHAPTERS["Local experiments"])[0].strip() in shipped


def test_what_is_shown_of_an_experiment_can_be_read() -> None:
    for example in code("toml"):
        assert read_definitions(example)


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_what_is_linked_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'(?:src|srcset)="([^"]+)"', text)]
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title, _ in sections(text, depth=4)}
    local = [link for link in links if not re.match(r"https?:", link)]
    assert [link for link in local if link.startswith("#") and link[1:] not in anchors] == []
    assert [link for link in local if not (document.parent / link.split("#")[0]).exists()] == []


def test_pictures_are_small() -> None:
    assert [path.name for path in (ROOT / "docs").glob("*.png") if path.stat().st_size > LARGEST_PICTURE] == []


def test_every_metric_of_a_readout_is_explained() -> None:
    text = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    assert [name for name in METRICS if f"`{name}`" not in text] == []


def test_the_demo_model_quotes_whole_chapters() -> None:
    assert {title: len(body) for title, body in CHAPTERS.items() if len(body) > LONGEST} == {}


@pytest.mark.parametrize(
    "question, chapter",
    [
        ("Show me a table of the settings", "Settings"),
        ("How do I run it?", "Run it"),
        ("which events are sent", "Events"),
        ("how do I connect statsig", "Connect a Statsig project"),
        ("is my data private", "Data and privacy"),
        ("who is an operator", "Operators and testers"),
        ("how do I host it", "Host it for others"),
        ("which parameters can I compare", "Parameters"),
        ("what happens when statsig cannot be reached", "What happens when Statsig cannot be reached"),
    ],
)
@pytest.mark.parametrize("thorough", [False, True], ids=["quick", "thorough"])
def test_the_demo_model_finds_the_chapter(question: str, chapter: str, thorough: bool) -> None:
    assert f"“{chapter}”" in Knowledge().answer(question, thorough=thorough)
