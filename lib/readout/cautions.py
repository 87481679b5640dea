"""The sentences beside a verdict that keep its numbers from misleading: raters, stopped answers, busy users."""

from collections.abc import Iterator

from lib.readout.verdicts import Readout
from lib.readout.words import percent


def warnings(readout: Readout, group: str) -> list[str]:
    """Return the sentences that keep a treatment's numbers from misleading: selection of raters, censored times."""
    sentences = []
    sign, control = readout.selection.get(group), readout.control
    if sign in ("rated_more", "rated_less"):
        own, theirs = (readout.metrics["rating_rate"].groups[name].value or 0 for name in (group, control))
        word = "more" if sign == "rated_more" else "less"
        sentences.append(
            f"{group}'s answers are rated {word} often ({percent(own)} against {percent(theirs)}): its raters may "
            f"not be like {control}'s."
        )
    elif sign == "thumbs":
        better = readout.metrics["satisfaction"].versus[group].verdict == "better"
        first, second = ("more thumbs up", "fewer thumbs down") if better else ("fewer thumbs up", "more thumbs down")
        sentences.append(
            f"Per answer, {group} has neither clearly {first} nor clearly {second}: its raters may not be like "
            f"{control}'s."
        )
    judged = readout.metrics["response_time"].role != "secondary"
    if judged and group in readout.stopped:
        theirs, own = readout.stopped[group]
        more, shares = (group, (own, theirs)) if own > theirs else (control, (theirs, own))
        less = control if more == group else group
        sentences.append(
            f"The response time of {more} is understated: its testers stopped {percent(shares[0])} of its answers "
            f"({less}'s {percent(shares[1])}), and a stopped answer counts only as far as it came."
        )
    return sentences


def busy_units(readout: Readout) -> Iterator[str]:
    """Yield a sentence for each user with a large share of a group's answers, who may be a monitor."""
    for group, units in readout.busy.items():
        answers = readout.metrics["answers_per_user"].sums[group].sx
        for unit in units:
            yield (
                f"One user holds {percent(unit.answers / answers)} of {group}'s answers ({unit.unit}): a monitor or a "
                f"test, perhaps."
            )
