"""The events: their names, their shapes, and the functions that build them from a question and its completion.

Knows nothing of Statsig, OpenAI, SQL or Streamlit.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lib.domain.assignment import Assignment
from lib.domain.clock import now_ms
from lib.domain.completion import Completion
from lib.domain.conversation import Question
from lib.domain.ids import new_id
from lib.domain.rating import RATINGS, SIGNALS, Rating, Reason, Signal, Vote

EXPOSURE = "exposure"
CHAT_COMPLETION = "chat_completion"
RATING_WITHDRAWN = "rating_withdrawn"
FEEDBACK_REASON = "feedback_reason"
PREFERENCE = "preference"
"""The names that other modules look for. The remaining ones are only written, by the functions below."""

NAMES = (EXPOSURE, CHAT_COMPLETION, *RATINGS, RATING_WITHDRAWN, FEEDBACK_REASON, PREFERENCE, *SIGNALS)
"""Every event that there is."""
COMPARED = ("response_time", "time_to_first_token", "completion_tokens")
"""The fields that a preference repeats from the `chat_completion` of both answers."""
MAX_STRING = 64
"""Longest string in an event's metadata, in characters (Statsig's limit)."""


@dataclass(frozen=True, slots=True)
class Event:
    """One fact in the shape of the export. `time_ms` since 1970, UTC. `ids` are the unit's ids, for Statsig.

    `sent` is the SDK's own form of an exposure (see `Assignment`).
    """

    event_id: str
    name: str
    time_ms: int
    user_id: str
    value: str | int | float | None
    metadata: Mapping[str, Any]
    ids: Mapping[str, str] = field(default_factory=dict)
    sent: Mapping[str, Any] | None = None

    @property
    def withheld(self) -> bool:
        """True for an exposure that the SDK would not send either: it is stored and not delivered."""
        return self.sent is not None and not self.sent

    def wire(self) -> dict[str, Any]:
        """Return the event as one object of the export."""
        return {
            "event_id": self.event_id,
            "name": self.name,
            "time": self.time_ms,
            "user_id": self.user_id,
            "value": self.value,
            "metadata": dict(self.metadata),
        }

    def json(self) -> str:
        """Return the event as one line of the export."""
        return json.dumps(self.wire(), ensure_ascii=False, allow_nan=False)


def flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata as events carry it: no None, no NaN, strings of at most 64 characters, times rounded to the
    microsecond.

    Costs keep twelve digits: one answer may cost less than a millionth of a dollar.

    >>> flat({"a": None, "b": 1, "c": "x" * 70, "d": float("nan"), "e": 0.12345678})
    {'b': 1, 'c': 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx', 'e': 0.123457}
    """
    digits = {"cost_usd": 12}
    return {
        name: plain_value
        for name, value in fields.items()
        if (plain_value := _plain(value, digits.get(name, 6))) is not None
    }


def _plain(value: Any, digits: int) -> Any:
    if isinstance(value, str):
        return value[:MAX_STRING]
    if isinstance(value, float):
        return round(value, digits) if math.isfinite(value) else None
    return value


def _about(question: Question) -> dict[str, Any]:
    """Return the metadata of every event but the exposure."""
    assignment = question.assignment
    return {
        "answer_id": question.answer_id,
        "conversation_id": question.conversation_id,
        "session_id": question.session_id,
        "turn": question.turn,
        "experiment": assignment.experiment,
        "group": assignment.group,
        "rule_id": assignment.rule_id,
        "run": _later_run(assignment),
        "model": question.model,
        "comparison_id": question.comparison_id,
        "invitation": assignment.invitation,
        "simulated": True if question.simulated else None,
    }


def _later_run(assignment: Assignment) -> int | None:
    """Return the number of a run after the first; None for the first, which events do not name."""
    return assignment.run if assignment.run > 1 else None


def exposure(assignment: Assignment, session_id: str, *, simulated: bool = False, time_ms: int | None = None) -> Event:
    """Build the exposure of a unit. `group` is None in the metadata of units that do not take part."""
    event_id = new_id()
    metadata = flat(
        {
            "event_id": event_id,
            "session_id": session_id,
            "experiment": assignment.experiment,
            "rule_id": assignment.rule_id,
            "run": _later_run(assignment),
            "simulated": True if simulated else None,
            "layer": True if assignment.layer else None,
            "allocated_experiment": assignment.allocated,
            "parameter": assignment.parameter,
        }
    ) | {"group": assignment.group, "forced": assignment.forced}
    event = _event(EXPOSURE, event_id, assignment, None, metadata, time_ms)
    return event if simulated else replace(event, sent=assignment.sent)


def chat_completion(question: Question, completion: Completion, *, time_ms: int | None = None) -> Event:
    """Build the event of an ended answer."""
    fields = _about(question) | completion_facts(completion)
    return _of(CHAT_COMPLETION, question.assignment, completion.finish_reason, fields, time_ms)


def completion_facts(completion: Completion) -> dict[str, Any]:
    """Return the part of a completion that its event carries and every rating of the answer repeats."""
    usage = completion.usage
    return flat(
        {
            "response_time": completion.response_time,
            "time_to_first_token": completion.time_to_first_token,
            "reasoning_time": completion.reasoning_time,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "usage_source": usage.source,
            "tokens_per_second": completion.tokens_per_second,
            "served_model": completion.served_model,
            "provider": completion.provider,
            "finish_reason": completion.finish_reason,
            "error": completion.error,
            "retries": completion.retries,
            "dropped_parameters": ",".join(completion.dropped_parameters) or None,
            "renamed_parameters": ",".join(completion.renamed_parameters) or None,
            "parameter_error": completion.parameter_error,
            "cost_usd": completion.cost_usd,
            "limit": completion.limit,
        }
    )


def rating(question: Question, completed: Mapping[str, Any], vote: Rating, delay_s: float) -> Event:
    """Build the event of a thumb. `completed` is the metadata of the answer's `chat_completion`; `delay_s` is in
    seconds since its end."""
    return _of(vote, question.assignment, 1, _rated(question, completed) | {"rating_delay": max(0.0, delay_s)})


def rating_withdrawn(question: Question, completed: Mapping[str, Any], earlier: Rating, delay_s: float) -> Event:
    """Build the event of a withdrawn thumb."""
    fields = _rated(question, completed) | {"rating_delay": max(0.0, delay_s)}
    return _of(RATING_WITHDRAWN, question.assignment, earlier, fields)


def feedback_reason(question: Question, completed: Mapping[str, Any], reason: Reason) -> Event:
    """Build the event of the reason for a thumb."""
    return _of(FEEDBACK_REASON, question.assignment, reason, _rated(question, completed))


def preference(
    left: Question, right: Question, vote: Vote, completed: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> Event:
    """Build the event of a vote on two answers to one question.

    `completed` is the metadata of both `chat_completion`s, left first.
    """
    groups = {"left": left.assignment.group, "right": right.assignment.group}
    fields: dict[str, Any] = {
        "comparison_id": left.comparison_id,
        "experiment": left.assignment.experiment,
        **groups,
        "left_answer_id": left.answer_id,
        "right_answer_id": right.answer_id,
        "position": vote if vote in groups else None,
        "conversation_id": left.conversation_id,
        "session_id": left.session_id,
        "turn": left.turn,
        "run": _later_run(left.assignment),
        "invitation": left.assignment.invitation,
        "simulated": True if left.simulated else None,
    }
    for side, question, facts in (("left", left, completed[0]), ("right", right, completed[1])):
        fields |= {f"{side}_{name}": facts.get(name) for name in COMPARED} | {f"{side}_model": question.model}
    return _of(PREFERENCE, left.assignment, groups.get(vote) or vote, fields)


def signal(question: Question, name: Signal) -> Event:
    """Build the event of an implicit signal about an answer."""
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
    name: str,
    event_id: str,
    assignment: Assignment,
    value: str | int | None,
    metadata: Mapping[str, Any],
    time_ms: int | None,
) -> Event:
    return Event(event_id, name, time_ms or now_ms(), assignment.user_id, value, metadata, assignment.ids)
