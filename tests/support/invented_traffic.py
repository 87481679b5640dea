"""Invented traffic for pages to show, written straight into a store's tables. A test says how its groups differ.

Everything is drawn from a seed and ends at a given moment, so that its picture is the same every day but for the dates.
The rows bypass the store's writer, which is tested elsewhere.
"""

import random
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, insert

from lib.domain.clock import DAY_MS, now_ms
from lib.store.database import Database
from lib.store.schema import answer, conversation, event, exposure, message

EXPERIMENT = "statsig_openai_integration"
REASONS = ("wrong", "incomplete", "too_long", "too_slow", "off_tone", "other")
SAID = {
    "wrong": "The second half is not true: it mixes up the two settings.",
    "too_long": "One sentence would have done.",
    "too_slow": "I had found it elsewhere before this ended.",
}


@dataclass(frozen=True)
class Group:
    """The users of one group. `seconds` is the median response time; `usd` the cost of an answer, None if unknown;
    `rates` the share of answers that are rated; `unhappy_rates` that share among disliked answers, if it differs."""

    users: int
    liked: float = 0.6
    seconds: float = 1.2
    failed: float = 0.01
    usd: float | None = 0.0004
    rates: float = 0.35
    unhappy_rates: float | None = None


@dataclass(frozen=True)
class Traffic:
    """One experiment's past. `both` users of each group met a second group; `forced` further users a forced one."""

    groups: Mapping[str, Group]
    days: float = 9
    answers: float = 4
    experiment: str = EXPERIMENT
    simulated: bool = False
    both: int = 0
    forced: int = 0
    seed: int = 1
    until_ms: int = field(default_factory=now_ms)


def undecided() -> Traffic:
    """Traffic without a verdict yet."""
    return Traffic({"Control": Group(74, 0.62), "Test": Group(71, 0.66, seconds=1.3, usd=0.0021)}, days=4)


def better() -> Traffic:
    """Traffic in which Test is better, and neither slower nor more often in error."""
    return Traffic({"Control": Group(420, 0.55, failed=0.004), "Test": Group(410, 0.73, failed=0.003, usd=0.0021)}, 12)


def harmed() -> Traffic:
    """Traffic in which Test is better, but slower."""
    return Traffic({"Control": Group(300, 0.55), "Test": Group(310, 0.72, seconds=2.9, usd=0.0034)}, 12)


def broken() -> Traffic:
    """Traffic in which half of Test's users are missing."""
    return Traffic({"Control": Group(320, 0.55), "Test": Group(170, 0.75)}, 8)


def three() -> Traffic:
    """Traffic in which B is better than Control, and C is worse."""
    return Traffic({"Control": Group(300, 0.55), "B": Group(290, 0.78, usd=0.0021), "C": Group(310, 0.3)}, 12)


def selection() -> Traffic:
    """Traffic without a difference, in which the unhappy testers of Test rate less often."""
    return Traffic({"Control": Group(600, 0.6, rates=0.5), "Test": Group(610, 0.6, rates=0.5, unhappy_rates=0.2)}, 12)


def held() -> Traffic:
    """Traffic in which Test is better, but by too little for today's interval alone to show."""
    return Traffic({"Control": Group(210, 0.6), "Test": Group(205, 0.65)}, 12)


def fill(url: str, *past: Traffic) -> None:
    """Write traffic into the database of this URL, which is created if it is missing."""
    with closing(Database.open(url)) as database, database.begin() as connection:
        for traffic in past:
            rows: dict[Table, list[dict[str, Any]]] = {}
            for table, row in _rows(traffic):
                rows.setdefault(table, []).append(row)
            for table, found in rows.items():
                _insert(connection, table, found)


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    names = {name for row in rows for name in row}
    connection.execute(insert(table), [dict.fromkeys(names) | row for row in rows])


def _rows(traffic: Traffic) -> Iterator[tuple[Table, dict[str, Any]]]:
    chance = random.Random(f"{traffic.experiment} {traffic.seed} {traffic.simulated}")
    begin = traffic.until_ms - int(traffic.days * DAY_MS)
    names = list(traffic.groups)
    for name, group in traffic.groups.items():
        for number in range(group.users):
            user = f"{chance.getrandbits(128):032x}"
            met = begin + int(chance.random() * traffic.days * DAY_MS * 0.98)
            yield exposure, _exposure(traffic, chance, user, name, met)
            if number < traffic.both:
                yield exposure, _exposure(traffic, chance, user, names[names.index(name) - 1], met + 60_000)
            yield from _answers(traffic, chance, user, name, group, met)
    for _ in range(traffic.forced):
        user = f"{chance.getrandbits(128):032x}"
        yield exposure, _exposure(traffic, chance, user, names[-1], begin) | {"forced": True}


def _exposure(traffic: Traffic, chance: random.Random, user: str, group: str, time_ms: int) -> dict[str, Any]:
    return {
        "event_id": f"{chance.getrandbits(128):032x}", "experiment": traffic.experiment, "user_id": user,
        "simulated": traffic.simulated, "time_ms": time_ms, "grp": group, "forced": False,
    }  # fmt: skip


def _answers(
    traffic: Traffic, chance: random.Random, user: str, name: str, group: Group, met: int
) -> Iterator[tuple[Table, dict[str, Any]]]:
    share, talk = chance.betavariate(group.liked * 4, (1 - group.liked) * 4), f"{chance.getrandbits(128):032x}"
    common = {"simulated": traffic.simulated}
    yield (
        conversation,
        {"id": talk, "visitor_id": user, "assignment": "{}", "created_ms": met, "updated_ms": met, **common},
    )
    time_ms = met
    for turn in range(1, 2 + min(int(chance.expovariate(1 / (traffic.answers - 0.5))), 20)):
        time_ms += int(chance.uniform(5_000, 200_000))
        if time_ms >= traffic.until_ms:
            return
        answer_id, failed = f"{chance.getrandbits(128):032x}", chance.random() < group.failed
        seconds = round(group.seconds * chance.lognormvariate(0, 0.45), 3)
        draw, liked = chance.random(), chance.random() < share
        rates = group.rates if liked or group.unhappy_rates is None else group.unhappy_rates
        rated = not failed and draw < rates
        reason = chance.choice(REASONS) if rated and not liked and chance.random() < 0.5 else None
        yield answer, {
            "answer_id": answer_id, "conversation_id": talk, "session_id": talk, "turn": turn,
            "experiment": traffic.experiment, "grp": name, "user_id": user, "model": "large-model", "time_ms": time_ms,
            "finish_reason": "error" if failed else "stop", "response_time": None if failed else seconds,
            "time_to_first_token": None if failed else seconds / 5, "completion_tokens": None if failed else 180,
            "cost_usd": None if failed or group.usd is None else group.usd * chance.uniform(0.6, 1.4),
            "rating": ("satisfaction" if liked else "dissatisfaction") if rated else None,
            "rated_ms": time_ms + 9_000 if rated else None, "reason": reason, **common,
        }  # fmt: skip
        yield event, {
            "event_id": f"{chance.getrandbits(128):032x}", "name": "chat_completion", "time_ms": time_ms,
            "user_id": user, "answer_id": answer_id, "metadata": "{}", "ids": "{}", **common,
        }  # fmt: skip
        yield message, {
            "answer_id": answer_id, "conversation_id": talk, "turn": turn, "asked_ms": time_ms, "replaced": False,
            "question": "How do I connect a model of my own?",
            "answer": "Set `OPENAI_BASE_URL` to its address and start Parley again.",
            "comment": SAID.get(reason or "") if chance.random() < 0.6 else None,
        }  # fmt: skip
