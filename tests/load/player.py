"""One tester of many: Streamlit's own websocket on asyncio, the least expensive session there is.

    async with Player(url) as player:
        asked = await player.ask("q1")          # returns once the answer has ended
        await player.rate(True)

A player does what a browser does: it sends the cookie, reruns fragments as often as they ask for it, and asks one
question after the other. It knows two elements of the page: the box for the question, and the thumbs. The model server
is that of `outside.py`.
"""

import asyncio
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.support.raw_websocket import rerun

WITHIN_S = 30.0
"""Seconds after which a step has failed."""


@dataclass(frozen=True)
class Asked:
    """One question: its time (monotonic), and the seconds until the page had the first words and until it was done."""

    at: float
    first_s: float
    whole_s: float


class Player:
    """One tab of one new visitor."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._socket: ClientConnection | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._again: dict[str, asyncio.Task[None]] = {}
        self._idle, self._first, self._whole = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._awaited = 0
        self._box = self._thumbs = self._conversation = self._tag = ""
        self._at = self._first_at = 0.0
        self.gone = False

    async def __aenter__(self) -> "Player":
        cookie = await asyncio.to_thread(_new_cookie, self._url)
        self._socket = await connect(
            self._url.replace("http", "ws", 1) + "/_stcore/stream", subprotocols=[Subprotocol("streamlit")],
            additional_headers={"Cookie": cookie}, compression=None, max_size=None, open_timeout=WITHIN_S,
            ping_interval=None, proxy=None,
        )  # fmt: skip
        self._keep(self._read(self._socket))
        await self.look()
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket:
            await self._socket.close()

    @property
    def repeating(self) -> int:
        """Return the number of page parts that rerun by themselves."""
        return len(self._again)

    async def ask(self, tag: str) -> Asked:
        """Ask a question and wait for its whole answer, which begins with `tag` and ends with "end-" and `tag`."""
        self._tag, self._at, self._first_at = tag, time.monotonic(), 0.0
        self._first.clear()
        self._whole.clear()
        await self._rerun(self._box, "chat_input_value", f"{tag} How do I connect a model of my own?")
        await self._until(self._first)
        await self._until(self._whole)
        await self._until(self._idle)
        return Asked(self._at, self._first_at - self._at, time.monotonic() - self._at)

    async def rate(self, up: bool) -> None:
        """Click a thumb of the newest answer and wait until the page has taken it."""
        await self._rerun(self._thumbs, "string_value", str(int(up)))
        await self._until(self._idle)

    async def new_conversation(self) -> None:
        """Go to an empty page."""
        self._conversation = ""
        await self.look()

    async def look(self) -> None:
        """Run the page's script and wait until it has ended."""
        await self._rerun()
        await self._until(self._idle)

    async def _until(self, event: asyncio.Event) -> None:
        await asyncio.wait_for(event.wait(), WITHIN_S)
        if self.gone:
            raise ConnectionError("the connection was closed")

    async def _rerun(self, widget: str = "", field: str = "", value: str = "", fragment: str = "") -> None:
        query = f"c={self._conversation}" if self._conversation else ""
        if not fragment:
            self._awaited += 1
            self._idle.clear()
        assert self._socket
        await self._socket.send(rerun(query, [(widget, field, value)] if widget else (), fragment=fragment))

    async def _read(self, socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            async for raw in socket:
                assert isinstance(raw, bytes)
                self._take(ForwardMsg.FromString(raw))
        self.gone = True
        for event in (self._idle, self._first, self._whole):
            event.set()

    def _take(self, message: ForwardMsg) -> None:
        match message.WhichOneof("type"):
            case "delta":
                self._see(message)
            case "new_session":
                if not message.metadata.run.fragment_ids:
                    self._awaited = 0
                    for fragment in list(self._again):
                        self._stop(fragment)
            case "page_info_changed":
                self._conversation = message.page_info_changed.query_string.partition("c=")[2].partition("&")[0]
            case "auto_rerun":
                wanted = message.auto_rerun
                self._stop(wanted.fragment_id)
                self._again[wanted.fragment_id] = self._keep(self._repeat(wanted.fragment_id, wanted.interval))
            case "stop_auto_rerun":
                for fragment in message.stop_auto_rerun.fragment_ids:
                    self._stop(fragment)
            case "script_finished":
                if message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY and not self._awaited:
                    self._idle.set()

    def _see(self, message: ForwardMsg) -> None:
        element = message.delta.new_element
        match element.WhichOneof("type"):
            case "markdown" if self._tag:
                if not self._first_at and self._tag in element.markdown.body:
                    self._first_at = time.monotonic()
                    self._first.set()
                if f"end-{self._tag}" in element.markdown.body:
                    self._whole.set()
            case "chat_input":
                self._box = element.chat_input.id
            case "feedback":
                self._thumbs = element.feedback.id

    async def _repeat(self, fragment: str, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            await self._rerun(fragment=fragment)

    def _stop(self, fragment: str) -> None:
        if task := self._again.pop(fragment, None):
            task.cancel()

    def _keep(self, work: "asyncio._CoroutineLike[None]") -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _new_cookie(url: str) -> str:
    with urllib.request.urlopen(url + "/", timeout=WITHIN_S) as page:
        return str(page.headers["Set-Cookie"]).partition(";")[0]
