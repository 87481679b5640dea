"""The record: conversations, answers, ratings, and every event with its way to Statsig, on SQLite or PostgreSQL.

`Store` is the door. Writes are handed to one thread (`writer`) and give a `Ticket`; reads are direct. Behind it:
`database` opens and grows a database (`schema`), `facts` says what each fact writes, `reads` what is read,
`comparisons` which answers stand side by side, `ledger` the pages of all events, `outbox` what Statsig still has to
acknowledge, `guests` who may come in, `spending` what it cost, `erasure` what belongs to somebody, `rows` turns values
into rows. Knows nothing of Statsig, OpenAI or Streamlit.
"""

import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from lib.domain.budget import Account, Judged, Spent
from lib.domain.clock import DAY_MS, now_ms
from lib.domain.completion import Completion
from lib.domain.conversation import Comparison, Conversation, Question
from lib.domain.events import Event
from lib.domain.ids import new_id
from lib.domain.invitations import Invitation, Refusal
from lib.domain.ledger import Key, Life, Page, Search
from lib.domain.rating import Rating, Reason, Vote
from lib.domain.record import StoreError
from lib.statistics.sums import Today
from lib.store import comparisons, erasure, facts, guests, ledger, outbox, reads, rows, schema, spending
from lib.store.comparisons import Way
from lib.store.database import Database, probe
from lib.store.erasure import Erased
from lib.store.today import today
from lib.store.writer import PROGRESS_LIMIT, SIGNAL_LIMIT, Fact, StoreMeter, Ticket, Unmetered, Writer

__all__ = ["Erased", "Store", "StoreError", "Ticket", "Way"]

PROBE_S = 1.0
"""How old the last proof that the store can be written may be, and how long a new one may take, in seconds."""
PIECE = 1_000
"""Rows that retention deletes in one transaction, so that nobody waits for it."""


class Store:
    """One process's way to the record.

    What writes returns a `Ticket` at once and never raises; while the database is away it is kept and written when the
    database is back. What reads raises `StoreError` when the database cannot be read.
    """

    def __init__(
        self,
        database: Database,
        *,
        keep_text: bool,
        deliver: bool,
        tier: str,
        owner: str,
        meter: StoreMeter | None = None,
    ) -> None:
        self._meter, self._deleted = meter or Unmetered(), threading.Event()
        self._database, self._writer = database, Writer(database.begin, self._meter)
        self._keep_text, self._deliver, self._tier, self.owner = keep_text, deliver, tier, owner

    @classmethod
    def open(
        cls, url: str, *, keep_text: bool = True, deliver: bool = False, tier: str = "", owner: str | None = None,
        meter: StoreMeter | None = None,
    ) -> "Store":  # fmt: skip
        """Connect and bring the tables up to date. Raises StoreError with a sentence for the operator.

        `keep_text` False: prompts, answers, titles and comments are not stored. `deliver`: events get an outbox row,
        for Statsig. `tier` is where this process belongs (empty: nowhere), kept with what it exposes and asks. `owner`
        names it among those that share the database. `meter` is told how it fares.
        """
        database, owner = Database.open(url), owner or new_id()
        return cls(database, keep_text=keep_text, deliver=deliver, tier=tier, owner=owner, meter=meter)

    def close(self, timeout: float = 5.0) -> bool:
        """Write what is left, at most so many seconds; False when something had to be given up."""
        written = self._writer.close(timeout)
        self._database.close()
        return written

    # How it is

    @property
    def shared(self) -> bool:
        """Whether other processes on other machines may use it as well."""
        return self._database.shared

    @property
    def healthy(self) -> bool:
        """Whether the last attempt to write succeeded and none hangs."""
        return self._writer.error is None

    @property
    def trouble(self) -> str | None:
        """Why nothing can be written now, as a sentence for the operator; None when it can.

        Where nothing was written within the last second, it is tried, for at most a second.
        """
        writer = self._writer
        if len(writer) == 0 and time.monotonic() - writer.committed_at > PROBE_S:
            try:
                writer.call(probe, PROBE_S)
            except StoreError as error:
                return str(error)
        return writer.error

    @property
    def queued(self) -> int:
        """Facts that were handed over and are not committed yet."""
        return len(self._writer)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for queries of one's own. Raises StoreError, at once where a write hangs: a read would, too."""
        began = time.monotonic()
        try:
            if hangs := self._writer.hangs:
                raise StoreError(hangs)
            with self._database.read() as connection:
                yield connection
        except StoreError:
            self._meter.store_failed("read")
            raise
        self._meter.read(time.monotonic() - began)

    def write(self, fact: Fact) -> Ticket:
        """Hand over a fact of one's own: a function of a connection that is harmless when it runs twice."""
        return self._writer.submit(fact)

    def written(self, fact: Fact, within_s: float) -> Any:
        """Hand over such a fact and wait for its commit; its result. Raises StoreError when that takes longer."""
        return self._writer.call(fact, within_s, keep=True)

    # What happens in a conversation

    def ask(
        self, conversation: Conversation, question: Question, prompt: str | None, exposure: Event | None = None,
        replaces: Collection[str] = (), also: Sequence[Event] = (),
    ) -> Ticket:  # fmt: skip
        """A question leaves: its conversation if that is new, its running answer, its exposure, further events.

        `prompt` None: its text is not stored. `replaces` names the answers whose place the coming one takes.
        """
        return self._ask(conversation, [question], prompt, replaces, [*([exposure] if exposure else []), *also])

    def compare(
        self, conversation: Conversation, comparison: Comparison, prompt: str | None, replaces: Collection[str] = (),
        also: Sequence[Event] = (),
    ) -> Ticket:  # fmt: skip
        """A question leaves to two groups: like `ask`, with two running answers and no exposure."""
        questions = [conversation.question(side) for side in comparison.sides]
        return self._ask(conversation, questions, prompt, replaces, also, comparison)

    def _ask(
        self, conversation: Conversation, questions: Sequence[Question], prompt: str | None, replaces: Collection[str],
        events: Sequence[Event], comparison: Comparison | None = None,
    ) -> Ticket:  # fmt: skip
        asked_ms = now_ms()
        text = prompt if self._keep_text else None
        title = (
            rows.title(prompt)
            if self._keep_text and prompt and not any(turn.answer for turn in conversation.turns)
            else None
        )

        def fact(connection: Connection) -> None:
            if comparison is not None:
                facts.add(connection, schema.comparison, rows.comparison_row(conversation, comparison))
            facts.ask(connection, conversation, questions, text, title, replaces, asked_ms, self.owner, self._tier)
            facts.record(connection, events, self._deliver, self._tier, conversation.assignment.invitation)

        return self._writer.submit(fact)

    def partial(self, answer_id: str, text: str | None = None) -> Ticket:
        """An answer of this process still runs, and this has arrived so far."""
        kept = text if self._keep_text else None
        return self._writer.submit(
            lambda connection: facts.partial(connection, answer_id, kept, self.owner),
            limit=PROGRESS_LIMIT,
            key=answer_id,
        )

    def finish(self, question: Question, completion: Completion, event: Event) -> Ticket:
        """An answer ended, and `event` tells it. The first end of an answer is the one that counts: where the receipt's
        result is False, the record may have another one."""

        def fact(connection: Connection) -> bool:
            if not facts.finish(connection, question, completion, event.time_ms, self._keep_text, self._tier):
                return False
            facts.record(connection, [event], self._deliver, self._tier)
            spending.settle(connection, question.answer_id, completion)
            return True

        return self._writer.submit(fact)

    def rate(self, answer_id: str, rating: Rating | None, event: Event | None) -> Ticket:
        """A thumb is given, changed or (None) taken back. What is stored already is neither written nor told again.

        Of a rating that is taken back, the event's value becomes the one that was stored. A changed rating loses the
        reason and the comment of the earlier one.
        """

        def fact(connection: Connection) -> None:
            told = facts.rate(connection, answer_id, rating, event)
            facts.record(connection, told, self._deliver, self._tier)

        return self._writer.submit(fact)

    def give_reason(self, answer_id: str, reason: Reason | None, comment: str | None, event: Event | None) -> Ticket:
        """Why a thumb was given, as it is now (None: nothing is said). A reason that is stored is not told again."""
        kept = comment if self._keep_text else None

        def fact(connection: Connection) -> None:
            told = facts.give_reason(connection, answer_id, reason, kept, event)
            facts.record(connection, told, self._deliver, self._tier)

        return self._writer.submit(fact)

    def vote(self, comparison_id: str, vote: Vote, event: Event) -> Ticket:
        """A comparison is voted on, or its vote is changed. A vote that is stored is neither written nor told again."""

        def fact(connection: Connection) -> None:
            told = comparisons.vote(connection, comparison_id, vote, event)
            facts.record(connection, told, self._deliver, self._tier)

        return self._writer.submit(fact)

    def record(self, events: Sequence[Event]) -> Ticket:
        """Events that change nothing else."""
        return self._writer.submit(lambda c: facts.record(c, events, self._deliver, self._tier), limit=SIGNAL_LIMIT)

    def rename(self, conversation_id: str, visitor_id: str, title: str) -> Ticket:
        """Give a conversation of this visitor another title."""
        kept = title if self._keep_text else None
        return self._writer.submit(lambda connection: facts.rename(connection, conversation_id, visitor_id, kept))

    def delete(self, visitor_id: str, conversation_id: str | None = None) -> Ticket:
        """Delete the text of one conversation of this visitor, or of all; numbers and events stay."""

        def fact(connection: Connection) -> list[str]:
            self._deleted.set()
            return facts.forget(connection, visitor_id, conversation_id)

        return self._writer.submit(fact)

    def deletions(self, since_ms: int) -> dict[str, str]:
        """Return the conversations whose text was deleted since then, by any replica, with their visitors."""
        with self.read() as connection:
            return facts.deletions(connection, since_ms)

    def keep_definitions(self, source: str, specs: str) -> Ticket:
        """Keep what a source served last, for a start without it."""
        return self._writer.submit(lambda connection: facts.keep_definitions(connection, source, specs))

    # What it may cost

    def hold(self, answer_id: str, usd: float, accounts: Sequence[Account], judged: Judged) -> Ticket:
        """Count an answer that is to be asked, for every replica at once; the receipt's result is `budgets.Held`."""
        return self._writer.submit(lambda c: spending.hold(c, answer_id, usd, accounts, judged))

    def settle(self, answer_id: str, completion: Completion) -> Ticket:
        """What an answer cost that is in no record; of the others `finish` sees to it."""
        return self._writer.submit(lambda connection: spending.settle(connection, answer_id, completion))

    def begin_day(self) -> Ticket:
        """Count what today's answers have cost before there was a limit."""
        return self._writer.submit(spending.begin_day)

    def spent(self, accounts: Iterable[Account]) -> dict[Account, Spent]:
        """What these accounts have come to, running answers included."""
        with self.read() as connection:
            return spending.states(connection, accounts)

    def spent_since(self, since_ms: int) -> Spent:
        """What real answers that ended since then have cost, where nothing limits them and so nothing was counted."""
        with self.read() as connection:
            return spending.spent_since(connection, since_ms)

    def furthest(self, day: int, most: int) -> tuple[int, int, int]:
        """Of the visitors who asked on a day: how many they are, how many met their limit, how far the furthest is."""
        with self.read() as connection:
            return spending.furthest(connection, day, most)

    def allowance(self, invitation_id: str) -> float | None:
        """What the answers of an invitation's guests may cost together."""
        with self.read() as connection:
            return spending.allowance(connection, invitation_id)

    # What is known of it

    def conversation(
        self, conversation_id: str, visitor_id: str, newest: int = 20, before_turn: int | None = None
    ) -> Conversation | None:
        """A conversation with its newest turns, or with the newest of those before a turn.

        None where it is unknown or another visitor's.
        """
        with self.read() as connection:
            return reads.one_conversation(connection, conversation_id, visitor_id, newest, before_turn)

    def way(self, experiment: str, unit: str, simulated: bool = False) -> Way | None:
        """How a unit has taken part in an experiment so far. Raises StoreError."""
        with self.read() as connection:
            return comparisons.way(connection, experiment, unit, simulated)

    def compares(self, experiment: str) -> bool:
        """True where any unit has compared in this experiment. Raises StoreError."""
        with self.read() as connection:
            return comparisons.known(connection, experiment)

    def conversations(self, visitor_id: str, limit: int = 50, skip: int = 0) -> list[Conversation]:
        """Return a visitor's conversations without their turns, the last used first, from the one after `skip` on."""
        with self.read() as connection:
            return reads.conversations(connection, visitor_id, limit, skip)

    def completed(self, answer_id: str) -> Mapping[str, Any] | None:
        """The metadata of an answer's `chat_completion`; None while it runs."""
        with self.read() as connection:
            return reads.completions(connection, [answer_id]).get(answer_id)

    def definitions(self, source: str) -> str | None:
        """What this source served last."""
        with self.read() as connection:
            return reads.definitions(connection, source)

    def export(self, since_ms: int | None = None, text: bool = False) -> Iterator[dict[str, Any]]:
        """Every event since then, oldest first, as objects of the export; read as it is iterated.

        With `text`, a `chat_completion` has `text` too: its question, answer and comment.
        """
        return reads.export(self._database, since_ms, text)

    def ledger(self, search: Search, before: Key | None = None, size: int = 50) -> Page:
        """Events, newest first, from a place in the ledger on, as fast from a long ledger as from a short one."""
        with self.read() as connection:
            return ledger.page(connection, search, before, size)

    def groups(self) -> list[str]:
        """The groups that any event names."""
        with self.read() as connection:
            return ledger.group_names(connection)

    def today(self, experiment: str, since_ms: int) -> Today:
        """What real visitors did in an experiment since then."""
        with self.read() as connection:
            return today(connection, experiment, since_ms)

    def life(self, answer_id: str) -> Life | None:
        """Everything that was told of one answer."""
        with self.read() as connection:
            return ledger.life(connection, answer_id)

    # The way to Statsig

    def lease(self, limit: int, seconds: float) -> list[Event]:
        """Events to deliver now, due longest first, and nobody else's for so long; none while the store is away."""
        try:
            return list(self._writer.call(lambda connection: outbox.lease(connection, limit, seconds)))
        except StoreError:
            return []

    def acknowledge(self, event_ids: Collection[str]) -> Ticket:
        """Statsig has these events."""
        return self._writer.submit(lambda connection: outbox.acknowledge(connection, event_ids))

    def postpone(self, event_ids: Collection[str], delay_s: float, error: str | None) -> Ticket:
        """Deliver these events after the delay, for a reason that the operator may read."""
        return self._writer.submit(lambda connection: outbox.postpone(connection, event_ids, delay_s, error))

    def pending(self) -> tuple[int, float]:
        """How many events wait for Statsig, and for how many seconds the oldest of them has."""
        with self.read() as connection:
            return outbox.pending(connection)

    # Who may come in

    def invite(self, invitation: Invitation) -> bool:
        """Keep a new invitation; False where one of its name is still open. Raises StoreError."""
        return bool(self._writer.call(lambda connection: guests.invite(connection, invitation)))

    def revoke(self, name_or_id: str) -> int:
        """End the open invitations of this name or id, for every replica at once; how many. Raises StoreError."""
        return int(self._writer.call(lambda connection: guests.revoke(connection, name_or_id)))

    def invitations(self) -> list[Invitation]:
        """All of them with their use, the newest first."""
        with self.read() as connection:
            return guests.invitations(connection)

    def invitation(self, invitation_id: str) -> Invitation | None:
        """One of them with its use."""
        with self.read() as connection:
            return guests.one(connection, invitation_id)

    def may_enter(self, invitation_id: str, visitor_id: str | None) -> Refusal | None:
        """Why this visitor could not come in by this invitation now; counts nobody."""
        with self.read() as connection:
            found = guests.one(connection, invitation_id)
            if found is None:
                return "unknown"
            known = visitor_id is not None and guests.entered(connection, invitation_id, visitor_id)
            return found.over(now_ms()) if known else found.closed(now_ms())

    def enter(self, invitation_id: str, visitor_id: str) -> Refusal | None:
        """Let this visitor in, or say why not. A new one is counted, once, on whatever replica. Raises StoreError."""
        with self.read() as connection:
            if guests.entered(connection, invitation_id, visitor_id):
                found = guests.one(connection, invitation_id)
                return found.over(now_ms()) if found else "unknown"
        refusal: Refusal | None = self._writer.call(lambda c: guests.enter(c, invitation_id, visitor_id))
        return refusal

    def agree(self, visitor_id: str, version: str) -> Ticket:
        """This visitor accepts this version of the notice."""
        return self._writer.submit(lambda connection: guests.agree(connection, visitor_id, version))

    def agreed(self, visitor_id: str, version: str) -> bool:
        """Whether this visitor accepted this version of the notice."""
        with self.read() as connection:
            return guests.agreed(connection, visitor_id, version)

    def end_sessions(self, sessions: Sequence[str]) -> None:
        """End these sessions of operators and accounts, for every replica. Raises StoreError."""
        self._writer.call(lambda connection: guests.end_sessions(connection, sessions))

    def session_ended(self, session: str) -> bool:
        """Return True for a session that was signed out. Raises StoreError."""
        with self.read() as connection:
            return guests.session_ended(connection, session)

    # Upkeep

    def erase(self, unit: str) -> Erased:
        """Delete everything of this unit: text, numbers, events, those that wait for Statsig too. Raises StoreError."""
        with self.read() as connection:
            found = erasure.find(connection, unit)
        for step in erasure.steps(found):
            self._writer.call(step, 60)
        self._database.empty_log()
        return found.erased

    def forget_deleted(self) -> None:
        """Leave nothing beside the database of text that was deleted since; to be tried again and again."""
        if self._deleted.is_set() and self._writer.error is None:
            self._deleted.clear()
            if not self._database.empty_log():
                self._deleted.set()

    def recover(self, stale_ms: int, limit: int = 100) -> list[tuple[Question, str]]:
        """Take over answers that a process left running and has not been heard of for so long.

        Of each: its question and the text that had arrived. They are this process's now, to be finished as
        `interrupted`; no other process gets them. None while the store is away, nor for as long again when it is back:
        the living were not heard of either.
        """
        before_ms = now_ms() - stale_ms

        def fact(connection: Connection) -> list[tuple[Question, str]]:
            if self._was_away(stale_ms / 1_000):
                return []
            return facts.claim(connection, before_ms, self.owner, limit)

        try:
            return list(self._writer.call(fact))
        except StoreError:
            return []

    def take_over(self, answer_id: str, heard_ms: int) -> tuple[Question, str] | None:
        """Take over one answer as `recover` does, whoever ran it, unless its process was heard of since `heard_ms`."""

        def fact(connection: Connection) -> list[tuple[Question, str]]:
            return [] if self._was_away(PROBE_S) else facts.claim_one(connection, answer_id, heard_ms, self.owner)

        try:
            found = self._writer.call(fact, PROBE_S)
        except StoreError:
            return None
        return found[0] if found else None

    def _was_away(self, seconds: float) -> bool:
        """Whether the store is only coming back, or was back for less than so long. To be asked inside of a fact: one
        that had to wait may be written by the very commit that finds the store again."""
        return self._writer.error is not None or time.monotonic() - self._writer.returned_at < seconds

    def purge(self, days: float) -> int:
        """Delete the text of what was asked longer ago, in pieces; how many rows went. Raises StoreError.

        A conversation goes when it was not used for so long; the numbers and events stay.
        """
        before_ms = now_ms() - int(days * DAY_MS)
        self._writer.call(spending.sweep)
        gone = 0
        while piece := self._writer.call(lambda connection: facts.delete_old_text(connection, before_ms, PIECE)):
            gone += piece
            self._deleted.set()
            time.sleep(0.01)  # others' facts come in between
        return gone
