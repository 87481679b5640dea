"""One prompt to every group at once, outside the experiment: no exposure, no record, no event.

The cost is real: it counts into the day's budget, where there is one, and nowhere else.
"""

from collections.abc import Mapping
from typing import Any

from lib.access.budgets import Budgets, refusal
from lib.chat.generation import Generations
from lib.chat.recorder import Written
from lib.chat.running_answer import Answer, Ended
from lib.domain.assignment import Assignment
from lib.domain.completion import Completion
from lib.domain.conversation import Question
from lib.domain.ids import new_id
from lib.domain.record import Receipt
from lib.experiments.definitions import Definition
from lib.models.completion import CAP_TOKENS
from lib.models.providers import Providers
from lib.store import Store


class _CostJournal:
    """A journal that records only the cost."""

    def __init__(self, store: Store, counted: bool) -> None:
        self._store, self._counted = store, counted

    def partial(self, answer_id: str, text: str) -> None:
        """Ignore the text."""

    def ended(self, question: Question, completion: Completion) -> Receipt:
        """Count the cost into the budget."""
        return self._store.spending.settle(question.answer_id, completion) if self._counted else Written()

    def abandoned(self, question: Question) -> None:
        """Ignore the page."""


class Trials:
    """The trials of operators. Each runs under the visitor id of its operator."""

    def __init__(self, store: Store, models: Providers, generations: Generations, budgets: Budgets) -> None:
        self._store, self._models, self._generations, self._budgets = store, models, generations, budgets

    def ask(self, visitor_id: str, prompt: str, definition: Definition) -> dict[str, Answer]:
        """Start an answer for each group, and return them by group."""
        return {
            group.name: self._ask(f"trial of {visitor_id}", prompt, definition, group.name, group.parameters)
            for group in definition.groups
        }

    def _ask(
        self, asker: str, prompt: str, definition: Definition, group: str, parameters: Mapping[str, Any]
    ) -> Answer:
        checked = self._models.check(parameters, definition.default)
        checked = checked.capped(CAP_TOKENS) if self._budgets.limits_usd(None) else checked
        call, answer_id = self._models.call([(prompt, None)], checked, definition.default), new_id()
        limit = self._budgets.reserve(answer_id, None, None, lambda: self._models.most_usd(call) or 0.0)
        unassigned = Assignment(definition.name, group, "", asker, {}, parameters)
        return self._generations.start(
            Question(answer_id, "", "", 1, checked.model, unassigned),
            asker,
            lambda: Ended(refusal(limit)) if limit else self._models.stream(call),
            _CostJournal(self._store, self._budgets.usd_per_day is not None),
        )
