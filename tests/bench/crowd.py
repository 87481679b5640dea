"""Sessions without a browser. Each asks, reads the whole answer, pauses, and asks again.

    python -m tests.bench.crowd streamlit|bare URL SESSIONS

Print "ready" when all sessions are connected, and the number of answers at SIGTERM. Sessions have no cookie. One of a
Streamlit app sends the query string that its page was given, and takes the end of the script run as that of the answer.
"""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.support.raw_websocket import rerun

QUESTION = "background question id=crowd{number} n=200 r=40 d=200"
PAUSE_S, STAGGER_S = 1.0, 0.05
Ask = Callable[[str], Awaitable[None]]
"""A function that asks a question in a session and returns once the answer has been read."""
Opened = Callable[[str], contextlib.AbstractAsyncContextManager[Ask]]
"""A function that opens a session of the app at an address."""


class Session:
    """One session. `answers` is the number of answers that it has read."""

    def __init__(self, number: int, opened: Opened) -> None:
        self.answers = 0
        self._number, self._opened = number, opened

    async def play(self, url: str, in_time: asyncio.Barrier) -> None:
        """Open the page, wait for the other sessions, then ask until the task is cancelled."""
        await asyncio.sleep(STAGGER_S * self._number)
        async with self._opened(url) as ask:
            await in_time.wait()
            while True:
                await ask(QUESTION.format(number=self._number))
                self.answers += 1
                await asyncio.sleep(PAUSE_S)


@contextlib.asynccontextmanager
async def streamlit(url: str) -> AsyncIterator[Ask]:
    """Open a session of any Streamlit chat."""
    address = url.replace("http", "ws", 1) + "/_stcore/stream"
    async with connect(
        address, subprotocols=[Subprotocol("streamlit")], compression=None, max_size=None, proxy=None,
        ping_interval=None, open_timeout=60,
    ) as socket:  # fmt: skip
        page = _Page(socket)
        await page.run()
        yield page.run


class _Page:
    """The state of a page that a browser needs to rerun its script."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._box, self._query = socket, "", ""

    async def run(self, question: str | None = None) -> None:
        """Run the script to its end, with a question if one is given."""
        await self._socket.send(rerun(self._query, [(self._box, "chat_input_value", question)] if question else ()))
        async for raw in self._socket:
            came = ForwardMsg.FromString(bytes(raw))  # type: ignore[arg-type]
            match came.WhichOneof("type"):
                case "delta" if came.delta.new_element.WhichOneof("type") == "chat_input":
                    self._box = came.delta.new_element.chat_input.id
                case "page_info_changed":
                    self._query = came.page_info_changed.query_string
                case "script_finished" if came.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                    return


@contextlib.asynccontextmanager
async def bare(url: str) -> AsyncIterator[Ask]:
    """Open a session of `peers/bare.py`."""
    messages: list[dict[str, str]] = []
    async with httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:

        async def ask(question: str) -> None:
            messages.append({"role": "user", "content": question})
            answer = await client.post("/ask", json=messages)
            messages.append({"role": "assistant", "content": answer.raise_for_status().text})

        yield ask


async def main(opened: Opened, url: str, count: int) -> None:
    """Play `count` sessions until SIGTERM. A session that fails ends all of them."""
    sessions, in_time = [Session(number, opened) for number in range(count)], asyncio.Barrier(count + 1)
    itself = asyncio.current_task()
    assert itself
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, itself.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as playing:
            for session in sessions:
                playing.create_task(session.play(url, in_time))
            await in_time.wait()
            print("ready", flush=True)
    print(json.dumps({"answers": sum(session.answers for session in sessions)}), flush=True)


if __name__ == "__main__":
    asyncio.run(main({"streamlit": streamlit, "bare": bare}[sys.argv[1]], sys.argv[2], int(sys.argv[3])))
