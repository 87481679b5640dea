"""Simulated visitors on the real path: assigned by the Statsig SDK, answered over HTTP, exposed, rated and stored.

Owns their pace; their acts are in `behaviour`. Everything they write is marked as simulated: it gets no row in the
outbox, so that Statsig never receives it, and no readout mixes it with real events.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from lib.app import App
from lib.demo.behaviour import Act, acts, tastes, visitor
from lib.demo.comparing import ComparingVisit, read_to_the_end
from lib.domain.assignment import Assignment
from lib.domain.conversation import Conversation
from lib.domain.record import Receipt
from lib.domain.visitor import Visitor

SPEED = 10.0
"""The demo model's pace for simulated visitors: the differences between its models remain, ten times smaller."""
AT_ONCE = 8
"""Concurrent visitors. More would wait for the processor, and that would look like a slow model."""
SAVED_S = 60.0
"""Seconds that the record may take at the end."""

Progress = Callable[[int], object]


class Unplayable(Exception):
    """There is no experiment for visitors to take part in; the message says why."""


@dataclass(frozen=True, slots=True)
class Played:
    """The result: by group (None: not taking part) the number of `visitors`, `answers`, `rated` and `liked` ones.
    Visitors who compared stand under `comparing.COMPARING`, with `voted`. `saved` is False where not everything could
    be stored.
    """

    groups: Mapping[str | None, Mapping[str, int]]
    seconds: float
    saved: bool


def play(app: App, users: int, seed: int, lift: float = 0.0, progress: Progress = lambda _: None) -> Played:
    """Play this many visitors as fast as possible; `progress` is called with the number done after each.

    The same seed gives the same visitors, assignments, ratings and reasons. With a `lift` (see `behaviour.lifted`) the
    visitors of the first group that is not control are that much more satisfied. Raises Unplayable.
    """
    began, treatment = time.monotonic(), _treatment(app)
    groups: dict[str | None, Counter[str]] = {}
    receipts: list[Receipt] = []
    for done, visit in enumerate(_visits(app, users, seed, treatment, lift), 1):
        groups.setdefault(visit.label, Counter()).update(visit.counts)
        receipts += visit.receipts
        progress(done)
    saved = all(receipt.wait(SAVED_S) for receipt in receipts)
    return Played(dict(sorted(groups.items(), key=str)), time.monotonic() - began, saved)


def _treatment(app: App) -> str:
    name = app.experiment
    definition = app.experiments.definition(name)
    if definition is None:
        raise Unplayable(f"There is no experiment {name}: define it in {app.settings.experiments_file}.")
    others = [group.name for group in definition.groups if group.name != definition.control]
    if not others:
        raise Unplayable(f"The experiment {name} has one group only: there is nothing to compare.")
    return others[0]


def _visits(app: App, users: int, seed: int, treatment: str, lift: float) -> Iterator["_Visit | ComparingVisit"]:
    """Yield each visit when it is over. When one fails, or the caller stops iterating, no further visitor comes."""

    closing = threading.Event()

    def visit(number: int) -> _Visit | ComparingVisit:
        tester, name = visitor(seed, number), app.experiment
        assignment = app.comparisons.assign(tester, set()) or app.experiments.assign(tester, name)
        stay: _Visit | ComparingVisit = _Visit(app, tester, assignment)
        if assignment.compare and (definition := app.experiments.definition(name)) is not None:
            treatments = (group.name for group in definition.groups if group.name != definition.control)
            votes = {group: tastes(seed, number, lift if group == treatment else 0.0) for group in treatments}
            stay = ComparingVisit(app, tester, assignment, votes)
        for act in acts(seed, number, lift if assignment.group == treatment else 0.0):
            if closing.is_set():
                break
            stay.act(act)
        return stay

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="visitor") as threads:
        try:
            for over in as_completed([threads.submit(visit, number) for number in range(users)]):
                yield over.result()
        finally:
            closing.set()
            threads.shutdown(cancel_futures=True)


class _Visit:
    """One visitor's stay. `receipts` are those of the last writes, to learn of failures."""

    def __init__(self, app: App, who: Visitor, assignment: Assignment) -> None:
        self.assignment, self.counts, self.receipts = assignment, Counter(visitors=1), list[Receipt]()
        self.label = assignment.group
        self._conversations, self._visitor = app.conversations, who
        self._conversation: Conversation | None = None
        self._exposed: set[tuple[str, str, str | None, bool, int]] = set()

    def act(self, act: Act) -> None:
        """Ask, read, rate."""
        before = None if act.elsewhere else self._conversation
        conversation = self._ask(before, act.prompt)
        if act.again:
            conversation = self._ask(conversation, None)
        text = conversation.turns[-1].answer
        if not text:
            self.counts["failed"] += 1
        else:
            conversation = self._judge(conversation, act, text)
        self._conversation = conversation

    def _ask(self, conversation: Conversation | None, prompt: str | None) -> Conversation:
        """Ask a question, or (None) the last one again; return the conversation with the whole answer."""
        ask = self._conversations
        if prompt is None and conversation is not None:
            updated, answer = ask.ask_again(self._visitor, conversation, self._exposed)
        else:
            updated, answer = ask.ask(
                self._visitor, conversation, prompt or "", self._exposed, simulated=True, assignment=self.assignment
            )
        read_to_the_end(answer)
        self.counts["answers"] += 1
        self.receipts = [answer.receipt] if answer.receipt else []
        return ask.settle(updated, answer)

    def _judge(self, conversation: Conversation, act: Act, text: str) -> Conversation:
        rating = self._conversations
        if act.copies:
            rating.copied(conversation, conversation.turns[-1])
        for vote in act.votes:
            conversation, receipt = rating.rate(conversation, conversation.turns[-1], vote)
            self.receipts = [receipt]
        if act.votes and act.votes[-1]:
            self.counts["rated"] += 1
            self.counts["liked"] += act.votes[-1] == "satisfaction"
        if (explanation := act.reason(text)) is not None:
            conversation, receipt = rating.explain(conversation, conversation.turns[-1], *explanation)
            self.receipts = [receipt]
        return conversation
