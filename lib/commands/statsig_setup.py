"""The command `python -m lib statsig-setup`: creates the experiment of the local table and its metrics in a Statsig
project, or prints the requests. Reads the console key and writes the lines for the operator."""

import getpass
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from lib.experiments.console import ADDRESS, VERSION, Call, Console, ConsoleError, setup
from lib.experiments.definitions import Definition
from lib.settings import Settings

VARIABLE = "STATSIG_CONSOLE_KEY"
"""The environment variable that may hold the key for this run. It is not a setting: nothing else reads it."""


def address_of(settings: Settings) -> str:
    """Return the Console API's address: at Statsig, or at the host of STATSIG_API_URL."""
    if settings.statsig_api_url is None:
        return ADDRESS
    parts = urlsplit(settings.statsig_api_url)
    return f"{parts.scheme}://{parts.netloc}"


def read_key(environ: Mapping[str, str] = os.environ) -> str:
    """Return the console key, from the environment or typed at the terminal. Raises ConsoleError."""
    key = environ.get(VARIABLE, "").strip()
    if not key:
        if not sys.stdin.isatty():
            raise ConsoleError(f"there is no console key: set {VARIABLE} for this run, or run it at a terminal")
        key = getpass.getpass("Statsig console key (not shown, not kept): ").strip()
    if not key.startswith("console-") or not key.isascii() or not key.isprintable():
        raise ConsoleError(
            "that is no console key, which begins with console-: create one at Statsig, Project Settings, Keys & "
            "Environments, Console API Keys"
        )
    return key


def requests_of(definition: Definition, address: str) -> Iterator[str]:
    """Yield the requests that would create everything, as text. Raises ConsoleError."""
    for entity in setup(definition):
        yield from _written(entity.look, address)
        yield from _written(entity.create, address)


def _written(call: Call, address: str) -> Iterator[str]:
    yield f"{call.method} {address}{call.path}"
    yield f"STATSIG-API-KEY: [the console key]\nSTATSIG-API-VERSION: {VERSION}"
    if call.body is None:
        yield "(only if there is no such object yet, the next one follows)\n"
    else:
        yield f"Content-Type: application/json\n\n{json.dumps(call.body, indent=2, ensure_ascii=False)}\n"


def create_all(definition: Definition, console: Console, say: Callable[[str], object]) -> None:
    """Create what is missing, leave what exists unchanged, and print a line for each. Raises ConsoleError."""
    for entity in setup(definition):
        existing = console.find(entity.look)
        if existing is None:
            console.create(entity.create)
            say(f"created  {entity.create.about}")
        else:
            differs = _difference(existing, entity.create.body or {})
            say(f"exists   {entity.create.about}, left alone{differs}")
    say(f"Review {definition.name} in Statsig's console and start it there; `python -m lib check` says what it finds.")


def _difference(existing: Mapping[str, Any], local: Mapping[str, Any]) -> str:
    """Describe how the groups of an existing experiment differ from the local table."""
    theirs, ours = _sizes(existing), _sizes(local)
    if not ours or theirs == ours:
        return ""
    return f"; its groups are {_listed(theirs)}, those of the local table {_listed(ours)}"


def _sizes(body: Mapping[str, Any]) -> dict[str, float]:
    return {str(group.get("name")): float(group.get("size") or 0) for group in body.get("groups") or ()}


def _listed(sizes: Mapping[str, float]) -> str:
    """
    >>> _listed({"Control": 50.0, "Test": 33.3}), _listed({})
    ('Control 50 %, Test 33.3 %', 'none')
    """
    return ", ".join(f"{name} {size:g} %" for name, size in sizes.items()) or "none"
