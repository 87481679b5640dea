"""The rules for acts: what an operator may do with an experiment, and which act begins or ends a run.

Each function is one act on its change. It raises ActError before it changes anything, or returns the facts for the
audit log.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lib.domain.ids import new_id
from lib.domain.operations import Act, Decision, ExperimentState, Stage
from lib.experiments.book import RecordedExperiment, changed_since
from lib.experiments.change import ActError, Change, Conflict
from lib.experiments.experiment import Definition, Group
from lib.experiments.versions import INHERITED, breaks, canonical, run_key
from lib.store import states

Facts = Mapping[str, Any]
AT_STATSIG = (
    "Statsig decides who gets what: change groups, shares and allocation, and start, pause or end it there. Metrics, "
    "differences that matter, comparisons and decisions are kept here."
)
STAGES: Mapping[Stage, str] = {
    "draft": "it is a draft that never started",
    "running": "it runs",
    "paused": "it is paused",
    "ended": "it has ended",
}


def save(change: Change, new: Definition, base: int, reason: str) -> Facts:
    """Keep a new version that was made from version `base`."""
    if change.state.version != base:
        if change.recorded.version is None:
            raise ActError(f"There is no version {base} of {change.name}.")
        raise Conflict(change.recorded.version)
    old = change.recorded.written
    if old is not None and canonical(old) == canonical(new):
        raise ActError("Nothing was changed.")
    if change.served and (old is None or _assigned(old) != _assigned(new)):
        raise ActError(AT_STATSIG)
    change.add_version(new, reason)
    return {"version": base + 1, "reason": reason, "new run because of": _follow(change, old, new)}


def take_file(change: Change, new: Definition) -> Facts:
    """Keep the experiments file's table as a new version, where it changed since the newest one."""
    old = change.recorded.written
    if not changed_since(change.recorded, change.file):
        raise ActError("Another replica took it.")
    change.add_version(new, "The experiments file was read" if old is None else "The experiments file changed")
    return {"version": change.state.version, "new run because of": _follow(change, old, new)}


def keep(change: Change) -> Facts:
    """Keep the newest version as one that was made with the current file."""
    if not changed_since(change.recorded, change.file):
        raise ActError("The experiments file says nothing else.")
    reason = "Kept, although the experiments file changed"
    change.add_version(change.written, reason)
    change.continue_run()
    return {"version": change.state.version, "reason": reason}


def choose(change: Change) -> Facts:
    """Make this the experiment that testers get, and start it where it never ran."""
    states.make_live(change.connection, change.name, change.setting)
    change.state = replace(change.state, live=True, setting=change.setting)
    if change.state.stage == "draft" and change.recorded.written is not None and not change.served:
        change.begin_run(change.written, "Parley started with it")
        change.state = replace(change.state, stage="running")
    return {"PARLEY_EXPERIMENT": change.setting}


def start(change: Change, percent: float | None, reason: str) -> Facts:
    """Let units take part: in the run that is paused, else in a new one. The experiment becomes the one that testers
    get. A scheduled end that has passed is dropped."""
    _must_decide(change)
    old, state = change.written, change.state
    if state.stage == "running" and state.live and old.allocation:
        raise ActError(f"{change.name} runs already.")
    new = old if percent is None else replace(old, allocation=float(percent))
    if not 0 < new.allocation <= 100:
        raise ActError("With an allocation of 0 % no unit takes part: start with a percentage above 0, up to 100.")
    if new != old:
        change.add_version(new, reason or f"Started at {new.allocation:g} %")
    if (reasons := breaks(change.compared, new)) and change.open_run:
        change.end_run(f"Started again with {', '.join(reasons)}")
        change.begin_run(new, reason or "Started")
    elif change.open_run:
        change.continue_run()
    else:
        change.begin_run(new, reason or "Started")
    states.make_live(change.connection, change.name, change.setting)
    end_ms = state.end_ms if state.end_ms is not None and state.end_ms > change.time_ms else None
    change.state = replace(
        change.state, stage="running", live=True, setting=change.setting, start_ms=None, end_ms=end_ms
    )
    return {"run": change.state.run, "allocation": new.allocation, "reason": reason}


def ramp(change: Change, percent: float, reason: str) -> Facts:
    """Let more units take part, in the same run."""
    _must_decide(change)
    old, reached = change.written, change.compared.allocation
    if not (old.allocation < percent <= 100 and reached <= percent):
        before = "" if reached == old.allocation else f", and was {reached:g} % before"
        raise ActError(
            f"The allocation is {old.allocation:g} %{before}, and a ramp only makes it larger, up to 100 %. A smaller "
            "one begins a new run: save it as a new version."
        )
    change.add_version(replace(old, allocation=float(percent)), reason or f"Ramped to {percent:g} %")
    change.continue_run()
    return {"from": old.allocation, "to": float(percent), "reason": reason}


def pause(change: Change, reason: str) -> Facts:
    """Let no new unit take part; conversations continue, and the run stays open."""
    _must_decide(change)
    if change.state.stage != "running":
        raise ActError(f"{change.name} does not run: {STAGES[change.state.stage]}.")
    change.state = replace(change.state, stage="paused")
    return {"reason": reason}


def end(change: Change, reason: str) -> Facts:
    """End the run: every unit gets the default from the next conversation on."""
    _must_decide(change)
    if change.open_run is None:
        raise ActError(f"{change.name} has no open run: {STAGES[change.state.stage]}.")
    change.end_run(reason or "Ended")
    change.state = replace(change.state, stage="ended", start_ms=None, end_ms=None)
    return {"run": change.state.run, "reason": reason}


def disable(change: Change, group: str, reason: str, facts: Facts) -> Facts:
    """Switch a group off: its units get the default from their next question on, its data stay."""
    _must_decide(change)
    if change.written.group(group) is None:
        raise ActError(f"{change.name} has no group {group}; it has {_name_of(change.written)}.")
    if group in change.state.disabled:
        raise ActError(f"{group} is switched off already.")
    change.state = replace(change.state, disabled={**change.state.disabled, group: change.time_ms})
    return {"group": group, "reason": reason, **facts}


def enable(change: Change, group: str, reason: str) -> Facts:
    """Switch a group on again: a new run begins."""
    _must_decide(change)
    if group not in change.state.disabled:
        raise ActError(f"{group} is not switched off.")
    disabled = {name: since for name, since in change.state.disabled.items() if name != group}
    change.state = replace(change.state, disabled=disabled)
    if change.open_run:
        change.end_run(f"{group} was switched on again")
        change.begin_run(change.written, f"{group} was switched on again")
    return {"group": group, "reason": reason}


def schedule(change: Change, start_ms: int | None, end_ms: int | None) -> Facts:
    """Schedule the start and the end of the experiment; None: not scheduled."""
    _must_decide(change)
    state, now = change.state, change.time_ms
    if start_ms is not None and state.stage == "running":
        raise ActError(f"{change.name} runs already: only its end can be scheduled.")
    if start_ms is not None and start_ms != state.start_ms and start_ms <= now:
        raise ActError("The start lies in the past: choose a later time, or start it now.")
    if end_ms is not None and end_ms != state.end_ms and end_ms <= now:
        raise ActError("The end lies in the past: choose a later time, or end it now.")
    if start_ms is not None and end_ms is not None and end_ms <= start_ms:
        raise ActError("The end does not lie after the start.")
    if not change.written.allocation and start_ms is not None:
        raise ActError("Its allocation is 0 %: save a version with a larger one before its start is scheduled.")
    change.state = replace(state, start_ms=start_ms, end_ms=end_ms)
    return {"start_ms": start_ms, "end_ms": end_ms}


def keep_schedule(change: Change) -> Facts:
    """Start or end the experiment where its schedule asks for that now."""
    match due(change.state, change.time_ms):
        case "end":
            return end(change, "As scheduled")
        case "start":
            return start(change, None, "As scheduled")
        case "schedule":
            change.state = replace(change.state, start_ms=None, end_ms=None)
            return {"reason": "Its start and its end passed while Parley did not run."}
    raise ActError("It is done already.")


def decide(change: Change, group: str | None, readout: Mapping[str, Any], reason: str) -> Decision:
    """End the run with a decision: a group's parameters become the default; None: the default stays."""
    old, run = change.written, change.recorded.run
    if run is None:
        raise ActError(f"{change.name} has never run: there is nothing to decide.")
    chosen = old.group(group) if group is not None else None
    if group is not None and chosen is None:
        raise ActError(f"{change.name} has no group {group}; it has {_name_of(old)}.")
    default = dict(old.default) if change.served else _default_of(old, chosen)
    if not change.served:  # otherwise the decision at Statsig ends the run
        if default != dict(old.default):
            change.add_version(replace(old, default=default), f"Decided for {group}: {reason.strip()}")
            change.continue_run()
        change.end_run(f"Decided for {group}" if group else "Decided: the default stays")
        change.state = replace(change.state, stage="ended", start_ms=None, end_ms=None)
    made = Decision(
        new_id(), change.name, run.number, change.time_ms, change.author, reason.strip(), group, default, readout
    )
    states.add_decision(change.connection, made)
    return made


def note(change: Change, definition: Definition, why: str) -> Facts:
    """Record the definition that Statsig serves: end the run, and begin a new one where the experiment runs."""
    if as_served(change.recorded, definition):
        raise ActError("It is noted already.")
    run, over = change.open_run, definition.status.state not in ("running", "paused")
    reason = why or ("Statsig serves it" if change.recorded.run is None else "Statsig serves other groups")
    change.end_run(reason)
    if change.recorded.written is None or canonical(change.recorded.written) != canonical(definition):
        change.add_version(definition, reason)
    began = None if over else change.begin_run(definition, reason)
    change.state = replace(change.state, stage="ended" if over else "running")
    return {"reason": reason, "ended": run and run.number, "began": began}


def as_served(recorded: RecordedExperiment, definition: Definition) -> bool:
    """True where the record's run is what Statsig serves."""
    run = recorded.run
    if definition.status.state not in ("running", "paused"):
        return run is None or run.ended_ms is not None
    return run is not None and run.ended_ms is None and run.key == run_key(definition)


def due(state: ExperimentState, now_ms: int) -> Act | None:
    """Return the act that the schedule asks for now: an end, a start, or a new schedule where both have passed."""
    starts = state.start_ms is not None and state.start_ms <= now_ms and state.stage != "running"
    ends = state.end_ms is not None and state.end_ms <= now_ms
    if ends and state.stage in ("running", "paused"):
        return "end"
    if starts:
        return "schedule" if ends else "start"
    return None


def _follow(change: Change, old: Definition | None, new: Definition) -> list[str]:
    """Continue or end the run after a new version; return the changes that begin a new run."""
    if old is None or change.open_run is None:
        return []
    reasons = [] if change.served else breaks(change.compared, new)  # `note` handles what Statsig serves
    if not reasons:
        change.continue_run()
        return []
    why = f"Version {change.state.version}: {', '.join(reasons)}"
    change.end_run(why)
    if change.state.stage == "running":
        change.begin_run(new, why)
    return reasons


def _must_decide(change: Change) -> None:
    if change.served:
        raise ActError(AT_STATSIG)


def _default_of(old: Definition, chosen: Group | None) -> dict[str, Any]:
    """Return the default after a decision: the group's parameters, and the old model and provider it lacks."""
    if chosen is None:
        return dict(old.default)
    inherited = {name: old.default[name] for name in INHERITED if name in old.default}
    return {**inherited, **chosen.parameters}


def _assigned(definition: Definition) -> tuple[object, ...]:
    """Return the part of a definition that Statsig decides."""
    return definition.unit, definition.allocation, dict(definition.default), definition.groups


def _name_of(definition: Definition) -> str:
    return ", ".join(group.name for group in definition.groups)
