"""The visitors of a simulated experiment, drawn at random.

They behave as in `behaviour`. Their answers have response times, some fail, and a few take a minute. Knows neither
groups nor verdicts.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lib.demo.behaviour import ALIKE, MAX_ANSWERS, MORE_ANSWERS, RATES, SATISFIED

FAILS, STALLS, STALL_S = 0.03, 0.01, 60.0
"""Shares of answers that fail, and that take a minute."""
SECONDS, SLOW, SLOWER = 3.0, 0.3, 0.5
"""Median response time, and how much it varies between visitors and between answers (sigma of its logarithm)."""


@dataclass(frozen=True, slots=True)
class DrawnAnswer:
    """One answer, as it would be in either group: draws, and the visitor's own preferences."""

    visitor: int
    mood: float
    share: float
    rates: bool
    luck: float
    seconds: float
    tokens: float


@dataclass(frozen=True, slots=True)
class DrawnVisitors:
    """Visitors and their answers, both in order of arrival. `lots` has the draw that puts each visitor into a group."""

    lots: Sequence[float]
    arrivals: Sequence[int]
    answers: Sequence[DrawnAnswer]

    @classmethod
    def draw(cls, users: int, seed: str, rated: float = 1.0) -> "DrawnVisitors":
        """Draw visitors; `arrivals` holds for each answer the number of visitors that have come by then.

        `rated` is the share of their ratings that visitors actually give.
        """
        chance = random.Random(seed)
        lots, timed = [], []
        for visitor in range(users):
            lots.append(chance.random())
            moment = float(visitor)
            for answer in _stay(chance, visitor, rated):
                moment += chance.expovariate(1 / 3)
                timed.append((moment, answer))
        timed.sort(key=lambda pair: pair[0])
        return cls(lots, [min(int(moment) + 1, users) for moment, _ in timed], [answer for _, answer in timed])


def _stay(chance: random.Random, visitor: int, rated: float) -> Iterator[DrawnAnswer]:
    share = chance.betavariate(SATISFIED * ALIKE, (1 - SATISFIED) * ALIKE)
    rates = rated * chance.betavariate(*RATES)
    pace = SECONDS * math.exp(chance.gauss(0, SLOW))
    for _ in range(min(1 + int(chance.gammavariate(*MORE_ANSWERS)), MAX_ANSWERS)):
        seconds = STALL_S if chance.random() < STALLS else pace * math.exp(chance.gauss(0, SLOWER))
        tokens = 200 * math.exp(chance.gauss(0, SLOWER))
        yield DrawnAnswer(visitor, chance.random(), share, chance.random() < rates, chance.random(), seconds, tokens)
