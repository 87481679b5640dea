"""A question before it is sent: its request, and the limits that it meets.

Knows the models, the budgets and the crowd. Records nothing.
"""

import logging
from collections.abc import Mapping

from lib.access.budgets import Budgets
from lib.access.crowd import Crowd, Ended
from lib.access.repeats import Repeats
from lib.domain.assignment import Assignment
from lib.domain.completion import Limit
from lib.domain.conversation import Conversation
from lib.domain.visitor import Visitor
from lib.models.completion import CAP_TOKENS
from lib.models.parameters import Parameters
from lib.models.providers import Call, Providers

log = logging.getLogger("parley.conversation")

WITHOUT_COOKIE = "a browser without a cookie"
"""The account that all browsers without a cookie share: each of their connections would count as a new visitor."""


class Preparation:
    """The preparation of one process's questions. Thread-safe."""

    def __init__(self, models: Providers, budgets: Budgets, crowd: Crowd | None = None) -> None:
        self._models, self._budgets, self._crowd = models, budgets, crowd or Crowd()
        self._repeats = Repeats()
        self._reported: set[tuple[str, str | None, str]] = set()
        self._unpriced: set[tuple[str, str]] = set()

    def call(self, visitor: Visitor, conversation: Conversation, prompt: str, assignment: Assignment) -> Call:
        """Return the call for a question that follows a conversation, with the parameters of an assignment."""
        parameters = self._parameters(assignment)
        if not conversation.simulated and self._budgets.limits_usd(visitor.custom.get("invitation")):
            parameters = parameters.capped(CAP_TOKENS)
        turns = [(turn.question, turn.answer) for turn in conversation.turns]
        return self._models.call([*turns, (prompt, None)], parameters, assignment.defaults)

    def limit(self, visitor: Visitor, calls: Mapping[str, Call]) -> Limit | None:
        """Return the limit that these answers, by id, meet together; None where all are counted and may be asked.

        Where one of them meets a limit, none is counted.
        """
        counted: list[str] = []
        for answer_id, call in calls.items():
            if limit := self._reserve(visitor, answer_id, call):
                for counted_id in counted:
                    self._crowd.withdraw(counted_id)
                    self._budgets.release(counted_id)
                return limit
            counted.append(answer_id)
        return None

    def left(self, visitor: Visitor) -> int | None:
        """Return how many answers a visitor has left today; None where that is not limited, or not known now."""
        return self._budgets.left(_asker(visitor))

    def first_refusal(self, limit: Limit, visitor: Visitor) -> bool:
        """Return True unless this visitor met this limit today already; further refusals are not recorded."""
        return self._repeats.first(limit, visitor)

    def began(self, answer_id: str, answer: Ended) -> None:
        """Count a running answer of an open link until it ends."""
        self._crowd.began(answer_id, answer)

    def _reserve(self, visitor: Visitor, answer_id: str, call: Call) -> Limit | None:
        if limit := self._crowd.ask(answer_id, visitor.place):
            return limit
        invitation = visitor.custom.get("invitation")
        limit = self._budgets.reserve(answer_id, _asker(visitor), invitation, lambda: self._largest_usd(call))
        if limit:
            self._crowd.withdraw(answer_id)
        return limit

    def _largest_usd(self, call: Call) -> float:
        """Return the reservation of an answer; nothing where its model has no price."""
        self.log_unpriced(call.parameters)
        return self._models.most_usd(call) or 0.0

    def log_unpriced(self, parameters: Parameters) -> None:
        """Log a model that has no price, once."""
        model = (parameters.provider, parameters.model)
        if model not in self._unpriced and self._models.price(parameters) is None:
            self._unpriced.add(model)
            log.warning(
                "the budget cannot be kept: a model has no price",
                extra={"model": parameters.model, "provider": parameters.provider},
            )

    def _parameters(self, assignment: Assignment) -> Parameters:
        """Return a group's checked parameters. A definition with a bad value is logged once."""
        parameters = self._models.check(assignment.parameters, assignment.defaults)
        if (
            parameters.error
            and (problem := (assignment.experiment, assignment.group, parameters.error)) not in self._reported
        ):
            self._reported.add(problem)
            log.warning(
                "a parameter is not valid and is not sent: see the experiment's definition",
                extra={"experiment": assignment.experiment, "group": assignment.group, "parameters": parameters.error},
            )
        return parameters


def _asker(visitor: Visitor) -> str:
    return visitor.visitor_id if visitor.known else WITHOUT_COOKIE
