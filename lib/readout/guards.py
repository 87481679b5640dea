"""Guardrails that act: the groups that harm one, by the interval that holds at every look, and a sentence about each.

An ordinary p-value may not act like this: watched, it would switch off many groups that harm nothing. The command
`simulate --check` shows how many.
"""

from collections.abc import Iterator

from lib.experiments.definitions import Definition
from lib.readout.judge import Versus
from lib.readout.sentences import WORDS, written_difference
from lib.readout.verdicts import Readout


def harmed(readout: Readout, definition: Definition) -> Iterator[tuple[str, str, Versus]]:
    """The groups that are on and harm a guardrail that acts: (group, metric, comparison), each group once."""
    for group in readout.treatments:
        known = definition.group(group)
        if known is None or known.ended_ms is not None:
            continue
        for metric in definition.stop_on:
            versus = readout.metrics[metric].versus[group]
            if versus.guardrail == "harmed":
                yield group, metric, versus
                break


def sentence(group: str, metric: str, versus: Versus) -> str:
    """Return the guardrail's finding, for the history."""
    words = WORDS[metric]
    low, high = versus.low or 0.0, versus.high or 0.0
    ends = written_difference(metric, low, high, versus.shown_diff, versus.numbers.mde)
    return (
        f"{group} {words.worse}: {ends[-1]} {words.unit} (interval {ends[0]} to {ends[1]}, valid however often you "
        "look). The guardrail switched it off."
    )
