"""Experiments evaluated by the real SDK, from a file or as a stand-in for Statsig serves them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lib.domain.visitor import Visitor
from lib.experiments import evaluator
from lib.experiments.evaluator import Experiments, compile_definitions
from tests.support.waiting import ENOUGH_S

KEY = "secret-Ab12_cd-34"
TOML = """
[models]
default = { model = "large-model" }
[models.groups]
Control = { weight = 50, parameters = { model = "small-model" } }
Test = { weight = 50, parameters = { model = "large-model" } }
[thirds]
unit = "sessionID"
allocation = 40
control = "b"
primary = "rating_rate"
[thirds.groups]
a = { weight = 1 }
b = { weight = 2, parameters = { temperature = 0.5 } }
c = { weight = 1 }
[paused]
allocation = 0
default = { model = "rest" }
[paused.groups]
A = { weight = 1, parameters = { model = "other" } }
"""
SPEC, DEFINITIONS = compile_definitions(TOML)
SERVED: dict[str, Any] = compile_definitions(TOML.replace("small-model", "served-model"))[0] | {
    "time": 1_700_000_000_000
}
Open = Callable[..., Experiments]
OURS, THEIRS = {"small-model", "large-model"}, {"served-model", "large-model"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "experiments.toml"
    path.write_text(TOML)
    return path


@pytest.fixture
def start(file: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """A function that opens experiments.

    Except in a test of time, a question waits for Statsig as long as a busy machine needs.
    """
    opened: list[Experiments] = []
    if not request.node.get_closest_marker("alone"):
        monkeypatch.setattr(evaluator, "FIRST_ANSWER_S", ENOUGH_S)

    def begin(**more: Any) -> Experiments:
        opened.append(Experiments.open(file, **more))
        return opened[-1]

    yield begin
    for each in opened:
        each.close()


def visitor(name: str = "u1") -> Visitor:
    return Visitor(f"{name}-visitor", name, f"{name}-stable", f"{name}-session")


def model(experiments: Experiments) -> Any:
    """Return the models of ten visitors. They identify the source of the definitions: `OURS` or `THEIRS`."""
    names = (visitor(f"u{number}") for number in range(10))
    return {experiments.assign(each, "models").parameters["model"] for each in names}
