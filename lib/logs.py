"""Log lines, as text or JSON, with every known secret and anything like one taken out. Knows no other module.

Foreign messages (a model server's error, the Statsig SDK's warnings) may echo a key; nothing but this filter stands
between them and the log, so it sits on the one handler that writes.
"""

import json
import logging
import math
import re
import sys
from collections.abc import Iterable

_KEY_LIKE = re.compile(r"\b(?:sk|secret)-[\w-]{4,}")
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _Scrub(logging.Formatter):
    """Formats a record, then removes secrets from the whole line, traceback included."""

    def __init__(self, style: str, secrets: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S%z")
        self._json = style == "json"
        self._secrets = [secret for secret in secrets if secret]

    def format(self, record: logging.LogRecord) -> str:
        line = self._object(record) if self._json else super().format(record) + self._extra(record)
        return scrub(line, self._secrets)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The first line of a record. What came from outside must not look like a further one."""
        return _one_line(super().formatMessage(record))

    def _object(self, record: logging.LogRecord) -> str:
        fields = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        } | _extras(record)
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps({name: self._told(value) for name, value in fields.items()}, ensure_ascii=False, default=str)

    def _told(self, value: object) -> object:
        """A field's value before JSON escapes it, in which a secret could hide; NaN, which JSON lacks, as its name."""
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        return scrub(value, self._secrets) if isinstance(value, str) else value

    def _extra(self, record: logging.LogRecord) -> str:
        return _one_line("".join(f" {name}={value}" for name, value in _extras(record).items()))


def _one_line(text: str) -> str:
    """
    >>> _one_line("a\\r\\nb\\x1b[0m")
    'a\\\\r\\\\nb\\\\x1b[0m'
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without the given secrets and without anything shaped like a key.

    >>> scrub("Incorrect API key provided: sk-abc123XYZ, token hunter22", ["hunter22"])
    'Incorrect API key provided: [secret], token [secret]'
    """
    for secret in secrets:
        text = text.replace(secret, "[secret]")
    return _KEY_LIKE.sub("[secret]", text)


def configure(style: str, level: str, secrets: Iterable[str] = ()) -> None:
    """Send every log line of ours, and warnings of everybody else's, to standard error in `style` (`text` | `json`)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Scrub(style, secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("parley").setLevel(level.upper())
    # Streamlit would tell of a failed page past this filter; `on_script_error` tells of it here.
    logging.getLogger("streamlit.error_util").addFilter(lambda record: record.msg != "Uncaught app execution")


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _OWN and value is not None}
