"""The network between a browser and the app, which a test can pull and plug in again.

with cable(app.url) as wire:
    ... open wire.url ...
    wire.pull()      # every connection is reset, and so are new ones
    wire.plug()
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from tests.support.waiting import ENOUGH_S


class Cable:
    """A relay on a port of its own."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._loop = asyncio.new_event_loop()
        self._pulled = False
        self._open: set[asyncio.StreamWriter] = set()
        self.url = ""

    def pull(self) -> None:
        """Reset every open connection, and until `plug` every new one."""
        asyncio.run_coroutine_threadsafe(self._pull(), self._loop).result(ENOUGH_S)

    def plug(self) -> None:
        """Let new connections through again."""
        self._pulled = False

    async def _pull(self) -> None:
        self._pulled = True
        for writer in list(self._open):
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._pulled:
            writer.transport.abort()
            return
        upstream, downstream = await asyncio.open_connection("127.0.0.1", self._to)
        self._open |= {writer, downstream}
        try:
            await asyncio.gather(_copy(reader, downstream), _copy(upstream, writer))
        except asyncio.CancelledError:
            pass  # the cable ends; asyncio would report a cancelled task as an error
        finally:
            for end in (writer, downstream):
                self._open.discard(end)
                end.close()

    async def _serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await stop.wait()
        server.close()
        await self._pull()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()


@contextmanager
def cable(url: str) -> Iterator[Cable]:
    """Lay a cable to the app at this address until the block ends."""
    wire = Cable(urlsplit(url).port or 80)
    ready, stop = threading.Event(), asyncio.Event()
    thread = threading.Thread(target=lambda: wire._loop.run_until_complete(wire._serve(ready, stop)), name="cable")
    thread.start()
    ready.wait()
    try:
        yield wire
    finally:
        wire._loop.call_soon_threadsafe(stop.set)
        thread.join()
        wire._loop.close()
