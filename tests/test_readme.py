"""The documents match the code: every setting, command, event, parameter and file is listed, and no other."""

import re
from pathlib import Path

import pytest

from lib.__main__ import COMMANDS
from lib.demo.knowledge import LONGEST, Knowledge, manual, sections
from lib.domain.events import NAMES
from lib.domain.rating import REASONS
from lib.experiments.console import SETUP_METRICS
from lib.experiments.definitions import KEYS, METRICS, read_definitions
from lib.metrics.counters import Metrics
from lib.models.parameters import check_parameters
from lib.settings import FIELDS
from tests.support.app_process import ROOT

DOCS = ROOT / "docs"
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]
NAMED = [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in DOCUMENTS]
LONGEST_README = 200
LARGEST_PICTURE = 80_000
PARAMETERS = [
    ("model", "m"), ("provider", "openai"), ("system_prompt", "Be kind."), ("temperature", 1), ("top_p", 1),
    ("presence_penalty", 1), ("frequency_penalty", 1), ("max_tokens", 1), ("max_completion_tokens", 1), ("seed", 1),
    ("stop", "END"), ("reasoning_effort", "low"), ("verbosity", "low"),
]  # fmt: skip


def text_of(document: str) -> str:
    return (DOCS / document).read_text(encoding="utf-8")


def chapter(document: str, title: str) -> str:
    return dict(sections(text_of(document), depth=4))[title]


def rows(document: str, title: str) -> list[list[str]]:
    """Return the cells of a chapter's table without its header."""
    lines = [line for line in chapter(document, title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def names(text: str) -> list[str]:
    """Return the texts in code style."""
    return re.findall(r"`([^`]+)`", text)


def code(language: str, text: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def written_default(default: object) -> str:
    """Return a default as the table of settings writes it."""
    if default is None or default == ():
        return "none"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def test_every_setting_is_listed_once_and_no_other() -> None:
    listed = [names(name) for name, _, _ in rows("reference/settings.md", "Settings")]
    assert [name for name in listed if "<NAME>" not in name[0]] == [[name] for name in FIELDS]
    assert ["PARLEY_PROVIDER_<NAME>_URL", "PARLEY_PROVIDER_<NAME>_KEY"] in listed


SETTINGS = [(row[0].strip("`"), row[1]) for row in rows("reference/settings.md", "Settings") if "<NAME>" not in row[0]]


@pytest.mark.parametrize(("name", "default"), SETTINGS)
def test_a_setting_has_the_default_that_is_listed(name: str, default: str) -> None:
    in_words = {"OPENAI_BASE_URL": "OpenAI's", "STATSIG_API_URL": "Statsig's"}
    in_words["PARLEY_HISTORY_TOKENS"] = "by model"
    in_words["PARLEY_ABANDONED"] = "`finish`; `stop` with a budget"
    in_words["PARLEY_SIGNING_KEY"] = "made once, kept beside the SQLite file"
    assert default == in_words.get(name, written_default(FIELDS[name].default))


def test_every_command_of_the_tool_is_listed_and_no_other() -> None:
    listed = {names(row[0])[0].split()[0] for row in rows("reference/command-line.md", "The operator's tool")}
    assert listed == {command.name for command in COMMANDS}


@pytest.mark.parametrize("document", NAMED)
def test_every_command_in_a_document_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"(?:^|[ `])make (\w+)(?=[`\n ]*$|`)", text, re.MULTILINE)) <= set(targets)
    assert set(re.findall(r"python -m lib ([a-z][a-z-]+)", text)) <= {command.name for command in COMMANDS}


@pytest.mark.parametrize("target", ["run", "test", "lint", "browser"])
def test_the_plain_lines_do_the_same_as_make(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe
    lines = recipe[1].replace("PYTHONDONTWRITEBYTECODE= ", "")
    for name, value in re.findall(r"^(PYTEST|AT_ONCE) = (?:PYTHONDONTWRITEBYTECODE= )?(.+)$", makefile, re.MULTILINE):
        lines = lines.replace(f"$({name})", value)
    shown = "".join(block for document in DOCUMENTS for block in code("sh", document.read_text(encoding="utf-8")))
    wanted = [line.strip() for line in lines.replace("$(BIN)", ".venv/bin").splitlines()]
    assert [line for line in wanted if line not in shown.splitlines()] == []


def test_the_drawing_of_the_layers_names_every_room() -> None:
    named = set(re.findall(r"\blib\.(\w+)", code("", chapter("understand/architecture.md", "Rooms and layers"))[0]))
    rooms = {path.parent.name for path in (ROOT / "lib").glob("*/__init__.py")}
    assert named == rooms | {"app", "settings", "logs"}


def test_the_metrics_that_are_set_up_at_statsig_are_those_that_are_listed() -> None:
    kinds = {"ratio": "ratio", "mean": "aggregation, average", "sum": "aggregation, sum"}
    listed = [(names(name)[0], kind) for name, kind, _ in rows("set-up.md", "Metrics to create in Statsig")]
    assert listed == [(metric.name, kinds[metric.kind]) for metric in SETUP_METRICS]


def test_every_event_is_listed_and_no_other() -> None:
    listed = [name.strip("`") for name, _, _ in rows("reference/events.md", "Events")]
    assert listed == list(NAMES)
    assert [name for name in REASONS if f"`{name}`" not in chapter("reference/events.md", "Events")] == []


def test_every_key_of_an_experiment_is_listed_and_no_other() -> None:
    listed = [names(row[0])[0].split(".")[0] for row in rows("reference/experiments.md", "The experiment file")]
    assert set(listed) == set(KEYS)


@pytest.mark.parametrize("name, value", PARAMETERS)
def test_a_listed_parameter_is_accepted(name: str, value: object) -> None:
    assert name in [listed for row in rows("reference/parameters.md", "Parameters") for listed in names(row[0])]
    assert check_parameters({name: value}, {}, "m").error is None


def test_no_other_parameter_is_listed() -> None:
    assert {listed for row in rows("reference/parameters.md", "Parameters") for listed in names(row[0])} == {
        name for name, _ in PARAMETERS
    }


def test_every_metric_for_prometheus_is_listed() -> None:
    families = re.findall(r"^# TYPE (parley_\w+) (?!gauge)", Metrics().text().decode(), re.MULTILINE)
    listed = re.findall(r"^\| (.*?) \|", text_of("reference/http.md"), re.MULTILINE)
    assert set(families) <= set(re.findall(r"parley_\w+", " ".join(listed)))


def test_the_documents_show_the_shipped_experiment() -> None:
    shipped = (ROOT / ".streamlit" / "experiments.toml").read_text(encoding="utf-8")
    assert code("toml", text_of("run-an-experiment.md"))[0].strip() in shipped


def test_every_experiment_in_the_documents_can_be_read() -> None:
    for example in [*code("toml", text_of("set-up.md")), *code("toml", text_of("run-an-experiment.md"))]:
        assert read_definitions(example)


@pytest.mark.parametrize("document", NAMED)
def test_every_link_leads_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'(?:src|srcset)="([^"]+)"', text)]
    broken = []
    for link in (link for link in links if not re.match(r"https?:", link)):
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def anchors(document: Path) -> set[str]:
    titles = [title for title, _ in sections(document.read_text(encoding="utf-8"), depth=4)]
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= LONGEST_README


def test_the_readme_leads_to_every_document() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = {link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)}
    documents = {path.relative_to(ROOT).as_posix() for path in DOCS.rglob("*.md")}
    assert documents - linked == set()


def test_every_picture_is_shown_in_a_document_light_and_dark() -> None:
    shown = re.findall(
        r"pictures/([\w-]+\.png)",
        "".join(path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *DOCS.rglob("*.md"))),
    )
    pictures = [path.name for path in (DOCS / "pictures").iterdir()]
    assert sorted(set(shown)) == sorted(pictures)
    assert [one for one in pictures if one.replace("-light.", "-dark.") not in pictures] == []


def test_pictures_are_small() -> None:
    assert [path.name for path in DOCS.rglob("*.png") if path.stat().st_size > LARGEST_PICTURE] == []


def test_every_metric_of_a_readout_is_explained() -> None:
    text = text_of("understand/statistics.md")
    assert [name for name in METRICS if f"`{name}`" not in text] == []


def test_the_demo_model_quotes_whole_chapters() -> None:
    chapters = [
        (name, title, len(body))
        for name, path in manual().items()
        for title, body in sections(path.read_text(encoding="utf-8"), depth=4)
    ]
    assert [chapter for chapter in chapters if chapter[2] > LONGEST] == []


@pytest.mark.parametrize(
    "question, chapter",
    [
        ("Show me a table of the settings", "Settings"),
        ("How do I run it?", "Run it"),
        ("which events are sent", "Events"),
        ("how do I connect statsig", "Connect a Statsig project"),
        ("is my data private", "Data and privacy"),
        ("who is an operator", "Who is an operator"),
        ("how do I host it", "Host it for others"),
        ("which parameters can I compare", "Parameters"),
        ("what happens when statsig cannot be reached", "What happens when Statsig cannot be reached"),
    ],
)
@pytest.mark.parametrize("thorough", [False, True], ids=["quick", "thorough"])
def test_the_demo_model_finds_the_chapter(question: str, chapter: str, thorough: bool) -> None:
    assert f"“{chapter}”" in Knowledge().answer(question, thorough=thorough)
