"""Signs that a comparison is biased: raters who may not be like control's, and answers that testers stopped."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from lib.readout.judgements import Metric, Versus
from lib.statistics.sums import Tally

Selection = Literal["rated_more", "rated_less", "thumbs"]
"""The sign that a group's raters may not be like control's."""
STOPPED = 0.05
"""A difference in the shares of stopped answers above which response times are understated."""


def selection_of(metrics: Mapping[str, Metric]) -> dict[str, Selection]:
    """Return the treatments whose raters may not be like control's, with the sign that shows it."""
    signs: dict[str, Selection] = {}
    for group, satisfied in metrics["satisfaction"].versus.items():
        rated = metrics["rating_rate"].versus[group]
        if rated.verdict in ("better", "worse"):
            signs[group] = "rated_more" if rated.verdict == "better" else "rated_less"
        elif satisfied.verdict in ("better", "worse"):
            per_answer = (metrics[name].versus[group] for name in ("up_per_answer", "down_per_answer"))
            if not any(versus.verdict == satisfied.verdict for versus in per_answer):
                signs[group] = "thumbs"
    return signs


def stopped_shares(tally: Tally, control: str) -> dict[str, tuple[float, float]]:
    """Return the shares of stopped answers, control's and the group's, where they differ by more than 5 points."""
    answers = {group: sums.sx for group, sums in tally.sums["answers_per_user"].items() if sums.sx}
    shares = {group: tally.stopped.get(group, 0) / n for group, n in answers.items()}
    if control not in shares:
        return {}
    return {
        group: (shares[control], share)
        for group, share in shares.items()
        if group != control and abs(share - shares[control]) > STOPPED
    }


def mark_cut_short(versus: Mapping[str, Versus], stopped: Mapping[str, tuple[float, float]]) -> dict[str, Versus]:
    """Mark response times that favour a group whose testers stopped more answers: they are understated."""
    marked = dict(versus)
    for group, (theirs, own) in stopped.items():
        pair = marked.get(group)
        if pair is None or pair.verdict in ("broken", "not_enough_data"):
            continue
        favours = pair.verdict != "worse" if own > theirs else pair.verdict != "better"
        marked[group] = replace(pair, cut_short=favours)
    return marked
