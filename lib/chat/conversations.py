"""The operations of a tester, one call each: ask, ask again, rate, give a reason, copy, reopen.

Owns the order of the steps of a question: assignment, exposure, generation, record. Pages hold the `Conversation`
values that these methods return, and pass them back.
"""

import logging
from collections.abc import Collection, MutableSet
from dataclasses import replace

from lib.access.budgets import Budgets, refusal
from lib.access.crowd import Crowd
from lib.chat.deletions import Deletions
from lib.chat.generation import Generations
from lib.chat.preparation import Preparation
from lib.chat.recorder import Texts, Unwritten
from lib.chat.running_answer import Answer, Ended
from lib.domain.assignment import Assignment
from lib.domain.clock import now_ms
from lib.domain.completion import Completion, Limit
from lib.domain.conversation import Conversation, Question, Turn, with_changes
from lib.domain.events import (
    Event,
    chat_completion,
    completion_facts,
    exposure,
    feedback_reason,
    rating,
    rating_withdrawn,
    signal,
)
from lib.domain.ids import new_id
from lib.domain.rating import Rating, Reason
from lib.domain.recent import Recent
from lib.domain.record import Receipt
from lib.domain.visitor import Visitor
from lib.experiments.evaluator import Experiments
from lib.metrics.counters import Metrics
from lib.models.providers import Call, Providers
from lib.store import Store, StoreError

log = logging.getLogger("parley.conversation")

TURNS_LOADED = 60
"""Turns that a reopened conversation loads first; earlier ones are loaded on request."""
STOPPED_WITHIN_S = 0.25
"""Seconds that the record may take to store the end of an answer."""
REMEMBERED = 2_000
"""Conversations whose latest answer is remembered."""

Exposed = MutableSet[tuple[str, str, str | None, bool, int]]
"""The exposures of one session so far: experiment, unit, group, forced, run."""


class Conversations:
    """The operations of a page on conversations, for any visitor; ownership is checked against the store."""

    def __init__(
        self,
        *,
        experiment: str,
        store: Store,
        experiments: Experiments,
        models: Providers,
        generations: Generations,
        metrics: Metrics,
        budgets: Budgets,
        texts: Texts | None = None,
        crowd: Crowd | None = None,
    ) -> None:
        self._configured, self.preparation = experiment, Preparation(models, budgets, crowd)
        self._store, self._experiments, self._models = store, experiments, models
        self._generations, self._metrics = generations, metrics
        self._texts, self.deletions = texts, Deletions(store, generations, texts)
        self._latest: Recent[str, str] = Recent(REMEMBERED)  # the id of each conversation's last turn

    def remember_latest(self, conversation_id: str, turn_id: str) -> None:
        """Remember the last turn of a conversation, for its other tabs."""
        self._latest[conversation_id] = turn_id

    @property
    def experiment(self) -> str:
        """The experiment that testers get now."""
        return self._experiments.live or self._configured

    def fresh(self, conversation: Conversation) -> Conversation:
        """Return the conversation with the questions of other tabs; runs no query where there are none."""
        latest = self._latest.get(conversation.id)
        if latest is None or (conversation.turns and conversation.turns[-1].answer_id == latest):
            return conversation
        return self.reread(conversation)

    def reread(self, conversation: Conversation) -> Conversation:
        """Return the conversation as stored; unchanged where the store cannot be read."""
        try:
            return self.get(conversation.id, conversation.visitor_id) or conversation
        except StoreError:
            return conversation

    def ask(
        self,
        visitor: Visitor,
        conversation: Conversation | None,
        prompt: str,
        exposed: Exposed,
        *,
        simulated: bool = False,
        assignment: Assignment | None = None,
    ) -> tuple[Conversation, Answer]:
        """Send a question. A new conversation is assigned here (or takes `assignment`), an old one keeps its own."""
        if conversation is None:
            assignment = assignment or self._experiments.assign(visitor, self.experiment)
            assignment = replace(assignment, invitation=visitor.custom.get("invitation"))
            conversation = Conversation(new_id(), visitor.visitor_id, assignment, simulated=simulated)
        return self._send(visitor, conversation, prompt, exposed, None)

    def ask_again(
        self, visitor: Visitor, conversation: Conversation, exposed: Exposed, prompt: str | None = None
    ) -> tuple[Conversation, Answer]:
        """Send the last question, or a replacement, again; the earlier answer is replaced."""
        last = conversation.turns[-1]
        self.stop(conversation)
        return self._send(visitor, conversation, prompt or last.question or "", exposed, last)

    def _send(
        self, visitor: Visitor, conversation: Conversation, prompt: str, exposed: Exposed, replaced: Turn | None
    ) -> tuple[Conversation, Answer]:
        """Record a question, then start its answer. A refusal comes after the exposure, in every group."""
        assignment, answer_id = conversation.assignment, new_id()
        before = replace(conversation, turns=conversation.turns[:-1]) if replaced else conversation
        call = self.preparation.call(visitor, before, prompt, self._experiments.served(assignment))
        limit = None if conversation.simulated else self.preparation.limit(visitor, {answer_id: call})
        written = limit is None or self.preparation.first_refusal(limit, visitor)
        exposure_event = self._exposure(visitor, conversation, exposed) if written else None
        if limit:  # the earlier answer stays, because no new one will come
            before, replaced = conversation, None
        turn = replaced.turn if replaced else (before.turns[-1].turn + 1 if before.turns else 1)
        model = call.parameters.model
        question = Question(
            answer_id, conversation.id, visitor.session_id, turn, model, assignment, conversation.simulated
        )
        if self._texts is not None and not limit:
            self._texts.question(conversation.id, answer_id, prompt)
        if written:  # of a refused question without its text
            self._store.conversations.ask(
                conversation,
                question,
                None if limit else prompt,
                exposure_event,
                replaces=[side.answer_id for side in replaced.sides] if replaced else [],
                also=regenerated(conversation, replaced),
            )
        answer = self.start(visitor, question, call, limit, written=written)
        self.remember_latest(conversation.id, answer_id)
        new = Turn(answer_id, turn, visitor.session_id, model, now_ms(), question=prompt, versions=_versions(replaced))
        return replace(before, turns=(*before.turns, new)), answer

    def start(self, visitor: Visitor, question: Question, call: Call, limit: Limit | None, *, written: bool) -> Answer:
        """Start the answer to a recorded question; one that met a limit ends at once, and no model is asked."""
        answer = self._generations.start(
            question,
            visitor.visitor_id,
            lambda: Ended(refusal(limit)) if limit else self._models.stream(call),
            journal=None if written else Unwritten(),
        )
        self.preparation.began(question.answer_id, answer)
        if written and not question.simulated:
            _log_question(question, visitor)
        return answer

    def _exposure(self, visitor: Visitor, conversation: Conversation, exposed: Exposed) -> Event | None:
        """Return the exposure of this question, None where the session has had it."""
        assignment = conversation.assignment
        key = (
            assignment.experiment,
            assignment.user_id,
            assignment.group,
            assignment.forced,
            assignment.run,
        )
        if key in exposed:
            return None
        exposed.add(key)
        if assignment.unknown_unit is not None or assignment.compare:
            return None
        return exposure(assignment, visitor.session_id, simulated=conversation.simulated)

    def answer(self, turn: Turn) -> Answer | None:
        """Return the running (or recently ended) answer of a turn, where this process has it."""
        return self._generations.get(turn.answer_id)

    def stop(self, conversation: Conversation) -> Conversation:
        """End the running answers of the last turn; the text so far is kept.

        An answer of another process, even of one that is gone, ends in the record, where the first end counts.
        """
        elsewhere = [side for side in conversation.turns[-1].sides if not self._stop_own(side) and side.running]
        for side in elsewhere:
            question = conversation.question(side)
            completion = Completion(side.answer or "", "stopped", (now_ms() - side.asked_ms) / 1000)
            self._store.conversations.finish(question, completion, chat_completion(question, completion)).wait(
                STOPPED_WITHIN_S
            )
        return self.reread(conversation) if elsewhere else conversation

    def _stop_own(self, side: Turn) -> bool:
        answer = self._generations.get(side.answer_id)
        if answer:
            answer.stop()
        return answer is not None

    def settle(self, conversation: Conversation, answer: Answer) -> Conversation:
        """Return the conversation with the result of this ended answer."""
        completion = answer.completion
        if completion is None:
            return conversation
        return with_changes(
            conversation,
            answer.question.answer_id,
            answer=completion.text,
            finish_reason=completion.finish_reason,
            time_ms=answer.ended_ms,
            message=completion.message,
            error=completion.error,
            reasoning=completion.reasoning,
            facts=completion_facts(completion),
        )

    def rate(self, conversation: Conversation, turn: Turn, vote: Rating | None) -> tuple[Conversation, Receipt]:
        """Give, change or (None) withdraw a thumb, and with it the earlier reason."""
        question = conversation.question(turn)
        delay = (now_ms() - (turn.time_ms or now_ms())) / 1000
        if vote:
            event = rating(question, turn.facts, vote, delay)
        else:
            event = rating_withdrawn(question, turn.facts, turn.rating or "satisfaction", delay)
        self._metrics.rated(question.assignment.group, event.name)
        log.info(
            "rated",
            extra={"answer_id": turn.answer_id, "visitor_id": conversation.visitor_id, "rating": event.name},
        )
        receipt = self._store.conversations.rate(turn.answer_id, vote, event)
        return with_changes(conversation, turn.answer_id, rating=vote, reason=None, comment=None), receipt

    def explain(
        self, conversation: Conversation, turn: Turn, reason: Reason | None, comment: str | None
    ) -> tuple[Conversation, Receipt]:
        """Give the reason for a thumb: one of the list (an event), a comment (kept in the store only), or both."""
        changed = reason if reason != turn.reason else None
        event = feedback_reason(conversation.question(turn), turn.facts, changed) if changed else None
        receipt = self._store.conversations.give_reason(turn.answer_id, reason, comment, event)
        return with_changes(conversation, turn.answer_id, reason=reason, comment=comment), receipt

    def copied(self, conversation: Conversation, turn: Turn) -> None:
        """Record that the answer was copied."""
        self._store.events.record([signal(conversation.question(turn), "copied")])

    def forget_closed(self, shown: Collection[str]) -> None:
        """Drop unstored texts of conversations that no page shows any more."""
        if self._texts is not None:
            self._texts.forget_closed(shown)

    def deleted(self, conversation: Conversation) -> bool:
        """Return True where the record no longer has this conversation, so that a page must drop its text too."""
        try:
            return self.get(conversation.id, conversation.visitor_id) is None
        except StoreError:
            return False

    def get(self, conversation_id: str, visitor_id: str, before_turn: int | None = None) -> Conversation | None:
        """Return a conversation of this visitor with its newest turns (or those before one); None for another
        visitor's.

        Raises StoreError.
        """
        stored = self._store.conversations.get(
            conversation_id, visitor_id, newest=TURNS_LOADED, before_turn=before_turn
        )
        if stored is None or self._texts is None:
            return stored
        return replace(stored, turns=tuple(self._texts.fill(turn) for turn in stored.turns))

    def earlier(self, conversation: Conversation) -> Conversation:
        """Return the conversation with older turns in front; unchanged where the store cannot be read."""
        try:
            older = self.get(conversation.id, conversation.visitor_id, before_turn=conversation.turns[0].turn)
        except StoreError:
            return conversation
        if older is None:
            return conversation
        return replace(conversation, turns=(*older.turns, *conversation.turns), earlier=older.earlier)


def _log_question(question: Question, visitor: Visitor) -> None:
    """Log the beginning of an answer, after the question was sent, so that it waits for no disk."""
    log.info(
        "asked",
        extra={
            "answer_id": question.answer_id,
            "visitor_id": visitor.visitor_id,
            "session_id": question.session_id,
            "conversation_id": question.conversation_id,
            "turn": question.turn,
            "model": question.model,
            "experiment": question.assignment.experiment,
            "group": question.assignment.group,
        },
    )


def regenerated(conversation: Conversation, replaced: Turn | None) -> list[Event]:
    """Return the signals that the answers of a turn are replaced; none where there were no answers."""
    if replaced is None or replaced.finish_reason == "limited":
        return []
    return [signal(conversation.question(side), "regenerated") for side in replaced.sides]


def _versions(replaced: Turn | None) -> tuple[Turn, ...]:
    """Return the versions of an answer that takes this one's place: those that have text."""
    if replaced is None or replaced.comparison:
        return ()
    return (*replaced.versions, *([replace(replaced, versions=())] if replaced.answer else []))
