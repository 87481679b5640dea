"""The deciding differences of a kept readout, as numbers and words: one panel for each metric. `picture` draws them.

Reads the JSON of the readout, so that a decision's picture has the numbers that were known at that time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lib.experiments.definitions import PREFERENCE
from lib.readout.judgements import ONE_SIDED, UP
from lib.readout.words import HEADINGS, WORDS, written_difference
from lib.statistics.figures import differences

_GUARDRAILS = {"harmed": "harmed", "safe": "safe", "not_ruled_out": "harm not ruled out"}


@dataclass(frozen=True, slots=True)
class Bar:
    """One treatment against control on one metric, in the metric's unit: `interval` is None where nothing is known.

    `word` is the verdict or the guardrail's state, `numbers` the difference and its interval as text.
    """

    group: str
    word: str
    interval: tuple[float, float, float] | None = None
    numbers: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One metric. `mde` is the smallest difference that matters, `ends` the words at both ends of the scale."""

    name: str
    unit: str
    mde: float
    ends: tuple[str, str]
    mirrored: bool
    bars: Sequence[Bar]


def panels(readout: Mapping[str, Any]) -> Iterator[Panel]:
    """Yield the comparisons, the primary metric and the guardrails of a readout's JSON."""
    held = readout.get("held") or {}
    metrics = readout.get("metrics") or {}
    for role in ("primary", "guardrail"):
        for name, metric in metrics.items():
            if metric.get("role") == role and name in WORDS and metric.get("vs_control"):
                yield _of_metric(name, metric["vs_control"], held.get(name) or {})
    if votes := readout.get("comparisons"):
        yield _of_votes(votes.get("treatments") or {}, held.get(PREFERENCE) or {})


def _of_metric(name: str, versus: Mapping[str, Mapping[str, Any]], held: Mapping[str, Any]) -> Panel:
    words, ends = WORDS[name], ("less", "more") if name in ONE_SIDED else ("worse", "better")
    mdes = [abs(pair["mde"]) for pair in versus.values() if pair.get("mde")]
    bars = []
    for group, pair in versus.items():
        interval = _deciding_interval(pair, "diff", held.get(group))
        word = _word(pair, name)
        if interval is None:
            bars.append(Bar(group, word))
            continue
        low, high, diff = interval
        texts = written_difference(name, low, high, diff, pair.get("mde"))
        bars.append(Bar(group, word, _scaled(interval, words.scale), _numbers(texts, words.unit)))
    name_of = f"{words.name[0].upper()}{words.name[1:]}"
    return Panel(
        name_of, words.unit, max(mdes, default=0.0) * words.scale, ends, name not in UP and ends[1] == "better", bars
    )


def _of_votes(treatments: Mapping[str, Mapping[str, Any]], held: Mapping[str, Any]) -> Panel:
    bars = []
    for group, reading in treatments.items():
        interval = _deciding_interval(reading, "net", held.get(group))
        if interval is None:
            bars.append(Bar(group, _word(reading, PREFERENCE)))
            continue
        low, high, net = interval
        texts = differences(100, low, high, net, apart=(reading["mde"], -reading["mde"]))
        bars.append(Bar(group, _word(reading, PREFERENCE), _scaled(interval, 100), _numbers(texts, "points")))
    mde = max((reading.get("mde") or 0.0 for reading in treatments.values()), default=0.0)
    return Panel("Net preference", "points", 100 * mde, ("worse", "better"), False, bars)


def _deciding_interval(
    pair: Mapping[str, Any], value: str, held: Mapping[str, Any] | None
) -> tuple[float, float, float] | None:
    """Return the interval that decides, (low, high, difference inside it); None where it says nothing."""
    low, high = (held["low"], held["high"]) if held else (pair.get("cs_low"), pair.get("cs_high"))
    difference = pair.get(value)
    if low is None or high is None or difference is None or low > high:
        return None
    if pair.get("verdict") in ("not_enough_data", "broken"):
        return None
    return float(low), float(high), min(max(float(difference), low), high)


def _scaled(interval: tuple[float, float, float], scale: float) -> tuple[float, float, float]:
    low, high, diff = interval
    return low * scale, high * scale, diff * scale


def _numbers(texts: Sequence[str], unit: str) -> str:
    low, high, diff = texts
    return f"{diff} {unit} ({low} to {high})"


def _word(pair: Mapping[str, Any], metric: str) -> str:
    guardrail, verdict = pair.get("guardrail"), str(pair.get("verdict") or "")
    if guardrail in _GUARDRAILS:
        return _GUARDRAILS[guardrail]
    if metric in ONE_SIDED and verdict in ("better", "worse"):
        return "more" if (pair.get("diff") or 0) > 0 else "less"
    return {str(key): word for key, word in HEADINGS.items()}.get(verdict, verdict.replace("_", " ")).lower()
