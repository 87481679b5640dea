"""Conversations with their questions, answers and thumbs: written as they happen, read for a page or a replica."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from lib.domain.clock import now_ms
from lib.domain.completion import Completion
from lib.domain.conversation import Comparison, Conversation, Question
from lib.domain.events import Event
from lib.domain.rating import Rating, Reason, Vote
from lib.domain.record import StoreError
from lib.store import comparisons, facts, reads, rows, schema, spending
from lib.store.channel import PROBE_S, Channel
from lib.store.comparisons import Participation
from lib.store.writer import PROGRESS_LIMIT, Ticket


class StoredConversations:
    """The conversations of a database."""

    def __init__(self, channel: Channel) -> None:
        self._channel, self._recording = channel, channel.recording
        self.deleted = False
        """True while text that was deleted may still be read beside the database, in its log."""

    def ask(
        self,
        conversation: Conversation,
        question: Question,
        prompt: str | None,
        exposure: Event | None = None,
        replaces: Collection[str] = (),
        also: Sequence[Event] = (),
    ) -> Ticket:
        """Write a question: its conversation if that is new, its running answer, its exposure, further events.

        `prompt` None: its text is not stored. `replaces` names the answers whose place the coming one takes.
        """
        asked = self._asked(conversation, [question], prompt, replaces)
        return self._ask(asked, [*([exposure] if exposure else []), *also])

    def compare(
        self,
        conversation: Conversation,
        comparison: Comparison,
        prompt: str | None,
        replaces: Collection[str] = (),
        also: Sequence[Event] = (),
    ) -> Ticket:
        """Write a question to two groups: like `ask`, with two running answers and no exposure."""
        questions = [conversation.question(side) for side in comparison.sides]
        return self._ask(self._asked(conversation, questions, prompt, replaces), also, comparison)

    def _asked(
        self,
        conversation: Conversation,
        questions: Sequence[Question],
        prompt: str | None,
        replaces: Collection[str],
    ) -> facts.Asked:
        text = prompt if self._recording.keep_text else None
        return facts.Asked(conversation, questions, text, replaces, now_ms())

    def _ask(self, asked: facts.Asked, events: Sequence[Event], comparison: Comparison | None = None) -> Ticket:
        conversation, recording = asked.conversation, self._recording

        def fact(connection: Connection) -> None:
            if comparison is not None:
                facts.add(connection, schema.comparison, rows.comparison_row(conversation, comparison))
            facts.ask(connection, asked, recording)
            facts.record(connection, events, recording, conversation.assignment.invitation)

        return self._channel.write(fact)

    def partial(self, answer_id: str, text: str | None = None) -> Ticket:
        """Write that an answer of this process still runs, and its text so far."""
        stored_text = text if self._recording.keep_text else None
        return self._channel.write(
            lambda connection: facts.partial(connection, answer_id, stored_text, self._recording.owner),
            limit=PROGRESS_LIMIT,
            key=answer_id,
        )

    def finish(self, question: Question, completion: Completion, event: Event) -> Ticket:
        """Write the end of an answer with its `event`.

        The first end counts: the ticket of another one has the result False.
        """
        recording = self._recording

        def fact(connection: Connection) -> bool:
            if not facts.finish(connection, question, completion, event.time_ms, recording):
                return False
            facts.record(connection, [event], recording)
            spending.settle(connection, question.answer_id, completion)
            return True

        return self._channel.write(fact)

    def rate(self, answer_id: str, rating: Rating | None, event: Event | None) -> Ticket:
        """Write a thumb that is given, changed or (None) taken back. One that is stored already writes nothing.

        The event of a thumb that is taken back gets the value that was stored. A changed thumb loses the reason and
        the comment of the earlier one.
        """
        recording = self._recording

        def fact(connection: Connection) -> None:
            changes = facts.rate(connection, answer_id, rating, event)
            facts.record(connection, changes, recording)

        return self._channel.write(fact)

    def give_reason(self, answer_id: str, reason: Reason | None, comment: str | None, event: Event | None) -> Ticket:
        """Write the reason of a thumb as it is now (None: none). One that is stored already writes nothing."""
        recording = self._recording
        stored_comment = comment if recording.keep_text else None

        def fact(connection: Connection) -> None:
            changes = facts.give_reason(connection, answer_id, reason, stored_comment, event)
            facts.record(connection, changes, recording)

        return self._channel.write(fact)

    def vote(self, comparison_id: str, vote: Vote, event: Event) -> Ticket:
        """Write the vote on a comparison, given or changed. One that is stored already writes nothing."""
        recording = self._recording

        def fact(connection: Connection) -> None:
            changes = comparisons.vote(connection, comparison_id, vote, event)
            facts.record(connection, changes, recording)

        return self._channel.write(fact)

    def rename(self, conversation_id: str, visitor_id: str, title: str) -> Ticket:
        """Give a conversation of this visitor another title."""
        stored_title = title if self._recording.keep_text else None
        return self._channel.write(
            lambda connection: facts.rename(connection, conversation_id, visitor_id, stored_title)
        )

    def delete(self, visitor_id: str, conversation_id: str | None = None) -> Ticket:
        """Delete the text of one conversation of this visitor, or of all; numbers and events stay."""

        def fact(connection: Connection) -> list[str]:
            self.deleted = True
            return facts.forget(connection, visitor_id, conversation_id)

        return self._channel.write(fact)

    def delete_old(self, before_ms: int, piece: int) -> int:
        """Delete at most `piece` rows of text asked before then and return their number. Raises StoreError."""
        deleted: int = self._channel.call(lambda connection: facts.delete_old_text(connection, before_ms, piece))
        self.deleted = self.deleted or deleted > 0
        return deleted

    def deletions(self, since_ms: int) -> dict[str, str]:
        """Return the conversations whose text was deleted since then, by any replica, with their visitors."""
        with self._channel.read() as connection:
            return facts.deletions(connection, since_ms)

    def get(
        self, conversation_id: str, visitor_id: str, newest: int = 20, before_turn: int | None = None
    ) -> Conversation | None:
        """Return a conversation with its newest turns, or with the newest of those before a turn.

        None where it is unknown or another visitor's.
        """
        with self._channel.read() as connection:
            return reads.one_conversation(connection, conversation_id, visitor_id, newest, before_turn)

    def participation(self, experiment: str, unit: str, simulated: bool = False) -> Participation | None:
        """Return how a unit has taken part in an experiment so far."""
        with self._channel.read() as connection:
            return comparisons.participation(connection, experiment, unit, simulated)

    def compares(self, experiment: str) -> bool:
        """Return True where any unit has compared in this experiment."""
        with self._channel.read() as connection:
            return comparisons.any_compared(connection, experiment)

    def of(self, visitor_id: str, limit: int = 50, skip: int = 0) -> list[Conversation]:
        """Return a visitor's conversations without their turns, the last used first, from the one after `skip` on."""
        with self._channel.read() as connection:
            return reads.conversations(connection, visitor_id, limit, skip)

    def failures(self, since_ms: int, except_user_id: str) -> list[tuple[str, int]]:
        """Return the messages that real testers, this user apart, read in the place of answers that failed since then.

        Each with its number, most often first.
        """
        with self._channel.read() as connection:
            return reads.failures(connection, since_ms, except_user_id)

    def search(self, visitor_id: str, words: Sequence[str], limit: int) -> list[Conversation]:
        """Return a visitor's conversations whose title or text has all these words, without turns, newest first."""
        with self._channel.read() as connection:
            return reads.search_conversations(connection, visitor_id, words, limit)

    def completed(self, answer_id: str) -> Mapping[str, Any] | None:
        """Return the metadata of an answer's `chat_completion`; None while it runs."""
        with self._channel.read() as connection:
            return reads.completions(connection, [answer_id]).get(answer_id)

    def recover(self, stale_ms: int, limit: int = 100) -> list[tuple[Question, str]]:
        """Take over answers of other processes that wrote no heartbeat for `stale_ms`.

        Returns the question of each and the text that had arrived; no other process gets them, and this one must
        finish them as `interrupted`. Returns none while the store is away and for as long after it is back, because
        living processes could not write heartbeats either.
        """
        before_ms = now_ms() - stale_ms

        def fact(connection: Connection) -> list[tuple[Question, str]]:
            if self._channel.was_away(stale_ms / 1_000):
                return []
            return facts.claim(connection, before_ms, self._recording.owner, limit)

        try:
            return list(self._channel.call(fact))
        except StoreError:
            return []

    def take_over(self, answer_id: str, heard_ms: int) -> tuple[Question, str] | None:
        """Take over one answer as `recover` does, whichever process ran it, unless that wrote a heartbeat since
        `heard_ms`."""

        def fact(connection: Connection) -> list[tuple[Question, str]]:
            if self._channel.was_away(PROBE_S):
                return []
            return facts.claim_one(connection, answer_id, heard_ms, self._recording.owner)

        try:
            taken = self._channel.call(fact, PROBE_S)
        except StoreError:
            return None
        return taken[0] if taken else None
