"""A tester who compares two answers by calls of the app in this process, and the events of the comparison."""

from collections.abc import Callable
from functools import partial
from typing import Any

from lib.app import App
from lib.chat.conversations import Exposed
from lib.domain.conversation import Comparison, Conversation
from lib.domain.rating import Vote
from lib.domain.visitor import Visitor
from tests.support import openai_server as openai
from tests.support.open_app import visitor
from tests.support.openai_server import Reply, finish, stream
from tests.support.waiting import until

COMPARING = """
[statsig_openai_integration]
compare = 100
default = { model = "rest" }
[statsig_openai_integration.groups]
A = { weight = 1, parameters = { model = "model-a", system_prompt = "Be kind." } }
B = { weight = 1, parameters = { model = "model-b" } }
"""
"""An experiment in which every unit compares."""


class Tester:
    """One session of one visitor. The app decides whether the visitor compares; `ask` waits for every answer."""

    __test__ = False

    def __init__(self, app: App, who: Visitor | None = None, invited: bool = False) -> None:
        self.app, self.visitor, self.invited = app, who or visitor(), invited
        self.exposed: Exposed = set()
        self.conversation: Conversation | None = None

    @property
    def here(self) -> Conversation:
        assert self.conversation
        return self.conversation

    @property
    def last(self) -> Comparison:
        comparison = self.here.turns[-1].comparison
        assert comparison is not None
        return comparison

    @property
    def compares(self) -> bool:
        return self.here.assignment.compare

    def send(self, prompt: str) -> None:
        comparisons, assignment = self.app.comparisons, None
        if self.conversation is None:
            assignment = comparisons.assign(self.visitor, self.exposed, self.invited)
            if assignment and assignment.compare:
                self.conversation = comparisons.begin(self.visitor, assignment)
        if self.conversation and comparisons.asks(self.conversation):
            self.conversation = comparisons.ask(self.visitor, self.conversation, prompt)
        else:
            self.conversation, _ = self.app.conversations.ask(
                self.visitor, self.conversation, prompt, self.exposed, assignment=assignment
            )

    def ask(self, prompt: str) -> None:
        self.send(prompt)
        self.settle()

    def again(self) -> None:
        self.conversation = self.app.comparisons.ask_again(self.visitor, self.here)
        self.settle()

    def settle(self) -> None:
        for side in self.here.turns[-1].sides:
            answer = self.app.conversations.answer(side)
            assert answer is not None
            until(partial(getattr, answer, "completion"))
            answer.seen = True
            self.conversation = self.app.conversations.settle(self.here, answer)

    def vote(self, vote: Vote) -> None:
        self.conversation, _ = self.app.comparisons.vote(self.here, self.here.turns[-1], vote)

    def better(self, group: str) -> Vote:
        return "left" if self.last.left.group == group else "right"


def events_of(app: App, *names: str) -> list[dict[str, Any]]:
    """Return the events of these names (all if none is given) once everything handed to the store is written."""
    until(lambda: app.store.queued == 0)
    return [event for event in app.store.events.export() if not names or event["name"] in names]


def by_model(**replies: Reply) -> Callable[[openai.Request], Reply]:
    """Return a script that replies by the model of the request, in whichever order the models are asked."""
    return lambda request: replies[request.body["model"].removeprefix("model-")]


def says(text: str) -> Reply:
    return stream(text, finish(), openai.usage(3, 2), openai.DONE)
