"""A file of settings in the format of Docker and systemd (`NAME=value`, one per line), for a tool beside a service."""

import os
import re
from collections.abc import MutableMapping
from pathlib import Path

from lib.domain.plain_text import decode
from lib.settings import FIELDS, SettingsError, unquoted


def take(file: Path, environ: MutableMapping[str, str] = os.environ) -> list[str]:
    """Replace this environment's settings by the file's; return their names. Raises SettingsError."""
    values = read(file)
    for name in [name for name in environ if name in FIELDS or name.startswith("PARLEY_")]:
        del environ[name]
    environ.update(values)
    return sorted(values)


def read(file: Path) -> dict[str, str]:
    """Return the file's values. Raises SettingsError, whose lines show no value."""
    try:
        lines = decode(file.read_bytes()).splitlines()
    except OSError as error:
        raise SettingsError([f"{file}: cannot be read: {error.strerror}"]) from None
    except ValueError as error:
        raise SettingsError([f"{file}: {error}"]) from None
    values: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith(("#", ";")):
            continue
        match = re.fullmatch(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)", line)
        if match is None:
            raise SettingsError([f"{file}: line {number}: must be NAME=value"])
        values[match[1]] = unquoted(match[2])
    return values
