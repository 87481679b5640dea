"""The acts of operators in several processes that share one database, and their record."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from lib.domain.operations import Entry, Run
from lib.experiments.acts import Acts
from lib.experiments.definitions import Definition, Group, read_definitions
from lib.experiments.versions import to_toml
from lib.store import Store, audit, states

NAME = "greeting"
FILE = """
[greeting]
allocation = 40
default = { model = "small" }
[greeting.groups]
Control = { weight = 50, parameters = { model = "small" } }
Test = { weight = 50, parameters = { model = "large", system_prompt = "Be brief." } }
[other.groups]
A = { weight = 1 }
"""
DEFINED = read_definitions(FILE)
ANN, BOB = "ann@example.org", "bob@example.org"
Replica = Callable[..., Acts]


@pytest.fixture
def replica(database_url: str) -> Iterator[Replica]:
    """A function that opens one more process on the shared database, with the experiments of a file."""
    stores: list[Store] = []

    def open_one(file: dict[str, Definition] = DEFINED, setting: str = NAME, **more: Any) -> Acts:
        stores.append(Store.open(database_url))
        one = Acts(stores[-1], ["openai"], **more)
        one.seed(file, setting)
        return one

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def acts(replica: Replica) -> Acts:
    return replica()


def definition(acts: Acts, name: str = NAME) -> Definition:
    """Return the definition that is in force."""
    acts.refresh()
    found = acts.book[name].definition
    assert found is not None
    return found


def newest_version(acts: Acts, name: str = NAME) -> Definition:
    """Return the newest version of the definition, in force or not."""
    found = acts.book[name].written
    assert found is not None
    return found


def runs(acts: Acts, name: str = NAME) -> list[Run]:
    with acts._store.read() as connection:
        return list(reversed(states.runs(connection, name)))


def log(acts: Acts) -> list[Entry]:
    """Return the audit log, oldest entry first."""
    with acts._store.read() as connection:
        return list(reversed(list(audit.entries(connection, limit=None))))


def save(acts: Acts, author: str = ANN, reason: str = "", **changes: Any) -> None:
    """Save a new version on top of the newest one."""
    base = acts.book[NAME].state.version
    acts.save(NAME, to_toml(replace(newest_version(acts), **changes)), base, author, reason)


def heavier(acts: Acts) -> tuple[Group, ...]:
    control, test = newest_version(acts).groups
    return control, replace(test, weight=150)


def decide(acts: Acts, group: str | None, reason: str = "It won.") -> None:
    acts.decide(NAME, group, {"verdict": "better", "sentence": "Test is better."}, ANN, reason)
