"""One question, two answers side by side: which units compare, which groups answer, and the vote.

Owns the order of the steps: the pair of groups, the limits, two generations, the record. A unit that compares is never
exposed. Knows no page and no formula.
"""

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace

from lib.chat.conversations import Conversations, Exposed, regenerated
from lib.chat.following import Following
from lib.chat.recorder import Texts
from lib.chat.running_answer import Answer
from lib.domain.assignment import Assignment
from lib.domain.clock import now_ms
from lib.domain.conversation import Comparison, Conversation, Position, Turn, compared, with_changes
from lib.domain.events import feedback_reason, preference
from lib.domain.ids import new_id
from lib.domain.rating import Reason, Vote
from lib.domain.recent import Recent
from lib.domain.record import Receipt
from lib.domain.visitor import Visitor
from lib.experiments import comparing
from lib.experiments.definitions import Definition, Group
from lib.experiments.evaluator import Experiments
from lib.models.providers import Call
from lib.store import Participation, Store, StoreError

log = logging.getLogger("parley.conversation")

REMEMBERED = 10_000
"""Units whose participation this process remembers, and comparisons whose groups an operator has seen."""
POSITIONS: tuple[Position, Position] = ("left", "right")


class Comparisons:
    """The operations of a page on comparisons, beside those of `Conversations` on every turn."""

    def __init__(
        self,
        conversations: Conversations,
        store: Store,
        experiments: Experiments,
        texts: Texts | None = None,
    ) -> None:
        self._conversations, self._store, self._experiments = conversations, store, experiments
        self._preparation, self._texts = conversations.preparation, texts
        self._participations: Recent[tuple[str, str], Participation] = Recent(REMEMBERED)
        self._uncovered: Recent[str, bool] = Recent(REMEMBERED)
        self._any_compares = False

    def look(self) -> None:
        """Read from the record whether any unit compares. Raises StoreError."""
        self._any_compares = self._any_compares or self._store.conversations.compares(self._conversations.experiment)

    # Assignment

    def assign(self, visitor: Visitor, exposed: Exposed, invited: bool = False) -> Assignment | None:
        """Return the assignment of a visitor's new conversation; None where no unit compares.

        A unit keeps the way in which it took part first: one that was exposed stays in the A/B test, one that compared
        is never exposed. Any other unit compares if it is `invited` to, or if it is among the experiment's percentage
        of comparing units.
        """
        name = self._conversations.experiment
        ours = self._experiments.definitions.get(name)
        if not (invited or self._any_compares or (ours and ours.compare)):
            return None
        assignment = self._experiments.assign(visitor, name)
        definition = self._experiments.definition(name)
        if definition is None or not self.takes_part(definition, assignment, exposed, invited):
            return assignment
        return Assignment(
            name,
            None,
            comparing.RULE,
            assignment.user_id,
            assignment.ids,
            definition.default,
            definition.default,
            compare=True,
            run=assignment.run,
        )

    def expects(self, visitor: Visitor, invited: bool = False) -> bool:
        """Return True where a visitor's new conversation will probably compare. Asks neither Statsig nor the record."""
        ours = self._experiments.definitions.get(self._conversations.experiment)
        if ours is None or not (invited or ours.compare) or not comparing.running(ours):
            return False
        return invited or comparing.compares(ours, visitor.user_id)

    def takes_part(
        self, definition: Definition, assignment: Assignment, exposed: Exposed | None = None, invited: bool = False
    ) -> bool:
        """Return True where the unit of this assignment compares."""
        if assignment.unknown_unit is not None or assignment.forced:
            return False
        name, unit = assignment.experiment, assignment.user_id
        if any(met[:2] == (name, unit) and met[2] is not None and not met[3] for met in exposed or ()):
            return False
        if earlier := self.participation(name, unit):
            return earlier == "compared"
        return comparing.running(definition) and (invited or comparing.compares(definition, unit))

    def participation(self, experiment: str, unit: str) -> Participation | None:
        """Return how a unit has taken part so far; None where it has not, or where the record cannot be read."""
        try:
            known = self._participations.get((experiment, unit))
            participation = known or self._store.conversations.participation(experiment, unit)
        except StoreError:
            return None
        if participation:
            self._participations[experiment, unit] = participation
        return participation

    def begin(self, visitor: Visitor, assignment: Assignment, simulated: bool = False) -> Conversation:
        """Return a new conversation under an assignment to compare."""
        assignment = replace(assignment, invitation=visitor.custom.get("invitation"))
        return Conversation(new_id(), visitor.visitor_id, assignment, simulated=simulated)

    def asks(self, conversation: Conversation) -> bool:
        """Return True where the next question of a conversation goes to two groups.

        While the experiment is paused or over, its default answers alone, and the unit is still not exposed.
        """
        return conversation.assignment.compare and self._pair(conversation, 1) is not None

    def _pair(self, conversation: Conversation, turn: int) -> tuple[Group, Group] | None:
        definition = self._experiments.definition(conversation.assignment.experiment)
        if definition is None or not comparing.running(definition):
            return None
        return comparing.pair(definition, conversation.id, turn)

    def together(self, conversation: Conversation) -> bool:
        """Return True where both answers are shown only when both are there, so that speed has no vote."""
        definition = self._experiments.definition(conversation.assignment.experiment)
        return definition is not None and definition.reveal == "together"

    # Questions

    def ask(self, visitor: Visitor, conversation: Conversation, prompt: str) -> Conversation:
        """Send a question to two groups; see `asks`."""
        return self._send(visitor, conversation, prompt, None)

    def ask_again(self, visitor: Visitor, conversation: Conversation, prompt: str | None = None) -> Conversation:
        """Send the last question, or a replacement, to both groups again; the earlier answers are replaced."""
        last = conversation.turns[-1]
        self._conversations.stop(conversation)
        return self._send(visitor, conversation, prompt or last.question or "", last)

    def _send(self, visitor: Visitor, conversation: Conversation, prompt: str, replaced: Turn | None) -> Conversation:
        """Record the question, then start both answers; at a limit, neither is asked."""
        before = replace(conversation, turns=conversation.turns[:-1]) if replaced else conversation
        number = replaced.turn if replaced else _next_turn(before)
        groups = self._placed(conversation, number)
        calls = {new_id(): self._call(visitor, before, prompt, group) for group in groups}
        limit = None if conversation.simulated else self._preparation.limit(visitor, calls)
        written = limit is None or self._preparation.first_refusal(limit, visitor)
        if limit:  # the earlier answers stay, because no new ones will come
            before, replaced, number = conversation, None, _next_turn(conversation)
        comparison = _comparison(
            visitor, number, prompt, groups, calls, self._experiments.run(conversation.assignment.experiment)
        )
        if self._texts is not None and not limit:
            for side in comparison.sides:
                self._texts.question(conversation.id, side.answer_id, prompt)
        if written:
            self._store.conversations.compare(
                conversation,
                comparison,
                None if limit else prompt,
                replaces=[side.answer_id for side in replaced.sides] if replaced else [],
                also=regenerated(conversation, replaced),
            )
        for side in comparison.sides:
            question = conversation.question(side)
            self._conversations.start(visitor, question, calls[side.answer_id], limit, written=written)
        if written:
            self._any_compares = True
            self._participations[conversation.assignment.experiment, conversation.assignment.user_id] = "compared"
        self._conversations.remember_latest(conversation.id, comparison.id)
        return replace(before, turns=(*before.turns, compared(comparison)))

    def _placed(self, conversation: Conversation, turn: int) -> tuple[Group, Group]:
        """Return the two groups from left to right, in an order that is drawn for each question."""
        pair = self._pair(conversation, turn)
        if pair is None:
            raise ValueError("there are no two groups to compare: see `asks`")
        return pair if secrets.randbelow(2) else (pair[1], pair[0])

    def _call(self, visitor: Visitor, before: Conversation, prompt: str, group: Group) -> Call:
        assignment = replace(before.assignment, group=group.name, parameters=group.parameters)
        return self._preparation.call(visitor, before, prompt, assignment)

    def follow(self, answers: Sequence[Answer], watching: Callable[[], bool] = lambda: True) -> Following:
        """Return the new text of running answers for one page; see `Answer.follow`."""
        return Following(answers, watching)

    # Votes

    def open_to_vote(self, conversation: Conversation, comparison_id: str | None) -> bool:
        """Return True where a vote on a comparison is possible, or will be once both answers have ended."""
        comparison = conversation.turns[-1].comparison
        if comparison is None or comparison.id != comparison_id or comparison.id in self._uncovered:
            return False
        return comparison.running or comparison.votable

    def uncover(self, conversation: Conversation, comparison_id: str) -> None:
        """Note that an operator sees which group gave which answer. The comparison then takes no vote any more, because
        a vote must be blind."""
        if self.open_to_vote(conversation, comparison_id):
            self._uncovered[comparison_id] = True

    def vote(self, conversation: Conversation, turn: Turn, vote: Vote) -> tuple[Conversation, Receipt | None]:
        """Give or change a vote and the reason for it. Returns None as the receipt, and the conversation unchanged,
        where the comparison is not open to a vote, or still runs."""
        comparison = turn.comparison
        if comparison is None or not comparison.votable or turn is not conversation.turns[-1]:
            return conversation, None
        if not self.open_to_vote(conversation, comparison.id):
            return conversation, None
        left, right = (conversation.question(side) for side in comparison.sides)
        event = preference(left, right, vote, (comparison.left.facts, comparison.right.facts))
        log.info("compared", extra={"comparison_id": comparison.id, "visitor_id": conversation.visitor_id})
        receipt = self._store.conversations.vote(comparison.id, vote, event)
        first, second = (replace(side, reason=None, comment=None) for side in comparison.sides)
        voted = compared(replace(comparison, left=first, right=second, vote=vote))
        return replace(conversation, turns=(*conversation.turns[:-1], voted)), receipt

    def explain(
        self, conversation: Conversation, turn: Turn, reason: Reason | None, comment: str | None
    ) -> tuple[Conversation, Receipt | None]:
        """Give the reason for a vote: a reason (an event of each answer that lost), a comment (kept in the store)."""
        comparison, receipt = turn.comparison, None
        if comparison is None:
            return conversation, None
        about = comparison.worse or (comparison.left,)
        for side in about:
            side_reason = reason if comparison.worse else None
            side_comment = comment if side is about[0] else None
            event = None
            if side_reason is not None and side_reason != side.reason:
                event = feedback_reason(conversation.question(side), side.facts, side_reason)
            receipt = self._store.conversations.give_reason(side.answer_id, side_reason, side_comment, event)
            conversation = with_changes(conversation, side.answer_id, reason=side_reason, comment=side_comment)
        return conversation, receipt


def _next_turn(conversation: Conversation) -> int:
    return conversation.turns[-1].turn + 1 if conversation.turns else 1


def _comparison(
    visitor: Visitor, number: int, prompt: str, groups: tuple[Group, Group], calls: dict[str, Call], run: int
) -> Comparison:
    comparison_id, asked_ms = new_id(), now_ms()

    def side(group: Group, answer_id: str) -> Turn:
        model = calls[answer_id].parameters.model
        turn = Turn(answer_id, number, visitor.session_id, model, asked_ms, question=prompt)
        return replace(turn, group=group.name, run=run, comparison_id=comparison_id)

    left, right = (side(group, answer_id) for group, answer_id in zip(groups, calls, strict=True))
    return Comparison(comparison_id, left, right, POSITIONS[secrets.randbelow(2)])
