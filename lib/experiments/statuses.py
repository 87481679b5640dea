"""The status of an experiment in Statsig as sentences for operators."""

from collections.abc import Callable

from lib.experiments.definitions import UNITS, Definition, State, Status

_DID: dict[State, str] = {
    "not_started": "Statsig reset the experiment: nobody gets a group until it is started again.",
    "paused": "Statsig paused the experiment: no new unit takes part.",
    "decided": "A decision was made at Statsig: everybody gets {shipped}.",
    "abandoned": "The experiment was abandoned at Statsig: everybody gets the default.",
    "stopped": "Statsig serves no groups for the experiment any more: everybody gets the default.",
    "disabled": "The experiment is switched off at Statsig: everybody gets the default.",
    "archived": "Statsig no longer serves the experiment, which was archived or deleted: everybody gets the default.",
}
"""Sentences about an experiment that ran here."""
_IS: dict[State, str] = {
    **_DID,
    "not_started": "The experiment has not started at Statsig: nobody gets a group until it is started there.",
    "stopped": "Statsig serves no groups for the experiment: it has ended, or it was never started.",
}
"""Sentences about an experiment that did not run when Parley first met it."""


def status_sentence(status: Status, written: Callable[[int], str]) -> str | None:
    """Return what happened in Statsig and when, and its meaning for the results; None for an experiment that runs."""
    if status.state == "running":
        return None
    shipped = status.shipped or "one group"
    if status.since_ms is None:
        return _IS[status.state].format(shipped=shipped)
    did = _DID[status.state].format(shipped=shipped)
    return f"{did} Parley noticed it on {written(status.since_ms)}; the results stay as they were then."


def disabled_sentence(definition: Definition, written: Callable[[int], str]) -> str | None:
    """Return the groups that no longer count, and since when; None where all do."""
    ended = [group for group in definition.groups if group.ended_ms is not None]
    if not ended:
        return None
    each = [f"{group.name} since {written(group.ended_ms)}" for group in ended if group.ended_ms is not None]
    return f"Statsig disabled or ended groups: {', '.join(each)}. Their results stay as they were then."


def unit_sentence(unit: str) -> str:
    """Return why no unit takes part in an experiment by this kind of id, and what to do."""
    return (
        f"The experiment is by {unit}, an id that Parley does not send: every tester would be the same unit, so nobody "
        f"takes part. Choose {', '.join(UNITS[:-1])} or {UNITS[-1]} as its ID type at Statsig."
    )
