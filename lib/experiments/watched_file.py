"""The experiments file while a process runs: read again whenever it changed.

Puts nothing into force: an operator chooses between the file and the newest version; the next start takes the file.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from lib.experiments.definitions import read_definitions_file
from lib.experiments.experiment import Definition, DefinitionError

log = logging.getLogger("parley.experiment")


class WatchedFile:
    """One file of definitions. `problem` is the first reason why its newest content cannot be read, or None."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last_stamp: tuple[int, int] | None = (0, 0)
        self.problem: str | None = None

    def changed(self) -> Mapping[str, Definition] | None:
        """Return the experiments of the file at the first call and where it changed since the last one, else None. Also
        None while it cannot be read."""
        stamp = _stamp(self._path)
        if stamp == self._last_stamp:
            return None
        self._last_stamp = stamp
        try:
            definitions = read_definitions_file(self._path)
        except DefinitionError as error:
            self.problem = error.problems[0]
            log.warning("the experiments file changed and cannot be read", extra={"cause": self.problem[:200]})
            return None
        self.problem = None
        return definitions


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return the time of the file's last change and its size; None without a file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
