"""One page's websocket: accepts only messages of the kinds, sizes and rates of Parley's own pages.

Streamlit obeys every message of its protocol, even the one that empties the caches of all sessions. It parses messages
of up to 25 MB, and logs an unexpected one with a traceback.
"""

import logging
import re
from functools import cache
from zoneinfo import available_timezones

from starlette.types import Message, Receive, Send
from streamlit.proto.BackMsg_pb2 import BackMsg

from lib.access.crowd import Bucket

log = logging.getLogger("parley.access")

ROOM = 64_000
"""Bytes of a message besides the texts that a tester can write into it."""
TEXTS, BYTES = 2, 4
"""The prompt may occur twice in a message (the box and the editor of a question), with up to this many bytes a
character."""
BURST, PER_S = 300, 20.0
"""Messages that a page may send at once, and per second in the long run."""
USED = frozenset({"rerun_script", "stop_script", "app_heartbeat", "backend_operation_request"})
OPERATIONS = frozenset({"deferred_file", "dataframe_chunk"})
"""The requests of pages: a download that is made on demand, and the rest of a long table."""
_LOCALE = re.compile(r"[A-Za-z0-9_-]{1,35}")


PASTED = 4_500_000
"""Bytes that every message may have: a pasted megabyte of characters is refused on the page and stays in the box; a
closed connection would lose it."""


def largest(max_prompt_chars: int) -> int:
    """Return the bytes that one message may have."""
    return max(PASTED, ROOM + TEXTS * BYTES * max_prompt_chars)


class Frames:
    """The `receive` and `send` of one connection. The first foreign message ends it."""

    def __init__(self, receive: Receive, send: Send, max_bytes: int) -> None:
        self._receive, self._send, self._max_bytes = receive, send, max_bytes
        self._bucket, self._closed = Bucket(BURST, PER_S), False

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
                known = _known(data)
            except Exception:  # protobuf's own exception, of a package that Streamlit brings along
                return await self._end(1002, "a message that is none")
            if known is not None:
                return {"type": "websocket.receive", "bytes": known}
        return {"type": "websocket.disconnect", "code": 1008}

    async def send(self, message: Message) -> None:
        """Pass a message to the browser, unless the connection has ended."""
        if not self._closed:
            await self._send(message)

    async def _end(self, code: int, cause: str) -> Message:
        log.warning("a page's connection was ended", extra={"cause": cause})
        await self._send({"type": "websocket.close", "code": code})
        self._closed = True
        return {"type": "websocket.disconnect", "code": code}


def _known(data: bytes) -> bytes | None:
    """Return the message with an existing time zone and language; None for a kind that no page of ours sends."""
    message = BackMsg.FromString(data)
    kind = message.WhichOneof("type")
    if kind not in USED:
        return None
    if kind == "backend_operation_request":
        return data if message.backend_operation_request.WhichOneof("payload") in OPERATIONS else None
    if kind != "rerun_script":
        return data
    about = message.rerun_script.context_info
    changed = False
    if about.timezone and about.timezone not in _zones():
        about.timezone, changed = "", True
    if about.locale and not _LOCALE.fullmatch(about.locale):
        about.locale, changed = "", True
    return message.SerializeToString() if changed else data


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
