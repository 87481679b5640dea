"""The vocabulary of a readout: the words and the unit of each metric, the verdicts, differences, days.

Sentences are in `sentences`, `cautions` and `no_verdict`, digits in `lib.statistics.figures`.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from lib.readout.judgements import Verdict
from lib.statistics.figures import differences


@dataclass(frozen=True, slots=True)
class Words:
    """The words for one metric. A value times `scale` is written in `unit`; `worse` completes "Test …"."""

    name: str
    worse: str
    unit: str
    scale: float = 1.0
    data: str = "an answer"


WORDS = {
    "satisfaction": Words("satisfaction", "is less satisfying", "points", 100, "a rating"),
    "rating_rate": Words("answers rated", "has fewer answers rated", "points", 100),
    "up_per_answer": Words("thumbs up per answer", "gets fewer thumbs up", "points", 100),
    "down_per_answer": Words("thumbs down per answer", "gets more thumbs down", "points", 100),
    "error_rate": Words("errors", "is more often in error", "points", 100),
    "response_time": Words("response time", "is slower", "s"),
    "time_to_first_token": Words("time to first token", "is slower to begin", "s"),
    "completion_tokens": Words("answer length", "has longer answers", "tokens"),
    "cost_per_answer": Words("cost per answer", "is more expensive", "USD"),
    "answers_per_user": Words("answers per user", "is used less", "answers"),
    "copied": Words("answers copied", "has fewer answers copied", "points", 100),
    "regenerated": Words("answers asked for again", "has more answers asked for again", "points", 100),
    "abandoned": Words("answers left while they ran", "has more answers left", "points", 100),
}
HEADINGS: dict[Verdict, str] = {
    "broken": "Broken",
    "worse": "Worse",
    "better": "Better",
    "not_enough_data": "Not enough data",
    "equivalent": "Equivalent",
    "no_difference_yet": "Undecided",
}


def written_difference(metric: str, low: float, high: float, diff: float, mde: float | None) -> list[str]:
    """Return the ends of an interval and the difference inside, in the metric's unit."""
    return differences(WORDS[metric].scale, low, high, diff, apart=(mde, -mde) if mde else ())


def percent(share: float) -> str:
    """Return a share in percent, with one decimal."""
    return f"{100 * share:.1f} %"


def written_day(time_ms: int) -> str:
    """Return a day (UTC) in words.

    >>> written_day(1_790_000_000_000)
    '21 September 2026'
    """
    day: date = datetime.fromtimestamp(time_ms / 1_000, UTC).date()
    return f"{day.day} {day:%B %Y}"
