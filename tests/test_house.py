"""The rules of the code base: imports, facts that are stated in one place, and words that no file may contain."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.support.syntax import parsed

ROOT = Path(__file__).parent.parent


def sources() -> list[Path]:
    return sorted([ROOT / "streamlit_app.py", *(ROOT / "lib").rglob("*.py"), *(ROOT / "pages").rglob("*.py")])


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
FACES = {
    contract["allowed_importers"][0]: sorted(line.rpartition(".")[2] for line in contract["ignore_imports"])
    for contract in LINTER["contracts"]
    if contract["type"] == "protected"
}


def test_a_room_names_the_modules_that_others_may_import() -> None:
    for room in set(FACES) - {"lib.store"}:  # the store's face is its class
        face = importlib.import_module(room)
        modules = [name for name in face.__all__ if (ROOT / room.replace(".", "/") / f"{name}.py").exists()]
        assert sorted(modules) == FACES[room] and 2 <= len(modules) <= 8, room


def test_importing_a_plain_room_loads_no_heavy_package() -> None:
    code = "import sys, lib.domain.events, lib.settings, lib.access.identity, lib.chat.generation; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"streamlit", "openai", "statsig", "sqlalchemy", "pandas", "numpy"} & set(run.stdout.split())


def test_a_module_says_what_it_owns() -> None:
    assert [name_of(path) for path in sources() if len(ast.get_docstring(parsed(path)) or "") <= 40] == []


def test_the_names_of_events_are_spelt_in_one_place() -> None:
    """Ratings and signals are left out: mypy holds those to their `Literal`s."""
    names = re.compile(r"\b(chat_completion|rating_withdrawn|feedback_reason)\b|^exposure$")
    spelt = {
        name_of(path): texts
        for path in sources()
        if path.name != "events.py" and (texts := [text for text in _strings(parsed(path)) if names.search(text)])
    }
    assert spelt == {"lib.store.schema": ["exposure"]}  # there it is a table's name


def _strings(tree: ast.Module) -> Iterator[str]:
    """Yield every string of a module that is not a docstring."""
    lone = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in lone:
            yield node.value


def test_only_tests_that_run_alone_have_an_upper_bound_on_time() -> None:
    bound = re.compile(r"\b(monotonic|perf_counter)\(\) - \w+ <|\b(within\([1-9]|slowness\()")
    findings = [
        f"{path.name}::{test.name}"
        for path in sorted((ROOT / "tests").glob("test_*.py"))
        for test in ast.walk(parsed(path))
        if isinstance(test, ast.FunctionDef) and bound.search(ast.unparse(test))
        if not any("alone" in ast.unparse(mark) for mark in test.decorator_list)
    ]
    assert findings == []


def test_every_test_waits_by_the_one_helper() -> None:
    names = ("until", "wait_for", "wait_until", "eventually", "soon")
    defined = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("*.py")
        for node in parsed(path).body
        if isinstance(node, ast.FunctionDef) and node.name in names
    ]
    assert defined == ["tests/support/waiting.py"]


# Joined from halves, so that this file does not match its own patterns.
HOSTS = re.compile(
    "|".join(["pypi" + r"\.", "python" + "hosted", "npm" + "js", "deb" + r"\.debian", "crates" + r"\.io"])
)
PLACES = re.compile(r"(?<![\w.~:/$}*])/(?:" + "|".join(["root", "home", "Users", "work", "farm", "tmp"]) + r")/\w")


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:  # an archive without its history
        return [path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts]
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_registry_or_a_place_on_some_machine() -> None:
    findings = []
    for path in tracked():
        if path.suffix in (".png", ".jpg", ".svg", ".ico", ".woff2"):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if HOSTS.search(line) or PLACES.search(line):
                findings.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert findings == []


# The beginnings of the names of models that a vendor may shut down, joined from halves like the hosts above.
MODEL_NAMES = re.compile(
    r"\b(" + "gpt" + r"-\d|" + "claude" + r"-(opus|sonnet|haiku|\d)|" + "gemini" + r"-\d)", re.IGNORECASE
)
MAY_NAME_THEM = {
    "lib/domain/models.py", "lib/models/prices.toml", ".streamlit/experiments.toml", ".streamlit/secrets.toml.example",
    "docs/set-up.md", "docs/run-an-experiment.md", "docs/reference/settings.md", "tests/test_models_prices.py",
}  # fmt: skip
"""The constants, the shipped experiment, the prices with their test, and the files that operators read."""


def test_no_other_file_names_a_model_that_may_be_shut_down() -> None:
    findings = []
    for path in tracked():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in (".png", ".svg", ".gz", ".woff2") or name in MAY_NAME_THEM or name.startswith("requirements"):
            continue
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        findings += [f"{name}:{number}" for number, line in enumerate(lines, 1) if MODEL_NAMES.search(line)]
    assert findings == []


def test_the_shipped_experiment_compares_the_two_constant_models() -> None:
    from lib.domain.models import CONTROL_MODEL, TEST_MODEL
    from lib.experiments.definitions import read_definitions_file

    (shipped,) = read_definitions_file(ROOT / ".streamlit/experiments.toml").values()
    assert [group.parameters["model"] for group in shipped.groups] == [CONTROL_MODEL, TEST_MODEL]
    assert shipped.default == {"model": CONTROL_MODEL}
