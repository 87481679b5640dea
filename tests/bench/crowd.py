"""Sessions of a Streamlit app without a browser: each asks, reads the whole answer, pauses, and asks again.

    python -m tests.bench.crowd URL SESSIONS

Prints "ready" when all are connected, and, when it is told to end (SIGTERM), how many answers there were. A session has
no cookie, follows the address that its page gets, and takes the end of the script run for the end of the answer.
"""

import asyncio
import contextlib
import json
import signal
import sys

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.wire import rerun

QUESTION = "background question id=crowd{number} n=200 r=40 d=200"
PAUSE_S, STAGGER_S = 1.0, 0.05


class Session:
    """One connection. `answers` counts what it was told."""

    def __init__(self, number: int) -> None:
        self.answers = 0
        self._number, self._box, self._query = number, "", ""

    async def play(self, url: str, in_time: asyncio.Barrier) -> None:
        """Opens the page, waits for the others, then asks until it is cancelled."""
        await asyncio.sleep(STAGGER_S * self._number)
        address = url.replace("http", "ws", 1) + "/_stcore/stream"
        async with connect(
            address, subprotocols=[Subprotocol("streamlit")], compression=None, max_size=None, proxy=None,
            ping_interval=None, open_timeout=60,
        ) as socket:  # fmt: skip
            await self._run(socket)
            await in_time.wait()
            while True:
                await self._run(socket, QUESTION.format(number=self._number))
                self.answers += 1
                await asyncio.sleep(PAUSE_S)

    async def _run(self, socket: ClientConnection, question: str | None = None) -> None:
        """One run of the script, to its end."""
        await socket.send(rerun(self._query, [(self._box, "chat_input_value", question)] if question else ()))
        async for raw in socket:
            came = ForwardMsg.FromString(bytes(raw))  # type: ignore[arg-type]
            match came.WhichOneof("type"):
                case "delta" if came.delta.new_element.WhichOneof("type") == "chat_input":
                    self._box = came.delta.new_element.chat_input.id
                case "page_info_changed":
                    self._query = came.page_info_changed.query_string
                case "script_finished" if came.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                    return


async def main(url: str, count: int) -> None:
    """Plays until it is told to end; a session that fails ends all of them."""
    sessions, in_time = [Session(number) for number in range(count)], asyncio.Barrier(count + 1)
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
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
