"""Many players at once, each of which asks, reads and rates without end, and their observations.

This module knows players. It knows neither processes nor the measures taken beside them.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType

from tests.load.player import Asked, Player

TURNS = 5
"""Questions in one conversation."""
OPENING = 10
"""Pages that are opened at the same time."""


class Crowd:
    """Players, spread evenly over the replicas at these addresses."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls
        self._stack, self._opening = AsyncExitStack(), asyncio.Semaphore(OPENING)
        self._players: list[Player] = []
        self._busy: list[asyncio.Task[None]] = []
        self._leaving = asyncio.Event()
        self.asked: list[Asked] = []
        self.votes, self.left = 0, 0
        self.errors: list[str] = []

    async def __aenter__(self) -> "Crowd":
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        for task in self._busy:
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)
        await self._stack.aclose()

    def __len__(self) -> int:
        """Return the number of players that have opened a page."""
        return len(self._players)

    async def open(self, count: int) -> None:
        """Open pages until `count` players have one."""
        await asyncio.gather(*(self._open() for _ in range(count - len(self._players))))

    async def ask_once(self, at_once: int) -> None:
        """Have every player ask one question, read the answer and rate it; at most `at_once` do so at a time."""
        room = asyncio.Semaphore(at_once)

        async def one(player: Player) -> None:
            async with room:
                if not self.errors:
                    await self._turn(player)

        await asyncio.gather(*map(one, self._players))

    async def begin(self, over_s: float) -> None:
        """Have every idle player begin to play, spread evenly over `over_s` seconds."""
        idle = self._players[len(self._busy) :]
        for player in idle:
            self._busy.append(asyncio.create_task(self._play(player)))
            await asyncio.sleep(over_s / len(idle))

    async def end(self) -> None:
        """Have every player stop after the present question, and wait until all have."""
        self._leaving.set()
        await asyncio.gather(*self._busy)

    async def _open(self) -> None:
        async with self._opening:
            url = self._urls[len(self._players) % len(self._urls)]
            self._players.append(player := Player(url))
            await self._stack.enter_async_context(player)

    async def _play(self, player: Player) -> None:
        turn = 0
        while not self._leaving.is_set() and await self._turn(player):
            turn += 1
            if turn % TURNS == 0:
                await player.new_conversation()

    async def _turn(self, player: Player) -> bool:
        """Ask, read and rate once; return False where that failed, upon which the player stops."""
        self.left += 1
        tag = f"q{self.left}-"
        try:
            self.asked.append(await player.ask(tag))
            await player.rate(self.left % 3 != 0)
            self.votes += 1
        except (TimeoutError, ConnectionError) as error:
            self.errors.append(f"{tag} {type(error).__name__} {error}")
            return False
        return True
