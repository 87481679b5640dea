"""The events of a database: recorded as they happen, exported in order, listed page by page from the newest on."""

from collections.abc import Iterator, Sequence
from typing import Any

from lib.domain.events import Event
from lib.domain.ledger import Key, Life, Page, Search
from lib.store import facts, ledger, reads
from lib.store.channel import Channel
from lib.store.writer import SIGNAL_LIMIT, Ticket


class EventLedger:
    """The events of a database."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def record(self, events: Sequence[Event]) -> Ticket:
        """Write events that change nothing else."""
        recording = self._channel.recording
        return self._channel.write(lambda connection: facts.record(connection, events, recording), limit=SIGNAL_LIMIT)

    def export(self, since_ms: int | None = None, text: bool = False) -> Iterator[dict[str, Any]]:
        """Yield every event since then, oldest first, as objects of the export; read as it is iterated.

        With `text`, a `chat_completion` has `text` too: its question, answer and comment.
        """
        return reads.export(self._channel.database, since_ms, text)

    def page(self, search: Search, before: Key | None = None, size: int = 50) -> Page:
        """Return events, newest first, from a place in the ledger on, however long that is."""
        with self._channel.read() as connection:
            return ledger.page(connection, search, before, size)

    def groups(self) -> list[str]:
        """Return the groups that any event names."""
        with self._channel.read() as connection:
            return ledger.group_names(connection)

    def life(self, answer_id: str) -> Life | None:
        """Return all events of one answer; None where it has none."""
        with self._channel.read() as connection:
            return ledger.life(connection, answer_id)
