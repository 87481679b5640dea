"""The folder of the SQLite file: its owner, its permissions, and the files that Parley creates in it.

The folder that Parley makes is its user's alone (0700), and so is every file in it (0600).
"""

import contextlib
import errno
import os
import tempfile
from pathlib import Path

from lib.settings import SettingsError

DEFAULT = Path("data")
"""The folder of the default address. It belongs to Parley, so Parley may restrict it."""
ROOM = 50_000_000
"""Bytes that must be free on the disk: about ten thousand answers."""


def prepare(file: Path) -> None:
    """Create the folder of this database file if it is missing, and check that it can be written.

    Raises SettingsError with one line where the folder or the file cannot be written.
    """
    folder = file.parent
    try:
        if not folder.exists():
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        elif folder == DEFAULT and _is_own(folder):
            folder.chmod(0o700)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(4096))
            probe.flush()
            os.fsync(probe.fileno())
        if file.exists() and not os.access(file, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise SettingsError([f"DATABASE_URL: {file} cannot be written: {error.strerror}{_owned(folder)}"]) from None


def shortage(file: Path) -> str | None:
    """Return one line where the disk of this database is nearly full or read-only, else None."""
    folder = next((parent for parent in file.absolute().parents if parent.exists()), None)
    if folder is None or not hasattr(os, "statvfs"):
        return None
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free < ROOM:
        return f"{folder} has {free / 1e6:.0f} MB left: make room, or set DATABASE_URL to a file on another disk"
    if disk.f_files and not disk.f_favail:
        return f"{folder} takes no further files (no inodes are left): delete some"
    return None


def foreign_owner(file: Path) -> str | None:
    """Return the user who must create files beside this database, where that is another user than this one."""
    folder = next((parent for parent in file.absolute().parents if parent.exists()), None)
    if folder is None or _is_own(folder):
        return None
    return _name(folder.stat().st_uid)


def _is_own(folder: Path) -> bool:
    return not hasattr(os, "geteuid") or folder.stat().st_uid == os.geteuid()


def _owned(folder: Path) -> str:
    with contextlib.suppress(OSError):
        if folder.exists() and not _is_own(folder):
            return f" ({folder} belongs to {_name(folder.stat().st_uid)}, and Parley runs as {_name(os.geteuid())})"
    return ""


def _name(uid: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return f"user {uid}"
