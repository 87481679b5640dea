"""One simulated visitor who compares: asks, reads both answers, votes, by the chat's own operations.

Owns the steps of a comparing visit; the taste is in `behaviour`. A visitor who compares is never exposed.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from lib.app import App
from lib.chat.generation import Answer
from lib.demo.behaviour import Act, Taste
from lib.domain.assignment import Assignment
from lib.domain.conversation import Comparison, Conversation
from lib.domain.rating import Vote
from lib.domain.record import Receipt
from lib.domain.visitor import Visitor

COMPARING = "(comparing)"
"""The label of these visitors in place of a group."""
GLANCE_S = 1.0
"""Seconds between a visitor's looks at a growing answer; its end is noticed at once."""


def read_to_the_end(answer: Answer) -> None:
    """Look at a growing answer until it has ended, as a page does."""
    news = answer.follow()
    while news(GLANCE_S, GLANCE_S) is not None:
        pass
    answer.seen = True


class ComparingVisit:
    """One visitor's stay. `receipts` are those of the last writes, to learn of failures.

    `tastes` gives one vote after another, by the treatment that is compared with control.
    """

    label = COMPARING

    def __init__(
        self, app: App, visitor: Visitor, assignment: Assignment, tastes: Mapping[str, Iterator[Taste]]
    ) -> None:
        self.counts, self.receipts = Counter(visitors=1), list[Receipt]()
        self._app, self._visitor, self._assignment = app, visitor, assignment
        self._tastes = tastes
        self._conversation: Conversation | None = None

    def act(self, act: Act) -> None:
        """Ask two groups, read both answers, vote unless one of them failed."""
        comparisons, conversation = self._app.comparisons, self._conversation
        if conversation is None or act.elsewhere:
            conversation = comparisons.begin(self._visitor, self._assignment, simulated=True)
        if not comparisons.asks(conversation):
            return
        conversation = self._read(comparisons.ask(self._visitor, conversation, act.prompt))
        turn = conversation.turns[-1]
        if turn.comparison is not None:
            conversation, receipt = comparisons.vote(conversation, turn, self._vote(turn.comparison))
            self.counts["voted" if receipt else "failed"] += 1
            self.receipts = [receipt] if receipt else self.receipts
        self._conversation = conversation

    def _read(self, conversation: Conversation) -> Conversation:
        """Wait for both answers; return the conversation with them."""
        for side in conversation.turns[-1].sides:
            answer = self._app.conversations.answer(side)
            if answer is None:
                continue
            read_to_the_end(answer)
            self.counts["answers"] += 1
            self.receipts = [answer.receipt] if answer.receipt else []
            conversation = self._app.conversations.settle(conversation, answer)
        return conversation

    def _vote(self, comparison: Comparison) -> Vote:
        left_is_treatment = comparison.left.group in self._tastes
        treatment = comparison.left if left_is_treatment else comparison.right
        taste = next(self._tastes[treatment.group or ""])
        if taste == "tie" or taste == "both_bad":
            return taste
        return "left" if left_is_treatment == (taste == "treatment") else "right"
