"""The frames in the bytes of an answer's body: server-sent events, lines of JSON, or one JSON body.

Owns the framing, with every irregularity that servers are known for. Pure: it knows no connection and no completion.
"""

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from lib.models.faults import Fault

MAX_EVENT_BYTES = 16_000_000
"""Most bytes of one event, or of a body that is not an event stream."""
_BEGINNING = 100
_BOM = b"\xef\xbb\xbf"
_DATA = re.compile(rb"data(?:: ?data(?=:))*:? ?")


class Frame(NamedTuple):
    """The data of one event. `error`: the server sent it as an error, whatever the data is."""

    data: bytes
    error: bool = False


class Events:
    """The frames in a stream of bytes.

    An event without data is dropped, as the standard requires, unless it is called `error`. Unlike in the standard, a
    field `error` is a frame (old llama.cpp), and so is a bare line of JSON; a line of data that follows a whole JSON
    value begins an event of its own (gateways that leave the empty lines out); a prefix `data:` may be doubled.

    A body that begins with JSON is no event stream. Where its first line is a whole value, each line is a frame;
    otherwise the whole body is one.
    """

    def __init__(self) -> None:
        self._line: list[bytes] = []  # pieces of an unfinished line
        self._size = 0
        self._data: list[bytes] = []  # lines of an unfinished event
        self._error = False  # the unfinished event is named error
        self._cut = False  # the last chunk ended with a carriage return, whose line feed may follow
        self._body: list[bytes] | None = None  # lines of a body that is one JSON value
        self._first = True
        self.beginning = b""
        """The beginning of the first line that is not blank."""

    @property
    def commented(self) -> bool:
        """True where the stream began with a comment or with a field of an event."""
        return re.match(rb"(?:event|id|retry|data)?:", self.beginning) is not None

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Yield the frames that this chunk completes. Raises Fault when one never ends.

        >>> events = Events()
        >>> chunks = (b"data: {", b"}\\n\\n: hi\\n", b"data: 1\\r\\r\\ndata: 2")
        >>> [[frame.data for frame in events.feed(chunk)] for chunk in chunks]
        [[], [b'{}'], [b'1']]
        >>> [frame.data for frame in events.rest()]
        [b'2']
        """
        if self._cut:
            chunk = chunk.removeprefix(b"\n")
            self._cut = False
        if b"\r" in chunk:
            self._cut = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._line.append(chunk)
        self._size += len(chunk)
        if self._size > MAX_EVENT_BYTES:
            raise Fault("EventTooLong", text=f"an event of more than {MAX_EVENT_BYTES} bytes")
        if b"\n" not in chunk:
            return
        *lines, unfinished = b"".join(self._line).split(b"\n")
        self._line, self._size = (
            [unfinished],
            len(unfinished) + sum(map(len, self._data)) + sum(map(len, self._body or ())),
        )
        for line in lines:
            yield from self._take(line)

    def rest(self) -> Iterator[Frame]:
        """Yield the frames that the end of the stream left without an empty line after them."""
        last, self._line = b"".join(self._line), []
        yield from self._take(last)
        if self._body is not None:
            yield Frame(b"\n".join(self._body))
        yield from self._take(b"")

    def _take(self, line: bytes) -> Iterator[Frame]:
        if self._first:
            line = line.removeprefix(_BOM)
            if not line.strip():
                return
            self._first, self.beginning = False, line[:_BEGINNING]
            if line.lstrip()[:1] in (b"{", b"[") and not _whole(line):
                self._body = []
        if self._body is not None:
            self._body.append(line)
        elif line.startswith(b"data"):
            if len(self._data) == 1 and _whole(self._data[0]):
                yield from self._dispatch()
            self._data.append(_DATA.sub(b"", line, count=1))
        elif not line:
            yield from self._dispatch()
        elif line.startswith(b"event"):
            self._error = line[5:].removeprefix(b":").strip() == b"error"
        elif line.startswith(b"error:"):
            yield Frame(line[6:].strip(), error=True)
        elif line.lstrip()[:1] in (b"{", b"[") and _whole(line):
            yield Frame(line)

    def _dispatch(self) -> Iterator[Frame]:
        data, error = b"\n".join(self._data), self._error
        self._data, self._error = [], False
        if error or data.strip():
            yield Frame(data, error)


def _whole(line: bytes) -> bool:
    """Return True where a line is a JSON value by itself."""
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
