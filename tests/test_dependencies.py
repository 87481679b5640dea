"""The lists of packages: every imported package is declared, and two machines install the same versions."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.syntax import parsed

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUN = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
DEV = [Requirement(line) for line in PROJECT["dependency-groups"]["dev"]]
OUR_CODE = [ROOT / "streamlit_app.py", *(ROOT / "lib").rglob("*.py"), *(ROOT / "pages").rglob("*.py")]
OUR_TESTS = [path for path in (ROOT / "tests").rglob("*.py") if "peers" not in path.parts]  # peers declare their own
LOCK = "run `make lock`"


def imported(paths: Iterable[Path]) -> set[str]:
    """Return the top-level names of the foreign packages that these files import."""
    names: set[str] = set()
    for path in paths:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"lib", "pages", "tests", "streamlit_app"}


@cache
def pinned(file: str) -> dict[str, Requirement]:
    """Return the pins of a list that apply to this machine, by the name of the package."""
    lines = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    pins = [Requirement(line.partition(" --hash")[0]) for line in lines if re.match(r"\w", line)]
    return {canonicalize_name(pin.name): pin for pin in pins if pin.marker is None or pin.marker.evaluate()}


def version_of(pin: Requirement) -> str:
    return str(pin.specifier).removeprefix("==")


def needed(declared: Iterable[Requirement]) -> Iterator[str]:
    """Yield every package that these requirements need on this machine, directly or indirectly."""
    waiting, seen = list(declared), set()
    while waiting:
        requirement = waiting.pop()
        wanted = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if wanted in seen:
            continue
        seen.add(wanted)
        yield wanted[0]
        for line in distribution(requirement.name).requires or ():
            further = Requirement(line)
            extras = ["", *requirement.extras]
            if further.marker is None or any(further.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(further)


@pytest.mark.parametrize(
    ("paths", "declared"), [(OUR_CODE, RUN), (OUR_TESTS, [*RUN, *DEV])], ids=["the app", "the tests"]
)
def test_every_imported_package_is_declared(paths: list[Path], declared: list[Requirement]) -> None:
    provided, names = packages_distributions(), {canonicalize_name(each.name) for each in declared}
    missing = {
        name for name in imported(paths) if names.isdisjoint(canonicalize_name(each) for each in provided.get(name, ()))
    }
    assert not missing, "add these to pyproject.toml and " + LOCK


@pytest.mark.parametrize(
    ("file", "declared"), [("requirements.txt", RUN), ("requirements-dev.txt", [*RUN, *DEV])], ids=["run", "dev"]
)
def test_the_list_pins_declared_packages_and_their_dependencies(file: str, declared: list[Requirement]) -> None:
    pins = pinned(file)
    outside = [str(each) for each in declared if not each.specifier.contains(version_of(pins[each.name.lower()]))]
    assert not outside, LOCK
    assert set(needed(declared)) <= set(pins), LOCK


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_every_pin_is_exact_and_has_hashes(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    pins = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(pins) > 50
    assert [line[:60] for line in pins if not re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []


def test_the_tests_run_with_the_versions_that_users_get() -> None:
    run, dev = pinned("requirements.txt"), pinned("requirements-dev.txt")
    assert {name: version_of(dev[name]) for name in run} == {name: version_of(pin) for name, pin in run.items()}, LOCK


def test_installed_versions_are_the_pinned_ones() -> None:
    different = {}
    for name, pin in pinned("requirements-dev.txt").items():
        try:
            installed = distribution(name).version
        except PackageNotFoundError:
            installed = "none"
        if installed != version_of(pin):
            different[name] = (installed, version_of(pin))
    assert not different, "install requirements-dev.txt again"
