"""Log lines as text or JSON, with every known secret and every key-shaped text removed. Imports no other module of
Parley.

Foreign messages (a model server's error, the Statsig SDK's warnings) may echo a key. This filter is the only
protection, so it belongs to the one handler that writes.
"""

import json
import logging
import math
import re
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TextIO

_KEY_LIKE = re.compile(r"\b(?:sk|secret)-[\w-]{4,}")
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_MARK = r"&(?:quot|apos|\#\w+);|\\(?:u00|x)2[27]"
_QUOTED = re.compile(
    rf"""(?:(?<!\w)["'`“„«‘]|{_MARK})(?:.*(?:["'`”“»’](?!\w)|{_MARK})|.*)""".replace("\\#", "#"), re.DOTALL
)
"""Quoted text, from the first quotation mark to the last: it may itself contain quotation marks, escaped or not."""
CUT = 80
"""Characters kept of a library's message."""
QUIET_S = 60.0
"""Seconds in which a repeated warning or error is counted instead of written."""
A_PLACE = 5
"""Distinct lines that one place of a library's code may write in that time."""
MAX_WRITTEN = 1_000
"""Distinct messages remembered in that time."""


class _Scrub(logging.Formatter):
    """A formatter that removes secrets from the whole line.

    It writes an exception's class and calls, never its message: that may quote a question.
    """

    def __init__(self, style: str, secrets: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S%z")
        self._json = style == "json"
        self._secrets = [secret for secret in secrets if secret]

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record. Of a library's record, keep only what cannot contain a tester's words."""
        record = record if record.name.partition(".")[0] == "parley" else _of_a_library(record, self._secrets)
        return scrub(self._object(record) if self._json else self._line(record), self._secrets)

    def _line(self, record: logging.LogRecord) -> str:
        """Return one line. Control characters are escaped, so foreign text cannot forge a second line."""
        record.message, record.asctime = record.getMessage(), self.formatTime(record, self.datefmt)
        error = _raised(record)
        facts = _extras(record) | ({"traceback": _calls(error)} if error else {})
        return _one_line(self.formatMessage(record) + "".join(f" {name}={value}" for name, value in facts.items()))

    def _object(self, record: logging.LogRecord) -> str:
        fields = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        } | _extras(record)
        if error := _raised(record):
            fields["traceback"] = _calls(error)
        text = json.dumps(
            {name: self._json_value(value) for name, value in fields.items()}, ensure_ascii=False, default=str
        )
        # JSON itself escapes only the older control characters.
        return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)

    def _json_value(self, value: object) -> object:
        """Return a field's value for JSON. Text is scrubbed before JSON escapes it; NaN and infinity, which JSON lacks,
        become their names."""
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        return scrub(value, self._secrets) if isinstance(value, str) else value


def _of_a_library(record: logging.LogRecord, secrets: Iterable[str]) -> logging.LogRecord:
    """Return a library's record with its message cut and, of an exception, the class and the place where it was
    raised."""
    short = logging.makeLogRecord({name: vars(record)[name] for name in ("name", "levelno", "levelname", "created")})
    short.msecs, short.msg = record.msecs, cut(scrub(record.getMessage(), secrets))
    if error := _raised(record):
        short.cause = _calls(error, 1)
    return short


def _raised(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def _calls(error: BaseException, limit: int = 30) -> str:
    """Return an exception's class and its calls, the last one first, then those of its cause."""
    chain: list[str] = []
    visited: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in visited and len(visited) < 5:
        visited.add(id(cause))
        frames = traceback.extract_tb(cause.__traceback__)[-limit:]
        places = (
            f"{'/'.join(Path(frame.filename).parts[-3:])}:{frame.lineno} {frame.name}" for frame in reversed(frames)
        )
        chain.append(" < ".join([type(cause).__name__, *places]))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return " after ".join(chain[:1] if limit == 1 else chain)


def cut(message: str) -> str:
    """Return the beginning of a foreign message on one line, without quoted text.

    >>> cut('Refused "What does my doctor say?", and more'), len(cut("x" * 200))
    ('Refused […], and more', 80)
    """
    return _one_line(_QUOTED.sub("[…]", message[:2_000]))[:CUT]


def _one_line(text: str) -> str:
    """
    >>> _one_line("a\\r\\nb\\x1b[0m")
    'a\\\\r\\\\nb\\\\x1b[0m'
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` without the given secrets and without anything shaped like a key.

    >>> scrub("Incorrect API key provided: sk-abc123XYZ, token hunter22", ["hunter22"])
    'Incorrect API key provided: [secret], token [secret]'
    """
    for secret in secrets:
        text = text.replace(secret, "[secret]")
    return _KEY_LIKE.sub("[secret]", text)


class _Once(logging.StreamHandler[TextIO]):
    """A handler that writes a warning or an error once in `QUIET_S`, then how often it was repeated.

    Without it, asyncio alone would write thousands of lines a second once file descriptors run out. One of our lines is
    a repetition where all its facts are equal. A library's line is one where it differs in numbers only, or where its
    place in the code has written `A_PLACE` other lines, because such a line may contain a client's own words.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._written: dict[tuple[str, ...], _Written] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, or count it as a repetition."""
        now = time.monotonic()
        self._settle(now - QUIET_S)
        if record.levelno >= logging.WARNING:
            key = self._key(record)
            if (earlier := self._written.get(key)) is not None:
                earlier.repeats += 1
                return
            if len(self._written) < MAX_WRITTEN:
                self._written[key] = _Written(record, now)
        super().emit(record)

    def _key(self, record: logging.LogRecord) -> tuple[str, ...]:
        """Return the key that a record shares with its repetitions."""
        key, place = _key(record), _place(record)
        if (
            place is None
            or key in self._written
            or sum(written.place == place for written in self._written.values()) < A_PLACE
        ):
            return key
        return place

    def close(self) -> None:
        """Write the counts that are still held back."""
        self._settle(math.inf)
        super().close()

    def _settle(self, before: float) -> None:
        """Write the counts of records first seen before a moment."""
        for key in [key for key, earlier in self._written.items() if earlier.since <= before]:
            earlier = self._written.pop(key)
            if earlier.repeats:
                super().emit(_counted(earlier))


class _Written:
    """A record that was written, and the number of its repetitions."""

    def __init__(self, record: logging.LogRecord, since: float) -> None:
        self.name, self.level, self.message = record.name, record.levelno, _first_line(record)
        self.since, self.repeats, self.place = since, 0, _place(record)


def _place(record: logging.LogRecord) -> tuple[str, ...] | None:
    """Return the place in the code of a library's line; None for our own."""
    return None if record.name.partition(".")[0] == "parley" else (record.name, record.pathname, str(record.lineno))


def _key(record: logging.LogRecord) -> tuple[str, ...]:
    exception = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
    line = _first_line(record)
    if record.name.partition(".")[0] != "parley":
        line = re.sub(r"\d+|0x[0-9a-f]+", "#", line)
    return record.name, record.levelname, exception, line, repr(sorted(_extras(record).items()))


def _first_line(record: logging.LogRecord) -> str:
    return record.getMessage().partition("\n")[0][:500]


def _counted(written: _Written) -> logging.LogRecord:
    message = f"repeated {written.repeats} times: {written.message}"
    counted = logging.LogRecord(written.name, written.level, __file__, 0, message, (), None)
    counted.repeats = written.repeats
    return counted


def configure(style: str, level: str, secrets: Iterable[str] = ()) -> None:
    """Send every log line and every warning to standard error in `style` (`text` | `json`)."""
    handler = _Once(sys.stderr)
    handler.setFormatter(_Scrub(style, secrets))
    handler.addFilter(_is_worth_a_line)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("parley").setLevel(level.upper())
    _take_last_words()
    # Streamlit would log a failed page past this filter; `on_script_error` logs it here.
    logging.getLogger("streamlit.error_util").addFilter(lambda record: record.msg != "Uncaught app execution")


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Return False for a library's line below a warning, whatever level the library sets for itself: uvicorn writes the
    address of every client that opens a websocket."""
    return record.name.partition(".")[0] == "parley" or record.levelno >= logging.WARNING


def _take_last_words() -> None:
    """Log the warnings, and the exceptions that ended a thread or the process, that Python would print itself."""
    log = logging.getLogger("python")

    def warn(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: object = None,
        line: object = None,
    ) -> None:
        log.warning("%s in %s:%d: %s", category.__name__, Path(filename).name, lineno, message)

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            log.critical("the process ended by an exception", exc_info=error)

    def in_thread(ended: threading.ExceptHookArgs) -> None:
        if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
            log.error("a thread ended by an exception", exc_info=ended.exc_value)

    def unraisable(lost: "sys.UnraisableHookArgs") -> None:
        if lost.exc_value is not None:
            log.error("an exception could not be raised", exc_info=lost.exc_value)

    warnings.showwarning = warn
    sys.excepthook, threading.excepthook, sys.unraisablehook = uncaught, in_thread, unraisable


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _OWN and value is not None}
