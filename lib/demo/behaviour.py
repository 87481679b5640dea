"""The behaviour of simulated visitors: their questions, their satisfaction, their ratings.

Random from a seed: the same seed and number is the same visitor, who does the same things in the same order. A lift
turns some of a visitor's thumbs down into thumbs up and changes nothing else. Knows neither the app nor any clock.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lib.domain.rating import Rating, Reason
from lib.domain.visitor import Visitor
from lib.planning.power import MODERATE, TIES, win_share

SATISFIED = 0.65
"""The share of thumbs up over all visitors, without a lift."""
ALIKE = 3.0
"""Similarity of visitors: each one's own share of thumbs up is Beta distributed with this many pseudo-counts, so two
ratings of one visitor have a correlation of 1/(1+ALIKE). An analysis that counts ratings instead of visitors goes
wrong."""
RATES = (1.2, 0.8)
"""The share of their answers that visitors rate, as a Beta distribution: some rate everything, many next to nothing."""
MORE_ANSWERS = (0.7, 4.5)
"""Answers beyond the first, as a Gamma distribution (shape, scale): most visitors ask little, a few a lot."""
MAX_ANSWERS = 20
ELSEWHERE, AGAIN, COPIES, EXPLAINS, COMMENTS = 0.2, 0.03, 0.08, 0.5, 0.4
"""Shares of answers that begin a new conversation, are regenerated, are copied; of thumbs down with a reason; of
reasons with a comment."""
CHANGES, WITHDRAWS = 0.04, 0.02
"""Shares of votes that are reversed, and withdrawn, whatever the vote was."""
BOTH_BAD = 0.3
"""Share of ties whose answers are both bad."""
Taste = Literal["treatment", "control", "tie", "both_bad"]
"""The reactions of a comparing visitor to two answers."""
LONG = 600
"""Characters from which a dissatisfied visitor finds an answer too long rather than incomplete."""

PROMPTS = (
    "What is Parley?", "How does Parley decide which model is better?", "How do I connect a real model?",
    "How do I connect Statsig?", "What do you keep of what I write?", "Which settings does Parley have?",
    "Show me a table", "Write some Python code", "How is a rating stored?", "When is a result significant?",
    "What is the capital of Peru?", "How do I run the tests?", "Can I change my vote?", "Who are you?",
)  # fmt: skip

_IF_LONG: dict[Reason, int] = {"too_long": 4, "too_slow": 3, "off_tone": 1, "wrong": 2, "other": 1}
_IF_SHORT: dict[Reason, int] = {"incomplete": 5, "wrong": 3, "off_tone": 1, "other": 1}
_COMMENTS: dict[Reason, tuple[str, ...]] = {
    "wrong": ("That is not what I asked.", "The second half is not true."),
    "incomplete": ("It stops where it gets interesting.", "Which setting, exactly?"),
    "too_long": ("One sentence would have done.", "I had to look for the answer in the answer."),
    "too_slow": ("I had found it elsewhere before this ended.",),
    "off_tone": ("Friendly, but I wanted facts.",),
    "unsafe": ("I would not run that command.",),
    "other": ("The table is hard to read on my phone.",),
}


@dataclass(frozen=True, slots=True)
class Act:
    """One answer of a visitor. `votes` in order: the last one counts, None withdraws it.

    `pause` is the time since the previous answer, where the mean time between two visitors' arrivals is 1.
    """

    prompt: str
    pause: float
    elsewhere: bool
    again: bool
    copies: bool
    votes: tuple[Rating | None, ...]
    explains: float | None
    comments: float | None

    def reason(self, text: str) -> tuple[Reason, str | None] | None:
        """Return the visitor's reason for disliking this answer, and a comment; None without a reason."""
        if self.explains is None:
            return None
        weights = _IF_LONG if len(text) > LONG else _IF_SHORT
        reason = random.Random(self.explains).choices(list(weights), list(weights.values()))[0]
        comments = _COMMENTS[reason]
        return reason, None if self.comments is None else comments[int(self.comments * len(comments))]


def visitor(seed: int, number: int) -> Visitor:
    """Return a visitor. The ids of cookie, unit and session are derived from the seed, too."""
    visitor_id, session_id = (
        hashlib.sha256(f"parley {seed} {number} {purpose}".encode()).hexdigest()[:32]
        for purpose in ("visitor", "session")
    )
    return Visitor(visitor_id, visitor_id, visitor_id, session_id, {"locale": "en"})


def acts(seed: int, number: int, lift: float = 0.0) -> list[Act]:
    """Return the visitor's acts in order; `lift` (see `lifted`) is that of the visitor's group.

    >>> one, other = acts(1, 5), acts(1, 5, lift=0.3)
    >>> [act.prompt for act in one] == [act.prompt for act in other]
    True
    """
    chance = random.Random(f"{seed} {number}")
    share = lifted(chance.betavariate(SATISFIED * ALIKE, (1 - SATISFIED) * ALIKE), lift)
    rates = chance.betavariate(*RATES)
    answers = min(1 + int(chance.gammavariate(*MORE_ANSWERS)), MAX_ANSWERS)
    return [_act(chance, share, rates) for _ in range(answers)]


def tastes(seed: int, number: int, lift: float = 0.0) -> Iterator[Taste]:
    """Yield the votes of this visitor on one comparison after another, where the treatment's satisfaction is higher by
    `lift`.

    The visitor's own win share varies around the one that goes with the lift.

    >>> votes = tastes(1, 5, lift=0.3)
    >>> [next(votes) for _ in range(6)]
    ['treatment', 'tie', 'treatment', 'treatment', 'treatment', 'tie']
    """
    chance, mean = random.Random(f"{seed} {number} taste"), win_share(SATISFIED, lift)
    own = chance.betavariate(mean * MODERATE, (1 - mean) * MODERATE)
    while True:
        mind, luck = chance.random(), chance.random()
        if mind < TIES:
            yield "both_bad" if luck < BOTH_BAD else "tie"
        else:
            yield "treatment" if luck < own else "control"


def lifted(share: float, lift: float) -> float:
    """Return a visitor's share of thumbs up where the mean over all visitors is higher by `lift`, within 0 and 1.

    >>> lifted(0.65, 0.1), lifted(1.0, 0.1), lifted(0.0, -0.1), lifted(0.3, 0.35)
    (0.75, 1.0, 0.0, 1.0)
    """
    return share + lift * ((1 - share) / (1 - SATISFIED) if lift > 0 else share / SATISFIED)


def _act(chance: random.Random, share: float, rates: float) -> Act:
    """Draw the same number of random values whatever they are, so that a lift changes no later act."""
    prompt, pause = chance.choice(PROMPTS), chance.expovariate(1 / 3)
    draws = [chance.random() for _ in range(9)]
    liked, rated, mind = draws[0] < share, draws[1] < rates, draws[2]
    vote: Rating = "satisfaction" if liked else "dissatisfaction"
    opposite: Rating = "dissatisfaction" if liked else "satisfaction"
    votes: tuple[Rating | None, ...] = (vote,)
    if mind < CHANGES:
        votes = opposite, vote
    elif mind < CHANGES + WITHDRAWS:
        votes = vote, None
    explains = rated and votes[-1] == "dissatisfaction" and draws[3] < EXPLAINS
    return Act(
        prompt,
        pause,
        elsewhere=draws[4] < ELSEWHERE,
        again=draws[5] < AGAIN,
        copies=draws[6] < COPIES,
        votes=votes if rated else (),
        explains=draws[7] if explains else None,
        comments=draws[8] / COMMENTS if explains and draws[8] < COMMENTS else None,
    )
