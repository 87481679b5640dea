"""The record: conversations, answers, ratings, and every event with its way to Statsig, on SQLite or PostgreSQL.

`Store` is the only entrance. Writes go to one thread (`writer`) and return a `Ticket`; reads are direct. Behind it:
`database` opens and migrates a database (`schema`), `facts` has the statements of each write, `reads` those of the
reads, `comparisons` pairs of answers, `ledger` the pages of all events, `outbox` unacknowledged events, `guests`
invitations, `spending` budgets, `erasure` the data of one unit, and `rows` converts values to rows. Knows nothing of
Statsig, OpenAI or Streamlit.
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
"""Seconds for which a successful write proves that the store works, and the timeout of a new probe."""
PIECE = 1_000
"""Rows that retention deletes in one transaction, so that other writers do not wait long."""


class Store:
    """One process's access to the record.

    Writing methods return a `Ticket` at once and never raise; while the database is away, writes wait for it. Reading
    methods raise `StoreError` when the database cannot be read.
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
        cls,
        url: str,
        *,
        keep_text: bool = True,
        deliver: bool = False,
        tier: str = "",
        owner: str | None = None,
        meter: StoreMeter | None = None,
    ) -> "Store":
        """Connect and bring the tables up to date. Raises StoreError with a sentence for the operator.

        `keep_text` False: prompts, answers, titles and comments are not stored. `deliver`: events get an outbox row,
        for Statsig. `tier` is this process's Statsig tier, stored with its exposures and answers. `owner` names it
        among the processes that share the database. `meter` receives measurements.
        """
        database, owner = Database.open(url), owner or new_id()
        return cls(database, keep_text=keep_text, deliver=deliver, tier=tier, owner=owner, meter=meter)

    def close(self, timeout: float = 5.0) -> bool:
        """Write what is queued, for at most this many seconds; False when something was given up."""
        written = self._writer.close(timeout)
        self._database.close()
        return written

    # State

    @property
    def shared(self) -> bool:
        """True where processes on other machines can use the database as well."""
        return self._database.shared

    @property
    def healthy(self) -> bool:
        """True where the last attempt to write succeeded and none hangs."""
        return self._writer.error is None

    @property
    def trouble(self) -> str | None:
        """The reason why nothing can be written now, as a sentence for the operator; None when writing works.

        Where nothing was written within the last second, it probes the store, for at most a second.
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
        """Open a connection for queries. Raises StoreError, at once where a write hangs, because a read would hang
        too."""
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
        """Hand over a custom fact: a function of a connection that may safely run twice."""
        return self._writer.submit(fact)

    def written(self, fact: Fact, within_s: float) -> Any:
        """Hand over a custom fact, wait for its commit and return its result. Raises StoreError on timeout."""
        return self._writer.call(fact, within_s, keep=True)

    # Conversations

    def ask(
        self, conversation: Conversation, question: Question, prompt: str | None, exposure: Event | None = None,
        replaces: Collection[str] = (), also: Sequence[Event] = (),
    ) -> Ticket:  # fmt: skip
        """A question leaves: its conversation if that is new, its running answer, its exposure, further events.

        `prompt` None: its text is not stored. `replaces` names the answers whose place the coming one takes.
        """
        return self._ask(conversation, [question], prompt, replaces, [*([exposure] if exposure else []), *also])

    def compare(
        self,
        conversation: Conversation,
        comparison: Comparison,
        prompt: str | None,
        replaces: Collection[str] = (),
        also: Sequence[Event] = (),
    ) -> Ticket:
        """Record a question to two groups: like `ask`, with two running answers and no exposure."""
        questions = [conversation.question(side) for side in comparison.sides]
        return self._ask(conversation, questions, prompt, replaces, also, comparison)

    def _ask(
        self,
        conversation: Conversation,
        questions: Sequence[Question],
        prompt: str | None,
        replaces: Collection[str],
        events: Sequence[Event],
        comparison: Comparison | None = None,
    ) -> Ticket:
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
        """Record the text that an answer of this process has so far, which also shows that it is alive."""
        kept = text if self._keep_text else None
        return self._writer.submit(
            lambda connection: facts.partial(connection, answer_id, kept, self.owner),
            limit=PROGRESS_LIMIT,
            key=answer_id,
        )

    def finish(self, question: Question, completion: Completion, event: Event) -> Ticket:
        """Record the end of an answer and its `event`. Only the first end counts: where the receipt's result is False,
        the record may hold another one."""

        def fact(connection: Connection) -> bool:
            if not facts.finish(connection, question, completion, event.time_ms, self._keep_text, self._tier):
                return False
            facts.record(connection, [event], self._deliver, self._tier)
            spending.settle(connection, question.answer_id, completion)
            return True

        return self._writer.submit(fact)

    def rate(self, answer_id: str, rating: Rating | None, event: Event | None) -> Ticket:
        """Record a thumb that is given, changed or (None) withdrawn. An unchanged thumb writes nothing and emits no
        event.

        The event of a withdrawn rating gets the stored rating as its value. A changed rating loses the reason and the
        comment of the earlier one.
        """

        def fact(connection: Connection) -> None:
            told = facts.rate(connection, answer_id, rating, event)
            facts.record(connection, told, self._deliver, self._tier)

        return self._writer.submit(fact)

    def give_reason(self, answer_id: str, reason: Reason | None, comment: str | None, event: Event | None) -> Ticket:
        """Record the current reason for a thumb (None: no reason). An unchanged reason emits no event."""
        kept = comment if self._keep_text else None

        def fact(connection: Connection) -> None:
            told = facts.give_reason(connection, answer_id, reason, kept, event)
            facts.record(connection, told, self._deliver, self._tier)

        return self._writer.submit(fact)

    def vote(self, comparison_id: str, vote: Vote, event: Event) -> Ticket:
        """Record a vote on a comparison, or its change. An unchanged vote writes nothing and emits no event."""

        def fact(connection: Connection) -> None:
            told = comparisons.vote(connection, comparison_id, vote, event)
            facts.record(connection, told, self._deliver, self._tier)

        return self._writer.submit(fact)

    def record(self, events: Sequence[Event]) -> Ticket:
        """Record events that change nothing else."""
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
        """Store the definitions that a source served last, for a start without it."""
        return self._writer.submit(lambda connection: facts.keep_definitions(connection, source, specs))

    # Budgets

    def hold(self, answer_id: str, usd: float, accounts: Sequence[Account], judged: Judged) -> Ticket:
        """Count an answer before it is asked, for all replicas at once; the receipt's result is `budgets.Held`."""
        return self._writer.submit(lambda c: spending.hold(c, answer_id, usd, accounts, judged))

    def settle(self, answer_id: str, completion: Completion) -> Ticket:
        """Settle the cost of an answer that has no row; `finish` settles the others."""
        return self._writer.submit(lambda connection: spending.settle(connection, answer_id, completion))

    def begin_day(self) -> Ticket:
        """Start a day's count with the cost of today's answers so far."""
        return self._writer.submit(spending.begin_day)

    def spent(self, accounts: Iterable[Account]) -> dict[Account, Spent]:
        """Return the state of these accounts, running answers included."""
        with self.read() as connection:
            return spending.states(connection, accounts)

    def spent_since(self, since_ms: int) -> Spent:
        """Return the cost of real answers that ended since a time, where no limit is set and so nothing was counted."""
        with self.read() as connection:
            return spending.spent_since(connection, since_ms)

    def furthest(self, day: int, most: int) -> tuple[int, int, int]:
        """Return of the visitors who asked on a day: their number, how many met their limit, the largest count."""
        with self.read() as connection:
            return spending.furthest(connection, day, most)

    def allowance(self, invitation_id: str) -> float | None:
        """Return an invitation's limit of US dollars, None without one."""
        with self.read() as connection:
            return spending.allowance(connection, invitation_id)

    # Reads

    def conversation(
        self, conversation_id: str, visitor_id: str, newest: int = 20, before_turn: int | None = None
    ) -> Conversation | None:
        """Return a conversation with its newest turns, or with the newest of those before a turn.

        None where it is unknown or another visitor's.
        """
        with self.read() as connection:
            return reads.one_conversation(connection, conversation_id, visitor_id, newest, before_turn)

    def way(self, experiment: str, unit: str, simulated: bool = False) -> Way | None:
        """Return how a unit has taken part in an experiment so far. Raises StoreError."""
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
        """Return the metadata of an answer's `chat_completion`; None while it runs."""
        with self.read() as connection:
            return reads.completions(connection, [answer_id]).get(answer_id)

    def definitions(self, source: str) -> str | None:
        """Return the definitions that this source served last."""
        with self.read() as connection:
            return reads.definitions(connection, source)

    def export(self, since_ms: int | None = None, text: bool = False) -> Iterator[dict[str, Any]]:
        """Yield every event since a time, oldest first, in the shape of the export, reading as it goes.

        With `text`, a `chat_completion` has `text` too: its question, answer and comment.
        """
        return reads.export(self._database, since_ms, text)

    def ledger(self, search: Search, before: Key | None = None, size: int = 50) -> Page:
        """Return events, newest first, from a place in the ledger on. The time does not grow with the ledger."""
        with self.read() as connection:
            return ledger.page(connection, search, before, size)

    def groups(self) -> list[str]:
        """Return the groups that any event names."""
        with self.read() as connection:
            return ledger.group_names(connection)

    def today(self, experiment: str, since_ms: int) -> Today:
        """Return the counts of real visitors in an experiment since a time."""
        with self.read() as connection:
            return today(connection, experiment, since_ms)

    def life(self, answer_id: str) -> Life | None:
        """Return everything known of one answer."""
        with self.read() as connection:
            return ledger.life(connection, answer_id)

    # Delivery to Statsig

    def lease(self, limit: int, seconds: float) -> list[Event]:
        """Lease due events, the longest due first; no other process gets them during the lease. Empty while the store
        is away."""
        try:
            return list(self._writer.call(lambda connection: outbox.lease(connection, limit, seconds)))
        except StoreError:
            return []

    def acknowledge(self, event_ids: Collection[str]) -> Ticket:
        """Mark these events as acknowledged by Statsig."""
        return self._writer.submit(lambda connection: outbox.acknowledge(connection, event_ids))

    def postpone(self, event_ids: Collection[str], delay_s: float, error: str | None) -> Ticket:
        """Deliver these events after the delay; the reason is shown to operators."""
        return self._writer.submit(lambda connection: outbox.postpone(connection, event_ids, delay_s, error))

    def pending(self) -> tuple[int, float]:
        """Return how many events wait for Statsig, and the age of the oldest in seconds."""
        with self.read() as connection:
            return outbox.pending(connection)

    # Access

    def invite(self, invitation: Invitation) -> bool:
        """Store a new invitation; False where an open one has its name. Raises StoreError."""
        return bool(self._writer.call(lambda connection: guests.invite(connection, invitation)))

    def revoke(self, name_or_id: str) -> int:
        """End the open invitations of this name or id, for every replica at once; return their number. Raises
        StoreError."""
        return int(self._writer.call(lambda connection: guests.revoke(connection, name_or_id)))

    def invitations(self) -> list[Invitation]:
        """Return all invitations with their use, newest first."""
        with self.read() as connection:
            return guests.invitations(connection)

    def invitation(self, invitation_id: str) -> Invitation | None:
        """Return one invitation with its use."""
        with self.read() as connection:
            return guests.one(connection, invitation_id)

    def may_enter(self, invitation_id: str, visitor_id: str | None) -> Refusal | None:
        """Return why this visitor could not use this invitation now; counts nothing."""
        with self.read() as connection:
            found = guests.one(connection, invitation_id)
            if found is None:
                return "unknown"
            known = visitor_id is not None and guests.entered(connection, invitation_id, visitor_id)
            return found.over(now_ms()) if known else found.closed(now_ms())

    def enter(self, invitation_id: str, visitor_id: str) -> Refusal | None:
        """Admit this visitor, or return why not. A new visitor is counted once, on any replica. Raises StoreError."""
        with self.read() as connection:
            if guests.entered(connection, invitation_id, visitor_id):
                found = guests.one(connection, invitation_id)
                return found.over(now_ms()) if found else "unknown"
        refusal: Refusal | None = self._writer.call(lambda c: guests.enter(c, invitation_id, visitor_id))
        return refusal

    def agree(self, visitor_id: str, version: str) -> Ticket:
        """Record that this visitor accepts this version of the notice."""
        return self._writer.submit(lambda connection: guests.agree(connection, visitor_id, version))

    def agreed(self, visitor_id: str, version: str) -> bool:
        """Return True where this visitor accepted this version of the notice."""
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
        """Remove deleted text from the files beside the database. Repeat it until it succeeds."""
        if self._deleted.is_set() and self._writer.error is None:
            self._deleted.clear()
            if not self._database.empty_log():
                self._deleted.set()

    def recover(self, stale_ms: int, limit: int = 100) -> list[tuple[Question, str]]:
        """Take over running answers whose process has sent no heartbeat for a time.

        Returns each question with the text that had arrived. This process owns them now and finishes them as
        `interrupted`; no other process gets them. Empty while the store is away, and for as long again after its
        return: running processes could not write heartbeats either.
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
        """Take over one answer as `recover` does, whichever process ran it, unless that process wrote a heartbeat after
        `heard_ms`."""

        def fact(connection: Connection) -> list[tuple[Question, str]]:
            return [] if self._was_away(PROBE_S) else facts.claim_one(connection, answer_id, heard_ms, self.owner)

        try:
            found = self._writer.call(fact, PROBE_S)
        except StoreError:
            return None
        return found[0] if found else None

    def _was_away(self, seconds: float) -> bool:
        """Return True while the store is coming back, or was back for less than this time. Call it inside a fact: a
        fact that had to wait may be written by the very commit that finds the store again."""
        return self._writer.error is not None or time.monotonic() - self._writer.returned_at < seconds

    def purge(self, days: float) -> int:
        """Delete the text of old questions, in pieces; return the number of rows.

        A conversation is deleted when it was not used for that time; numbers and events stay.
        """
        before_ms = now_ms() - int(days * DAY_MS)
        self._writer.call(spending.sweep)
        gone = 0
        while piece := self._writer.call(lambda connection: facts.delete_old_text(connection, before_ms, PIECE)):
            gone += piece
            self._deleted.set()
            time.sleep(0.01)  # lets other writers in
        return gone
