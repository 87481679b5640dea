"""The house keeps its shape: who imports whom, what is known in one place only, what is written nowhere."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A room is a noun and the files that only it may use; left may import right. What is not here imports nothing of ours.
ROOMS = {
    "completion": ("completion", "chunks", "client", "connections", "faults", "parameters", "prompt", "prices"),
    "experiment": ("experiment", "specs"),
    "readout": ("readout", "wording"),
    "app": ("app", "conversation", "gauges", "recorder", "trial"),
    "server": ("server", "doors", "files", "patience", "sockets"),
    "resources": ("resources", "entrance", "readouts"),
    "__main__": ("__main__", "check", "report", "invite", "erase", "purge", "simulate", "soundness"),
}
TABLE = {
    "streamlit_app": "server",
    "pages": "resources results events tally readout access budgets definitions invitations ledger generation rescue "
    "markdown export",
    "resources": "app results definitions demo events settings access invitations store logs",
    "results": "readout definitions events store tally",
    "__main__": "app readout tally demo settings access invitations events definitions experiment completion store "
    "export logs",
    "server": "settings access invitations definitions demo resources metrics logs",
    "demo": "app events settings store",
    "app": "settings definitions events tally logs metrics access budgets completion experiment store delivery "
    "generation rescue results",
    "readout": "analysis events tally definitions",
    "access": "events",
    "budgets": "events",
    "completion": "events",
    "experiment": "events definitions",
    "definitions": "events",
    "store": "events tally invitations budgets ledger",
    "invitations": "events",
    "ledger": "events",
    "delivery": "events",
    "generation": "events",
    "rescue": "events generation store",
    "metrics": "events",
}
FOREIGN = {
    "openai": "completion",
    "httpx2": "completion",
    "httpcore2": "completion",
    "statsig": "experiment delivery",
    "sqlalchemy": "store",
    "psycopg": "store",
    "pyarrow": "export",
    "streamlit": "streamlit_app pages resources",
    "altair": "pages",
    "pandas": "pages",
    "starlette": "server demo",
    "anyio": "server",
    "uvicorn": "demo",
    "itsdangerous": "access",
    "prometheus_client": "metrics",
    "pydantic": "settings",
    "pydantic_settings": "settings",
}


def sources() -> list[Path]:
    return sorted([ROOT / "streamlit_app.py", *(ROOT / "lib").rglob("*.py"), *(ROOT / "pages").rglob("*.py")])


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def room(module: str) -> str:
    """The room of one of our modules, given its dotted name.

    >>> room("lib.store.writer"), room("pages.chat"), room("lib.chunks")
    ('store', 'pages', 'completion')
    """
    first, *rest = module.split(".")
    name = rest[0] if first == "lib" and rest else first
    return next((owner for owner, files in ROOMS.items() if name in files), name)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in the file; of `lib` and `pages` also what is taken out of them."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = node.module or ""
            inside = module in ("lib", "pages")
            yield from (f"{module}.{alias.name}" for alias in node.names) if inside else (module,)


def is_ours(module: str) -> bool:
    return module.split(".")[0] in ("lib", "pages", "streamlit_app")


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    own = room(name_of(path))
    met = {room(module) for module in imports(path) if is_ours(module) and not module.startswith("lib.__")}
    assert met <= {own, *TABLE.get(own, "").split()}


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_each_foreign_package_is_known_to_its_own_room_only(path: Path) -> None:
    own = room(name_of(path))
    foreign = {module.split(".")[0] for module in imports(path) if not is_ours(module)} - sys.stdlib_module_names
    assert [package for package in foreign if own not in FOREIGN.get(package, "").split()] == []


def test_importing_a_plain_room_loads_no_heavy_package() -> None:
    code = "import sys, lib.events, lib.settings, lib.access, lib.generation; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"streamlit", "openai", "statsig", "sqlalchemy", "pandas", "numpy"} & set(run.stdout.split())


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_a_module_says_what_it_owns(path: Path) -> None:
    assert len(ast.get_docstring(parsed(path)) or "") > 40


@pytest.mark.parametrize("path", [path for path in sources() if path.name != "events.py"], ids=name_of)
def test_the_names_of_events_are_spelt_in_one_place(path: Path) -> None:
    """Ratings and signals are left out: mypy holds those to their `Literal`s."""
    names = re.compile(r"\b(chat_completion|rating_withdrawn|feedback_reason)\b|^exposure$")
    spelt = [text for text in _strings(parsed(path)) if names.search(text)]
    assert spelt == (["exposure"] if path.name == "schema.py" else [])  # there it is a table's name


def _strings(tree: ast.Module) -> Iterator[str]:
    """Every string of a module that is not a docstring."""
    lone = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in lone:
            yield node.value


# Put together from halves, so that this file does not hold what it looks for.
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
    found = []
    for path in tracked():
        if path.suffix in (".png", ".jpg", ".svg", ".ico", ".woff2"):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if HOSTS.search(line) or PLACES.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []
