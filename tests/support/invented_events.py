"""Invented events, as in an export, and their tally, counted unit by unit in Python."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import insert, select

from lib.statistics.quantiles import quantile_span, rank
from lib.statistics.sums import QUANTILES, Scope, Sums, Tally
from lib.store.database import Database
from lib.store.ingest import imported
from lib.store.schema import answer, exposure, vote
from lib.store.schema import event as ledger
from lib.store.sums import METRICS
from lib.store.tallies import tally

Line = dict[str, Any]
EXPERIMENT = "invented"
ORIGIN_MS = 1_790_000_000_000
ERRORS = ("error", "interrupted")


def line(event_id: str, name: str, time: int, user: str, value: Any = None, **metadata: Any) -> Line:
    """Return one event. `time` is in milliseconds after ORIGIN_MS."""
    said = {"experiment": EXPERIMENT, **metadata}
    return {
        "event_id": event_id, "name": name, "time": ORIGIN_MS + time, "user_id": user, "value": value, "metadata": said,
    }  # fmt: skip


def exposed(event_id: str, user: str, group: str | None, time: int = 0, **more: Any) -> Line:
    return line(event_id, "exposure", time, user, group=group, **{"rule_id": group, "forced": False, **more})


def answered(answer_id: str, user: str, time: int = 1, reason: str = "stop", **facts: Any) -> Line:
    return line(f"c-{answer_id}", "chat_completion", time, user, reason, **{"answer_id": answer_id, **facts})


def rated(event_id: str, answer_id: str, user: str, time: int = 2, name: str = "satisfaction") -> Line:
    value = "satisfaction" if name == "rating_withdrawn" else 1
    return line(event_id, name, time, user, value, answer_id=answer_id)


def preferred(event_id: str, comparison_id: str, user: str, time: int = 0, value: str = "b", **more: Any) -> Line:
    """Return a vote on a comparison of control and b, by default with control on the left."""
    sides = {"left": "control", "right": "b"} | more
    return line(event_id, "preference", time, user, value, comparison_id=comparison_id, **sides)


def encoded(events: Iterable[Line]) -> list[bytes]:
    return [json.dumps(event).encode() + b"\n" for event in events]


def counted(events: Iterable[Line], scope: Scope | None = None) -> Tally:
    """Return the tally of the store's SQL over these events, on SQLite."""
    with imported(encoded(events)) as found:
        return tally(found.read, scope or Scope(EXPERIMENT))


@contextmanager
def stored(events: Iterable[Line], url: str) -> Iterator[Database]:
    """Open the database of this URL, such as a PostgreSQL, with these events in it."""
    with stored_lines(encoded(events), url) as database:
        yield database


@contextmanager
def stored_lines(lines: Iterable[bytes], url: str) -> Iterator[Database]:
    """Open the database of this URL with the events of an export in it."""
    with imported(lines) as found, closing(Database.open(url)) as database:
        with found.read() as here, database.begin() as there:
            for table in (exposure, answer, ledger, vote):
                columns = [column for column in table.c if column.computed is None]
                rows = [dict(row._mapping) for row in here.execute(select(*columns))]
                if rows:
                    there.execute(insert(table), rows)
        yield database


# The sums that the SQL must return, by plain counting


def units_of(events: Sequence[Line], scope: Scope) -> tuple[dict[str, tuple[str, int]], int, int]:
    """Return (group, first exposure) of every unit that counts, and the numbers of forced and of crossed-over units."""
    met: dict[str, dict[str, Line]] = defaultdict(dict)
    for event in events:
        said = event["metadata"]
        if event["name"] != "exposure" or said["experiment"] != scope.experiment or said["group"] is None:
            continue
        if bool(said.get("simulated")) != scope.simulated or not _within(event["time"], scope):
            continue
        met[event["user_id"]].setdefault(event["event_id"], event)
    units, forced, crossover = {}, 0, 0
    for user, exposures in met.items():
        groups = {one["metadata"]["group"] for one in exposures.values()}
        if any(one["metadata"]["forced"] for one in exposures.values()):
            forced += 1
        elif len(groups) > 1:
            crossover += 1
        else:
            units[user] = groups.pop(), min(one["time"] for one in exposures.values())
    return units, forced, crossover


def _within(time: int, scope: Scope) -> bool:
    return (scope.since_ms is None or time >= scope.since_ms) and (scope.until_ms is None or time < scope.until_ms)


def plainly(events: Sequence[Line], scope: Scope | None = None) -> Tally:
    """Return the tally by plain counting. Different events must have different ids."""
    scope = scope or Scope(EXPERIMENT)
    units, forced, crossover = units_of(events, scope)
    ends: dict[str, Line] = {}
    for event in sorted(events, key=lambda one: (one["time"], one["event_id"])):
        if event["name"] == "chat_completion":
            ends.setdefault(event["metadata"]["answer_id"], event)
    ratings: dict[str, Line] = {}
    for event in sorted(events, key=lambda one: (one["time"], one["event_id"])):
        if event["name"] in ("satisfaction", "dissatisfaction", "rating_withdrawn"):
            ratings[event["metadata"]["answer_id"]] = event
    of_unit: dict[str, list[Line]] = {user: [] for user in units}
    for answer_id, end in ends.items():
        said, user = end["metadata"], end["user_id"]
        if user not in units or said["experiment"] != scope.experiment or end["value"] == "limited":
            continue
        if bool(said.get("simulated")) != scope.simulated or end["time"] < units[user][1]:
            continue
        if scope.until_ms is None or end["time"] < scope.until_ms:
            of_unit[user].append({**said, "value": end["value"], "rating": _vote(ratings.get(answer_id), scope)})
    sums = {metric: _summed(units, of_unit, metric) for metric in METRICS}
    return Tally(scope, sums, _quantiles(units, of_unit), forced, crossover)


def _vote(event: Line | None, scope: Scope) -> str | None:
    if event is None or event["name"] == "rating_withdrawn":
        return None
    return None if scope.until_ms is not None and event["time"] >= scope.until_ms else event["name"]


def _xy(answers: Sequence[Line], metric: str) -> tuple[float, float]:
    """Return the numerator and the denominator that one unit adds to a metric."""
    fine = [one for one in answers if one["value"] not in ERRORS]
    votes = [one["rating"] for one in answers if one["rating"]]
    match metric:
        case "satisfaction":
            return votes.count("satisfaction"), len(votes)
        case "rating_rate":
            return len(votes), len(answers)
        case "up_per_answer":
            return votes.count("satisfaction"), len(answers)
        case "down_per_answer":
            return votes.count("dissatisfaction"), len(answers)
        case "error_rate":
            return len(answers) - len(fine), len(answers)
        case "answers_per_user":
            return len(answers), 1
        case "time_to_first_token":
            values = [one[metric] for one in answers if one.get(metric) is not None]
        case "response_time" | "completion_tokens" | "cost_per_answer":
            key = "cost_usd" if metric == "cost_per_answer" else metric
            values = [one[key] for one in fine if one.get(key) is not None]
    return math.fsum(values), len(values)


def _sums(pairs: Sequence[tuple[float, float]]) -> Sums:
    def total(term: Any) -> float:
        return math.fsum(term(x, y) for x, y in pairs)

    return Sums(
        len(pairs), total(lambda x, y: x), total(lambda x, y: y), total(lambda x, y: x * x),
        total(lambda x, y: y * y), total(lambda x, y: x * y), sum(y > 0 for _, y in pairs),
    )  # fmt: skip


def _summed(units: Mapping[str, tuple[str, int]], of_unit: Mapping[str, list[Line]], metric: str) -> dict[str, Sums]:
    groups = sorted({group for group, _ in units.values()})
    return {
        grp: _sums([_xy(of_unit[user], metric) for user, (group, _) in units.items() if group == grp]) for grp in groups
    }


def _quantiles(units: Mapping[str, tuple[str, int]], of_unit: Mapping[str, list[Line]]) -> dict[str, Any]:
    """Return by name and group: the quantile, the ends of its interval, and the sums of answers up to it."""
    found: dict[str, Any] = {name: {} for name in QUANTILES}
    for grp in sorted({group for group, _ in units.values()}):
        times = [
            [
                one["response_time"]
                for one in of_unit[user]
                if one.get("response_time") is not None and one["value"] not in ERRORS
            ]
            for user, (group, _) in units.items()
            if group == grp
        ]
        values = sorted(value for unit in times for value in unit)
        for name, p in QUANTILES.items():
            found[name][grp] = _quantile(values, [unit for unit in times if unit], p)
    return found


def _quantile(values: Sequence[float], times: Sequence[Sequence[float]], p: float) -> tuple[Any, ...]:
    if not values:
        return None, None, None, _sums([])
    value = values[rank(p, len(values)) - 1]
    below = _sums([(sum(one <= value for one in unit), len(unit)) for unit in times])
    shares = quantile_span(p, below)
    low, high = (values[rank(share, len(values)) - 1] for share in shares) if shares else (None, None)
    return value, low, high, below


def same(one: Tally, other: Tally) -> None:
    """Check that two tallies are equal up to floating-point error."""
    assert (one.forced, one.crossover) == (other.forced, other.crossover)
    for metric, groups in other.sums.items():
        assert one.sums[metric].keys() == groups.keys()
        for grp, sums in groups.items():
            alike(one.sums[metric][grp], sums)
    for name, quantiles in other.quantiles.items():
        assert one.quantiles[name].keys() == quantiles.keys()
        for grp, expected in quantiles.items():
            found = one.quantiles[name][grp]
            value, low, high, below = expected if isinstance(expected, tuple) else (
                expected.value, expected.low, expected.high, expected.below,
            )  # fmt: skip
            assert (found.value, found.low, found.high) == (value, low, high)
            alike(found.below, below)


def alike(one: Sums, other: Sums) -> None:
    for a, b in zip(one, other, strict=True):
        assert math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9), (one, other)


# Strategies

USERS = [f"u{number}" for number in range(6)]
_seconds = st.none() | st.sampled_from([0.0, 0.5, 1.25, 2.5, 2.5000001, 7.0])
_time = st.integers(0, 12)


@st.composite
def histories(draw: st.DrawFn) -> list[Line]:
    """Draw the events of a few units in every form that the record can hold, with ties, unordered, some twice."""
    ids = [f"e{number:03d}" for number in draw(st.permutations(range(60)))]
    users = st.sampled_from(USERS)
    groups = st.sampled_from(["control", "control", "b", "b", "c", "unknown", None])
    flags: st.SearchStrategy[Line] = st.sampled_from(
        [{}, {}, {}, {}, {"forced": True}, {"simulated": True}, {"experiment": "another"}]
    )
    events = [
        exposed(ids.pop(), draw(users), draw(groups), draw(_time), **draw(flags))
        for _ in range(draw(st.integers(0, 10)))
    ]
    # Most units meet one group only; otherwise few units would count.
    events += [exposed(ids.pop(), user, draw(groups), draw(_time)) for user in draw(st.sets(users))]
    reasons = st.sampled_from(["stop", "stop", "stop", "length", "error", "interrupted", "stopped", "limited"])
    about: st.SearchStrategy[Line] = st.sampled_from([{}, {}, {}, {}, {"simulated": True}, {"experiment": "another"}])
    for number in range(draw(st.integers(0, 14))):
        answer_id = f"a{draw(st.integers(0, 11))}"
        facts = {
            "response_time": draw(_seconds), "time_to_first_token": draw(_seconds), "group": draw(groups),
            "completion_tokens": draw(st.none() | st.integers(0, 500)),
            "cost_usd": draw(st.none() | st.sampled_from([0.0, 0.0001, 0.00023])),
        }  # fmt: skip
        end = answered(answer_id, draw(users), draw(_time), draw(reasons), **facts, **draw(about))
        events.append({**end, "event_id": f"c{draw(st.integers(0, 9))}-{number}"})
    votes = st.sampled_from(["satisfaction", "satisfaction", "dissatisfaction", "rating_withdrawn"])
    for _ in range(draw(st.integers(0, 14))):
        events.append(rated(ids.pop(), f"a{draw(st.integers(0, 12))}", draw(users), draw(_time), draw(votes)))
    twice = draw(st.lists(st.sampled_from(events), max_size=4)) if events else []
    return draw(st.permutations([*events, *twice]))
