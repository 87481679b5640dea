"""The ledger of events as values: a search, a page of results, the life of one answer.

Orders the moments of a life. Knows neither SQL nor a page.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lib.domain.events import CHAT_COMPLETION, EXPOSURE, Event
from lib.domain.rating import RATINGS, SIGNALS

DeliveryState = Literal["waiting", "acknowledged", "kept"]
"""Delivery of an event: on its way to Statsig, acknowledged, or `kept` here alone (no Statsig, or simulated)."""
Key = tuple[int, str]
"""The place of an event in the ledger: its time and its id."""


@dataclass(frozen=True, slots=True)
class Search:
    """A search; None: any. `group` "": without group. `failed`: answers that ended in an error or broke off. `since_ms`
    is the first moment, `until_ms` the one after the last."""

    name: str | None = None
    group: str | None = None
    user_id: str | None = None
    answer_id: str | None = None
    delivery: DeliveryState | None = None
    simulated: bool | None = None
    failed: bool = False
    since_ms: int | None = None
    until_ms: int | None = None

    @property
    def everything(self) -> bool:
        """True without any filter."""
        return self == Search()


@dataclass(frozen=True, slots=True)
class Line:
    """One event with its delivery. `error`: why the last attempt failed; `attempts`: their number; `due_ms`: the next
    one. All None or 0 once it does not wait."""

    event: Event
    acknowledged_ms: int | None = None
    due_ms: int | None = None
    attempts: int = 0
    error: str | None = None
    group: str | None = None
    simulated: bool = False

    @property
    def delivery(self) -> DeliveryState:
        """The state of its delivery."""
        if self.acknowledged_ms is not None:
            return "acknowledged"
        return "kept" if self.due_ms is None else "waiting"


@dataclass(frozen=True, slots=True)
class Page:
    """Events, newest first. `older`: the key of the next page, None at the end of the ledger.

    A page may hold fewer events than requested, or none, and still not be the last: the time of one search is limited.
    """

    lines: Sequence[Line]
    older: Key | None


@dataclass(frozen=True, slots=True)
class Life:
    """The known facts of one answer. `asked_ms` is None where its text was deleted; `lines` are its events, oldest
    first, with the exposure that it counts under."""

    answer_id: str
    asked_ms: int | None
    lines: Sequence[Line]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Station:
    """One moment of an answer's life: its kind `what`, a `detail` in the record's words, the `line` of its event."""

    time_ms: int
    what: str
    detail: str = ""
    line: Line | None = None


def stations(life: Life) -> list[Station]:
    """Return the life of an answer in order: asked, exposed, first token, ended, rated, delivered."""
    return sorted(_stations(life), key=lambda station: station.time_ms)


def _stations(life: Life) -> Iterator[Station]:
    ended = next((line for line in life.lines if line.event.name == CHAT_COMPLETION), None)
    asked_ms = life.asked_ms
    if ended is not None:
        metadata = ended.event.metadata
        asked_ms = asked_ms or ended.event.time_ms - round(1_000 * metadata.get("response_time", 0))
        if (first := metadata.get("time_to_first_token")) is not None:
            yield Station(asked_ms + round(1_000 * first), "first_token")
    if asked_ms is not None:
        yield Station(asked_ms, "asked")
    for line in life.lines:
        yield Station(line.event.time_ms, line.event.name, _detail(line.event), line)
    yield from _delivered([line for line in life.lines if line.delivery != "kept"])


def _delivered(lines: Sequence[Line]) -> Iterator[Station]:
    """Yield the moment at which Statsig had acknowledged all events."""
    acknowledged = [line.acknowledged_ms for line in lines if line.acknowledged_ms is not None]
    if acknowledged and len(acknowledged) == len(lines):
        yield Station(max(acknowledged), "delivered", f"{len(acknowledged)} events")


def _detail(event: Event) -> str:
    if event.name == EXPOSURE:
        return str(event.metadata.get("group") or "not taking part")
    if event.name in (*RATINGS, *SIGNALS):
        return ""
    parts = [str(event.value)] if event.value is not None else []
    return ", ".join(parts + [str(event.metadata[name]) for name in ("limit", "error") if name in event.metadata])
