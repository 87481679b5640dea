"""The state of an experiment, here and in Statsig, as sentences for operators."""

from collections.abc import Callable

from lib.domain.clock import DAY_MS
from lib.experiments.book import RecordedExperiment
from lib.experiments.experiment import UNITS, Definition, State, Status

_DID: dict[State, str] = {
    "not_started": "Statsig reset the experiment: no unit gets a group until it is started again.",
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
    "not_started": "The experiment has not started at Statsig: no unit gets a group until it is started there.",
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


def disabled_sentence(definition: Definition, written: Callable[[int], str], *, served: bool = True) -> str | None:
    """Return the groups that no longer count, and since when; None where all do. `served`: Statsig decided that."""
    ended = [group for group in definition.groups if group.ended_ms is not None]
    if not ended:
        return None
    each = [f"{group.name} since {written(group.ended_ms)}" for group in ended if group.ended_ms is not None]
    if not served:
        return f"Switched off: {', '.join(each)}. Its units get the default, and its results stay as they were then."
    return f"Statsig disabled or ended groups: {', '.join(each)}. Their results stay as they were then."


def ended_sentence(definition: Definition, written: Callable[[int], str]) -> str | None:
    """Return that the run has ended, and when; None while it is open."""
    if definition.until_ms is None:
        return None
    return f"Run {definition.run} ended on {written(definition.until_ms)}; its results stay as they were then."


def unit_sentence(unit: str) -> str:
    """Return why no unit takes part in an experiment by this kind of id, and what to do."""
    return (
        f"The experiment is by {unit}, an id that Parley does not send: every tester would be the same unit, so no "
        f"unit takes part. Choose {', '.join(UNITS[:-1])} or {UNITS[-1]} as its ID type at Statsig."
    )


def acting_sentence(definition: Definition, *, served: bool) -> str | None:
    """Return the guardrails of `stop_on` and what they do; None without any. `served`: Statsig decides."""
    if not definition.stop_on:
        return None
    guardrails = " and ".join(definition.stop_on)
    if not served:
        return f"stop_on: a group that harms {guardrails} is switched off."
    return (
        f"stop_on: {guardrails} would switch a harmed group off, but Statsig's definitions count, so that Parley "
        "switches nothing off. Harm is an alert and is on the Results page; disable the group in Statsig's console."
    )


def state_sentence(
    recorded: RecordedExperiment, now_ms: int, written: Callable[[int], str], progress: str | None = None
) -> str:
    """Return the state of an experiment in one line. `progress` is how far its readout has come."""
    state, run = recorded.state, recorded.run
    plan = [f"starts on {written(state.start_ms)}"] if state.start_ms else []
    plan += [f"ends on {written(state.end_ms)}"] if state.end_ms else []
    if state.stage == "running":
        day = (now_ms - run.begun_ms) // DAY_MS + 1 if run else 1
        word = "Running" if recorded.running or recorded.written is None else "Paused by an allocation of 0 %"
        parts = [word, f"day {day}"]
        parts += [progress] if progress else []
        parts += [f"{recorded.written.allocation:g} % of users"] if recorded.running and recorded.written else []
    elif state.stage == "paused":
        parts = ["Paused", "no new user takes part and conversations continue"] + ([progress] if progress else [])
    elif state.stage == "ended":
        parts = [
            "Ended" + (f" on {written(run.ended_ms)}" if run and run.ended_ms else ""),
            "everybody gets the default",
        ]
    else:
        parts = ["Draft", "it has never started"]
    if state.stage == "running" and not state.live:
        parts.append("but another experiment is the one that testers get")
    return ", ".join([*parts, *plan]) + "."
