"""One page's websocket: accepts only messages of the kinds, shapes, sizes and rates of Parley's own pages.

Streamlit obeys every message of its protocol, even the one that empties the caches of all sessions. It parses messages
of up to 25 MB, and logs an unexpected one with a traceback. A session keeps its last message, and 4 MB of empty widgets
would take 500 MB.
"""

import logging
import math
import re
import time
from collections.abc import Callable
from functools import cache
from itertools import count
from zoneinfo import available_timezones

from starlette.types import Message, Receive, Send
from streamlit.proto.BackMsg_pb2 import BackendOperationRequest, BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

from lib.access.crowd import Bucket

log = logging.getLogger("parley.access")

ROOM = 64_000
"""Bytes of a message besides the texts that a tester can write into it."""
TEXTS, BYTES = 2, 4
"""The prompt may occur twice in a message (the box and the editor of a question), with up to this many bytes a
character."""
BURST, PER_S = 300, 20.0
"""Messages that a page may send at once, and per second in the long run."""
WIDGETS = 2_000
"""Widgets of a page whose state a message may hold; the Experiment page has about sixty."""
LARGE, EXPIRES_S = 25, 60.0
"""Sessions that may hold a message which no prompt needs, and the seconds for which a closed page's session is kept."""
USED = frozenset({"rerun_script", "stop_script", "app_heartbeat", "backend_operation_request"})
TEXT_VALUES = frozenset({"string_value", "string_trigger_value", "json_value", "json_trigger_value"})
OPERATIONS = frozenset({"deferred_file", "dataframe_chunk"})
"""The requests of pages: a download that is made on demand, and the rest of a long table."""
_ID = re.compile(r"[\w-]{0,64}")
_LOCALE = re.compile(r"[A-Za-z0-9_-]{1,35}")
PASTED = 4_500_000
"""Bytes that every message may have: a pasted megabyte of characters is refused on the page and stays in the box; a
closed connection would lose it."""


def largest(max_prompt_chars: int) -> int:
    """Return the bytes that one message may have."""
    return max(PASTED, usual(max_prompt_chars))


def usual(max_prompt_chars: int) -> int:
    """Return the bytes that a message with the longest prompt has."""
    return ROOM + TEXTS * BYTES * max_prompt_chars


class LargeMessages:
    """The connections whose sessions hold a large message, each counted until it sends a smaller one or is long
    closed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[int, float] = {}

    def take(self, connection: int) -> bool:
        """Return True, and count this connection, unless there are too many."""
        now = self._clock()
        self._until = {number: until for number, until in self._until.items() if until > now}
        if connection not in self._until and len(self._until) >= LARGE:
            return False
        self._until[connection] = math.inf
        return True

    def release(self, connection: int) -> None:
        """Stop counting a connection that sent a smaller message."""
        self._until.pop(connection, None)

    def leave(self, connection: int) -> None:
        """Count a closed connection only as long as its session is kept."""
        if connection in self._until:
            self._until[connection] = self._clock() + EXPIRES_S


_numbers = count()


class Frames:
    """The `receive` and `send` of one connection. The first foreign message ends it."""

    def __init__(self, receive: Receive, send: Send, max_prompt_chars: int, large: LargeMessages) -> None:
        self._receive, self._send, self._large = receive, send, large
        self._max_bytes, self._usual_bytes = largest(max_prompt_chars), usual(max_prompt_chars)
        self._bucket, self._closed, self._number = Bucket(BURST, PER_S), False, next(_numbers)

    async def receive(self) -> Message:
        """Return the next message for Streamlit."""
        while not self._closed:
            message = await self._receive()
            if message["type"] != "websocket.receive":
                return message
            data = message.get("bytes")
            if data is None:
                return await self._end(1003, "a message that is text")
            if len(data) > self._max_bytes:
                return await self._end(1009, "a message that is too large")
            if not self._bucket.take():
                return await self._end(1008, "too many messages")
            try:
                accepted = _filtered(data)
            except Exception:  # protobuf's own exception, of a package that Streamlit brings along
                return await self._end(1002, "a message that is none")
            if len(data) <= self._usual_bytes:
                self._large.release(self._number)
            elif not self._large.take(self._number):
                return await self._end(1013, "too many large messages of all pages")
            if accepted is not None:
                return {"type": "websocket.receive", "bytes": accepted}
        return {"type": "websocket.disconnect", "code": 1008}

    def close(self) -> None:
        """Note that the connection has ended."""
        self._large.leave(self._number)

    async def send(self, message: Message) -> None:
        """Pass a message to the browser, unless the connection has ended."""
        if not self._closed:
            await self._send(message)

    async def _end(self, code: int, cause: str) -> Message:
        log.warning("a page's connection was ended", extra={"cause": cause})
        await self._send({"type": "websocket.close", "code": code})
        self._closed = True
        return {"type": "websocket.disconnect", "code": code}


def _filtered(data: bytes) -> bytes | None:
    """Return the message with an existing time zone and language; None for a kind that no page of ours sends.

    Raises ValueError for a message of another shape than those of our pages.
    """
    message = BackMsg.FromString(data)
    message_type = message.WhichOneof("type")
    if message_type not in USED:
        return None
    if not _has_the_shape_of_ours(message, len(data)):
        raise ValueError("a page has fewer widgets, and its message is large by its texts alone")
    if message_type == "backend_operation_request":
        return data if _is_ours(message.backend_operation_request) else None
    if message_type != "rerun_script":
        return data
    context = message.rerun_script.context_info
    changed = False
    if context.timezone and context.timezone not in _zones():
        context.timezone, changed = "", True
    if context.locale and not _LOCALE.fullmatch(context.locale):
        context.locale, changed = "", True
    return message.SerializeToString() if changed else data


def _is_ours(operation: BackendOperationRequest) -> bool:
    """Return False for an operation that no page asks for, and for ids of another form, which Streamlit would log."""
    ids = (operation.request_id, operation.session_id, operation.deferred_file.file_id)
    return operation.WhichOneof("payload") in OPERATIONS and all(map(_ID.fullmatch, ids))


def _has_the_shape_of_ours(message: BackMsg, size: int) -> bool:
    """Return False for more widgets than a page has, and for a message that is large by anything but texts."""
    widgets = message.rerun_script.widget_states.widgets
    return len(widgets) <= WIDGETS and (size <= ROOM or size - sum(map(_text_bytes, widgets)) <= ROOM)


def _text_bytes(widget: WidgetState) -> int:
    """Return the size of what a tester can have typed or pasted into a widget."""
    value_type = widget.WhichOneof("value")
    if value_type == "chat_input_value":
        return len(widget.chat_input_value.data.encode())
    return widget.ByteSize() if value_type in TEXT_VALUES else 0


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
