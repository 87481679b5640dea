"""Guardrails that switch a group off: the groups that harm one, and a sentence about each.

The interval that is valid at every look decides. An ordinary p-value that is watched would switch off many harmless
groups; the command `simulate --check` shows how many.
"""

from collections.abc import Iterator

from lib.experiments.definitions import Definition
from lib.readout.judgements import Versus
from lib.readout.verdicts import Readout
from lib.readout.words import WORDS, written_difference


def harmed(readout: Readout, definition: Definition) -> Iterator[tuple[str, str, Versus]]:
    """Yield the groups in use that harm a guardrail of `stop_on`: (group, metric, comparison), each group once."""
    for group in readout.treatments:
        configured = definition.group(group)
        if configured is None or configured.ended_ms is not None:
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
