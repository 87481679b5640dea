"""The key that signs cookies and invitations: from the settings, or created once beside the SQLite file."""

import contextlib
import os
import secrets
import tempfile
import time
from pathlib import Path

from lib.settings import Settings, SettingsError

LENGTH = 32
"""Least characters of a key in a file."""
WRITTEN_WITHIN_S = 2.0
"""Seconds that another process may take to finish writing the key."""


def signing_key(settings: Settings) -> str:
    """Return the key. Concurrent processes get the same one. Raises SettingsError."""
    if settings.signing_key is not None:
        return settings.signing_key.get_secret_value()
    file = key_file(settings)
    assert file is not None, "load() insists on a key with PostgreSQL"
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not file.exists():
            _make(file)
        key = _read(file)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError([f"PARLEY_SIGNING_KEY: not set, and {file} cannot be used: {why}"]) from None
    if len(key) < LENGTH:
        raise SettingsError([f"PARLEY_SIGNING_KEY: not set, and {file} holds none; remove the file for a new one"])
    return key


def key_file(settings: Settings) -> Path | None:
    """Return the file of the key; None where the settings hold one, or with PostgreSQL."""
    file = settings.database_file
    return file.with_name(file.name + ".signing-key") if file and settings.signing_key is None else None


def _read(file: Path) -> str:
    """Return the file's key. Waits for a process that has created the file and not written it yet."""
    deadline = time.monotonic() + WRITTEN_WITHIN_S
    while not (key := file.read_text(encoding="ascii").strip()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return key


def _make(file: Path) -> None:
    """Write a key under another name, then link it: one of several processes succeeds, and none reads half a key.

    Some file systems (SMB, FAT, mounted buckets) have no links: there the first process creates the file.
    """
    key = secrets.token_urlsafe(LENGTH)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=file.name) as draft:  # created with mode 0600
        draft.write(key)
        draft.flush()
        os.fsync(draft.fileno())
        try:
            os.link(draft.name, file)
        except FileExistsError:
            pass
        except OSError:
            _make_alone(file, key)


def _make_alone(file: Path, key: str) -> None:
    with contextlib.suppress(FileExistsError):
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as output:
            output.write(key)
            output.flush()
            os.fsync(output.fileno())
