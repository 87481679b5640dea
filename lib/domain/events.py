"""What happens in Parley, as values: who asked, what they were assigned, how an answer ended, the events that tell it.

Owns the names and shapes of every event and the dataclasses that travel between modules. Knows nothing of Statsig,
OpenAI, SQL or Streamlit, and does no input or output.
"""

import json
import math
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

FinishReason = Literal[
    "stop", "length", "content_filter", "tool_calls", "refusal", "stopped", "interrupted", "error", "limited"
]
"""How an answer ended. `stopped`: by the tester; `interrupted`: the stream broke; `error`: no answer came; `limited`: a
budget was met and nothing was asked. The others are the model server's own words."""

Rating = Literal["satisfaction", "dissatisfaction"]
Reason = Literal["wrong", "incomplete", "too_long", "too_slow", "off_tone", "unsafe", "other"]
Signal = Literal["regenerated", "copied", "abandoned"]
Limit = Literal["day", "visitor", "invitation"]
"""What was used up: everybody's spend of a day, a visitor's answers of a day, what an invitation's guests may cost."""
UsageSource = Literal["server", "estimated", "none"]
StoreFailure = Literal["away", "fact", "refused", "read"]
"""An attempt to write while the store is away; a fact that cannot be written; one that found no room; a read."""
Untaken = Literal["http_4xx", "http_5xx", "network", "silent", "unsendable"]
"""Why Statsig did not take a batch: what it answered, no answer, none in time, or that it could not be sent at all."""
UnitType = Literal["userID", "stableID", "sessionID"]

EXPOSURE = "exposure"
CHAT_COMPLETION = "chat_completion"
RATING_WITHDRAWN = "rating_withdrawn"
FEEDBACK_REASON = "feedback_reason"
"""The names that others look for; the other names are only ever written, by the functions below."""

RATINGS: tuple[Rating, ...] = get_args(Rating)
REASONS: tuple[Reason, ...] = get_args(Reason)
SIGNALS: tuple[Signal, ...] = get_args(Signal)
NAMES = (EXPOSURE, CHAT_COMPLETION, *RATINGS, RATING_WITHDRAWN, FEEDBACK_REASON, *SIGNALS)
"""Every event that there is."""
DAY_MS = 86_400_000
MAX_STRING = 64
"""Longest string in an event's metadata, in characters (Statsig's own limit)."""


class StoreError(Exception):
    """The store cannot be used. The message is a sentence for the operator and holds no password and no text."""


class Receipt(Protocol):
    """A promise that something will be written."""

    @property
    def committed(self) -> bool: ...

    def wait(self, timeout: float) -> bool:
        """Wait at most so many seconds; True when it is written for good."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks: one browser in one Streamlit session, with the ids that an experiment may randomise by.

    `visitor_id` owns conversations (the cookie's id; the session's where there is no cookie). `user_id` is what
    `PARLEY_UNIT` selects. `custom` holds what targeting may need and nothing that names a person.
    """

    visitor_id: str
    user_id: str
    stable_id: str
    session_id: str
    custom: Mapping[str, str] = field(default_factory=dict)

    def ids(self) -> dict[str, str]:
        """The three ids under Statsig's names."""
        return {"userID": self.user_id, "stableID": self.stable_id, "sessionID": self.session_id}


@dataclass(frozen=True, slots=True)
class Assignment:
    """The decision for one unit: its group and the raw parameters, as they were served. `group` None: not taking part.

    `user_id` is the value of the experiment's unit, whichever of `ids` it is. `defaults` are the experiment's own
    parameters for who does not take part: what stands in for a bad value or a model that does not exist. Where
    `experiment` names a layer, `allocated` is the layer's experiment that decided, and `parameter` one that it sets.
    `invitation` is the id of the link that the visitor came by.
    """

    experiment: str
    group: str | None
    rule_id: str
    user_id: str
    ids: Mapping[str, str]
    parameters: Mapping[str, Any]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    forced: bool = False
    layer: bool = False
    allocated: str | None = None
    parameter: str | None = None
    invitation: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One question on its way: everything that the events about its answer repeat. `turn` counts from 1."""

    answer_id: str
    conversation_id: str
    session_id: str
    turn: int
    model: str
    assignment: Assignment
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the model server counted them, or as we estimated them; `none` means that nothing is known."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    source: UsageSource = "none"


@dataclass(frozen=True, slots=True)
class Completion:
    """The facts of one ended answer. Times in seconds on a monotonic clock, from the moment the question left.

    `error` is the class of what went wrong (never its message), `message` what the tester reads about it. `limit` is
    the budget that was met where the answer is `limited`.
    """

    text: str
    finish_reason: FinishReason
    response_time: float
    time_to_first_token: float | None = None
    usage: Usage = Usage()
    served_model: str | None = None
    error: str | None = None
    message: str | None = None
    retries: int = 0
    dropped_parameters: tuple[str, ...] = ()
    parameter_error: str | None = None
    cost_usd: float | None = None
    limit: Limit | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """Completion tokens per second between the first token and the end; None where either is unknown."""
        if self.usage.completion_tokens is None or self.time_to_first_token is None:
            return None
        streamed = self.response_time - self.time_to_first_token
        return self.usage.completion_tokens / streamed if streamed > 0 else None


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its answer, as a page shows them; of an answer that was replaced, the newest version.

    `finish_reason` is None while it runs, and `answer` is then what has arrived. The texts are None where they are not
    kept. `session_id` and `model` are those of the answer, `message` is what the tester reads about a failure, `facts`
    (for operators) the metadata of its `chat_completion`. `heard_ms` is when the process of a running answer last said
    that it lives, by its own clock. Times in milliseconds since 1970.
    """

    answer_id: str
    turn: int
    session_id: str
    model: str
    asked_ms: int
    question: str | None = None
    answer: str | None = None
    finish_reason: FinishReason | None = None
    time_ms: int | None = None
    message: str | None = None
    error: str | None = None
    rating: Rating | None = None
    reason: Reason | None = None
    comment: str | None = None
    heard_ms: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.finish_reason is None


@dataclass(frozen=True, slots=True)
class Conversation:
    """What one visitor and the model said, under the one assignment that it began with.

    `turns` are in order, oldest first; `earlier` tells that older ones exist beyond them. The store fills in the times
    and, where it is None, the title (the first words of the first question).
    """

    id: str
    visitor_id: str
    assignment: Assignment
    title: str | None = None
    simulated: bool = False
    created_ms: int = 0
    updated_ms: int = 0
    turns: tuple[Turn, ...] = ()
    earlier: bool = False

    def question(self, turn: Turn) -> Question:
        """What the events about one of its turns repeat."""
        return Question(
            turn.answer_id, self.id, turn.session_id, turn.turn, turn.model, self.assignment, self.simulated
        )


@dataclass(frozen=True, slots=True)
class Event:
    """One fact, in the shape of the export. `time_ms` since 1970, UTC. `ids` are the unit's ids, for Statsig."""

    event_id: str
    name: str
    time_ms: int
    user_id: str
    value: str | int | float | None
    metadata: Mapping[str, Any]
    ids: Mapping[str, str] = field(default_factory=dict)

    def wire(self) -> dict[str, Any]:
        """The event as one object of the export."""
        return {
            "event_id": self.event_id,
            "name": self.name,
            "time": self.time_ms,
            "user_id": self.user_id,
            "value": self.value,
            "metadata": dict(self.metadata),
        }

    def json(self) -> str:
        """The event as one line of the export."""
        return json.dumps(self.wire(), ensure_ascii=False, allow_nan=False)


def new_id() -> str:
    """A fresh id for an event, an answer or a conversation."""
    return uuid.uuid4().hex


_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def clean(text: str) -> str:
    """Text that every server, database and page can carry: without control characters and half characters.

    Two halves that belong together become their character; a lone one becomes U+FFFD.

    >>> clean("a\\x00b\\ud83d\\ude00c\\ud83dd\\n") == "ab\\U0001f600c\\ufffdd\\n"
    True
    """
    if not _UNSAFE.search(text):
        return text
    return _CONTROL.sub("", text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as the contract has it: no None, no NaN, strings of at most 64 characters, times to the microsecond.

    What one answer costs is far below that, and has twelve digits.

    >>> flat({"a": None, "b": 1, "c": "x" * 70, "d": float("nan"), "e": 0.12345678})
    {'b': 1, 'c': 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx', 'e': 0.123457}
    """
    digits = {"cost_usd": 12}
    return {name: kept for name, value in fields.items() if (kept := _plain(value, digits.get(name, 6))) is not None}


def _plain(value: Any, digits: int) -> Any:
    if isinstance(value, str):
        return value[:MAX_STRING]
    if isinstance(value, float):
        return round(value, digits) if math.isfinite(value) else None
    return value


def _about(question: Question) -> dict[str, Any]:
    """What every event but the exposure says of its answer."""
    assignment = question.assignment
    return {
        "answer_id": question.answer_id,
        "conversation_id": question.conversation_id,
        "session_id": question.session_id,
        "turn": question.turn,
        "experiment": assignment.experiment,
        "group": assignment.group,
        "rule_id": assignment.rule_id,
        "model": question.model,
        "invitation": assignment.invitation,
        "simulated": True if question.simulated else None,
    }


def exposure(assignment: Assignment, session_id: str, *, simulated: bool = False, time_ms: int | None = None) -> Event:
    """A unit met its experiment. `group` stays in the metadata as None for who does not take part."""
    event_id = new_id()
    metadata = flat(
        {"event_id": event_id, "session_id": session_id, "experiment": assignment.experiment,
         "rule_id": assignment.rule_id, "simulated": True if simulated else None,
         "layer": True if assignment.layer else None, "allocated_experiment": assignment.allocated,
         "parameter": assignment.parameter}
    ) | {"group": assignment.group, "forced": assignment.forced}  # fmt: skip
    return _event(EXPOSURE, event_id, assignment, None, metadata, time_ms)


def chat_completion(question: Question, completion: Completion, *, time_ms: int | None = None) -> Event:
    """An answer ended, in whatever way."""
    fields = _about(question) | completion_facts(completion)
    return _of(CHAT_COMPLETION, question.assignment, completion.finish_reason, fields, time_ms)


def completion_facts(completion: Completion) -> dict[str, Any]:
    """The part of a completion that its event carries and that every rating of the answer repeats."""
    usage = completion.usage
    return flat(
        {
            "response_time": completion.response_time,
            "time_to_first_token": completion.time_to_first_token,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
            "cached_tokens": usage.cached_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "usage_source": usage.source,
            "tokens_per_second": completion.tokens_per_second,
            "served_model": completion.served_model,
            "finish_reason": completion.finish_reason,
            "error": completion.error,
            "retries": completion.retries,
            "dropped_parameters": ",".join(completion.dropped_parameters) or None,
            "parameter_error": completion.parameter_error,
            "cost_usd": completion.cost_usd,
            "limit": completion.limit,
        }
    )


def rating(question: Question, completed: Mapping[str, Any], vote: Rating, delay_s: float) -> Event:
    """A thumb. `completed` is the metadata of the answer's `chat_completion`; `delay_s` seconds since it ended."""
    return _of(vote, question.assignment, 1, _rated(question, completed) | {"rating_delay": max(0.0, delay_s)})


def rating_withdrawn(question: Question, completed: Mapping[str, Any], earlier: Rating, delay_s: float) -> Event:
    """A thumb was taken back."""
    fields = _rated(question, completed) | {"rating_delay": max(0.0, delay_s)}
    return _of(RATING_WITHDRAWN, question.assignment, earlier, fields)


def feedback_reason(question: Question, completed: Mapping[str, Any], reason: Reason) -> Event:
    """Why a thumb was given."""
    return _of(FEEDBACK_REASON, question.assignment, reason, _rated(question, completed))


def signal(question: Question, name: Signal) -> Event:
    """An implicit sign of what the tester made of an answer."""
    return _of(name, question.assignment, 1, _about(question))


def _rated(question: Question, completed: Mapping[str, Any]) -> dict[str, Any]:
    own = {"event_id", "name"}
    return _about(question) | {name: value for name, value in completed.items() if name not in own}


def _of(
    name: str, assignment: Assignment, value: str | int, fields: Mapping[str, Any], time_ms: int | None = None
) -> Event:
    event_id = new_id()
    return _event(name, event_id, assignment, value, flat({"event_id": event_id, **fields}), time_ms)


def _event(
    name: str, event_id: str, assignment: Assignment, value: str | int | None, metadata: Mapping[str, Any],
    time_ms: int | None,
) -> Event:  # fmt: skip
    return Event(event_id, name, time_ms or now_ms(), assignment.user_id, value, metadata, assignment.ids)
