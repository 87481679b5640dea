"""Deletions of conversations by their testers: at once in this process, within a few seconds in the others."""

from lib.chat.generation import Generations
from lib.chat.recorder import Texts
from lib.domain.clock import now_ms
from lib.domain.recent import Recent
from lib.domain.record import Receipt
from lib.store import Store

WRITTEN_WITHIN_S = 5.0
"""Seconds that a deletion may take in the record."""
RECENT_MS = 300_000
"""Milliseconds in the past for which replicas read deletions, to tolerate different clocks."""
REMEMBERED = 2_000
"""Visitors whose number of deletions is remembered."""


class Deletions:
    """The deletions that this process knows. `texts` are those that are not stored, if any."""

    def __init__(self, store: Store, generations: Generations, texts: Texts | None = None) -> None:
        self._store, self._generations, self._texts = store, generations, texts
        self._numbers: Recent[str, int] = Recent(REMEMBERED)  # by visitor
        self._known: set[str] = set()

    def delete(self, visitor_id: str, conversation_id: str | None = None) -> Receipt:
        """Delete the text of one conversation of this visitor, or of all, and end its running answers."""
        self._generations.end(visitor_id, conversation_id)
        receipt = self._store.conversations.delete(visitor_id, conversation_id)
        receipt.wait(WRITTEN_WITHIN_S)  # otherwise another tab that looks earlier would still see it
        self._count(visitor_id)
        if self._texts is not None:
            self._texts.forget(receipt.result or ())
        return receipt

    def learn(self) -> set[str]:
        """Drop text that any replica deleted recently; return the visitors whose pages must rerun."""
        recent = self._store.conversations.deletions(now_ms() - RECENT_MS)
        new = {key: visitor_id for key, visitor_id in recent.items() if key not in self._known}
        self._known = set(recent)
        for conversation_id, visitor_id in new.items():
            self._generations.end(visitor_id, conversation_id)
            if self._texts is not None:
                self._texts.forget_conversation(conversation_id)
        visitors = set(new.values())
        for visitor_id in visitors:
            self._count(visitor_id)
        return visitors

    def number(self, visitor_id: str) -> int:
        """Return the number of this visitor's deletions in this process, for tabs that still show the text."""
        return self._numbers.get(visitor_id, 0)

    def _count(self, visitor_id: str) -> None:
        self._numbers[visitor_id] = self.number(visitor_id) + 1
