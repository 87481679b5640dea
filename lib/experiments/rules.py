"""The rules of what an operator may do with an experiment, and which act begins or ends a run.

Each function is one act on its ground. It raises ActError before it changes anything, or returns the facts for the
audit log.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lib.domain.ids import new_id
from lib.domain.operations import Course, Decision, Stage
from lib.experiments.book import Known
from lib.experiments.definitions import Definition, Group
from lib.experiments.ground import ActError, Conflict, Ground
from lib.experiments.versions import breaks, canonical, run_key
from lib.store import courses

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


def save(ground: Ground, new: Definition, base: int, reason: str) -> Facts:
    """Keep a new version that was made from version `base`."""
    if ground.course.version != base:
        if ground.known.version is None:
            raise ActError(f"There is no version {base} of {ground.name}.")
        raise Conflict(ground.known.version)
    old = ground.known.written
    if old is not None and canonical(old) == canonical(new):
        raise ActError("Nothing was changed.")
    if ground.served and old is not None and _assigned(old) != _assigned(new):
        raise ActError(AT_STATSIG)
    ground.add_version(new, reason)
    return {"version": base + 1, "reason": reason, "new run because of": _follow(ground, old, new)}


def take_file(ground: Ground, new: Definition) -> Facts:
    """Keep what the experiments file says, where it changed since the newest version."""
    old = ground.known.written
    if not changed_since(ground.known, ground.file):
        raise ActError("Another replica took it.")
    ground.add_version(new, "The experiments file was read" if old is None else "The experiments file changed")
    return {"version": ground.course.version, "new run because of": _follow(ground, old, new)}


def choose(ground: Ground) -> Facts:
    """Make it the experiment that testers get, and start it where it never was."""
    courses.make_live(ground.connection, ground.name, ground.setting)
    ground.course = replace(ground.course, live=True, setting=ground.setting)
    if ground.course.stage == "draft" and ground.known.written is not None and not ground.served:
        ground.begin_run(ground.written, "Parley started with it")
        ground.course = replace(ground.course, stage="running")
    return {"PARLEY_EXPERIMENT": ground.setting}


def start(ground: Ground, percent: float | None, reason: str) -> Facts:
    """Let units take part: in the run that is paused, else in a new one. It becomes the experiment that testers get."""
    _must_decide(ground)
    old, course = ground.written, ground.course
    if course.stage == "running" and course.live:
        raise ActError(f"{ground.name} runs already.")
    new = old if percent is None else replace(old, allocation=float(percent))
    if not 0 < new.allocation <= 100:
        raise ActError("With an allocation of 0 % nobody takes part: start with a percentage above 0, up to 100.")
    if new != old:
        ground.add_version(new, reason or f"Started at {new.allocation:g} %")
    if (reasons := breaks(old, new)) and ground.open_run:
        ground.end_run(f"Started again with {', '.join(reasons)}")
        ground.begin_run(new, reason or "Started")
    elif ground.open_run:
        ground.continue_run()
    else:
        ground.begin_run(new, reason or "Started")
    courses.make_live(ground.connection, ground.name, ground.setting)
    ground.course = replace(ground.course, stage="running", live=True, setting=ground.setting, start_ms=None)
    return {"run": ground.course.run, "allocation": new.allocation, "reason": reason}


def ramp(ground: Ground, percent: float, reason: str) -> Facts:
    """Let more units take part, in the same run."""
    _must_decide(ground)
    old = ground.written
    if not old.allocation < percent <= 100:
        raise ActError(
            f"The allocation is {old.allocation:g} %, and a ramp only makes it larger, up to 100 %. A smaller one "
            "begins a new run: save it as a new version."
        )
    ground.add_version(replace(old, allocation=float(percent)), reason or f"Ramped to {percent:g} %")
    ground.continue_run()
    return {"from": old.allocation, "to": float(percent), "reason": reason}


def pause(ground: Ground, reason: str) -> Facts:
    """Let no new unit take part; conversations go on, and the run stays open."""
    _must_decide(ground)
    if ground.course.stage != "running":
        raise ActError(f"{ground.name} does not run: {STAGES[ground.course.stage]}.")
    ground.course = replace(ground.course, stage="paused")
    return {"reason": reason}


def end(ground: Ground, reason: str) -> Facts:
    """End the run: everybody gets the default from the next conversation on."""
    _must_decide(ground)
    if ground.open_run is None:
        raise ActError(f"{ground.name} has no open run: {STAGES[ground.course.stage]}.")
    ground.end_run(reason or "Ended")
    ground.course = replace(ground.course, stage="ended", start_ms=None, end_ms=None)
    return {"run": ground.course.run, "reason": reason}


def disable(ground: Ground, group: str, reason: str, facts: Facts) -> Facts:
    """Switch a group off: its units get the default from their next question on, its data stay."""
    _must_decide(ground)
    if ground.written.group(group) is None:
        raise ActError(f"{ground.name} has no group {group}; it has {_named(ground.written)}.")
    if group in ground.course.disabled:
        raise ActError(f"{group} is switched off already.")
    ground.course = replace(ground.course, disabled={**ground.course.disabled, group: ground.time_ms})
    return {"group": group, "reason": reason, **facts}


def enable(ground: Ground, group: str, reason: str) -> Facts:
    """Switch a group on again: a new run begins."""
    _must_decide(ground)
    if group not in ground.course.disabled:
        raise ActError(f"{group} is not switched off.")
    rest = {one: since for one, since in ground.course.disabled.items() if one != group}
    ground.course = replace(ground.course, disabled=rest)
    if ground.open_run:
        ground.end_run(f"{group} was switched on again")
        ground.begin_run(ground.written, f"{group} was switched on again")
    return {"group": group, "reason": reason}


def schedule(ground: Ground, start_ms: int | None, end_ms: int | None) -> Facts:
    """Start and end it at these moments; None: at none."""
    _must_decide(ground)
    course, now = ground.course, ground.time_ms
    if start_ms is not None and course.stage == "running":
        raise ActError(f"{ground.name} runs already: only its end can be scheduled.")
    if start_ms is not None and start_ms != course.start_ms and start_ms <= now:
        raise ActError("The start lies in the past: choose a later time, or start it now.")
    if end_ms is not None and end_ms != course.end_ms and end_ms <= now:
        raise ActError("The end lies in the past: choose a later time, or end it now.")
    if start_ms is not None and end_ms is not None and end_ms <= start_ms:
        raise ActError("The end does not lie after the start.")
    if not ground.written.allocation and start_ms is not None:
        raise ActError("Its allocation is 0 %: save a version with a larger one before its start is scheduled.")
    ground.course = replace(course, start_ms=start_ms, end_ms=end_ms)
    return {"start_ms": start_ms, "end_ms": end_ms}


def keep_schedule(ground: Ground) -> Facts:
    """Do what is due now."""
    if ends_now(ground.course, ground.time_ms):
        return end(ground, "As scheduled")
    if not starts_now(ground.course, ground.time_ms):
        raise ActError("It is done already.")
    return start(ground, None, "As scheduled")


def decide(ground: Ground, group: str | None, readout: Mapping[str, Any], reason: str) -> Decision:
    """End the run with a decision: a group's parameters become the default; None: the default stays."""
    old, run = ground.written, ground.known.run
    if run is None:
        raise ActError(f"{ground.name} has never run: there is nothing to decide.")
    chosen = old.group(group) if group is not None else None
    if group is not None and chosen is None:
        raise ActError(f"{ground.name} has no group {group}; it has {_named(old)}.")
    default = dict(old.default) if ground.served else _default_of(old, chosen)
    if not ground.served:  # else the run ends with the decision that is made there
        if default != dict(old.default):
            ground.add_version(replace(old, default=default), f"Decided for {group}: {reason.strip()}")
            ground.continue_run()
        ground.end_run(f"Decided for {group}" if group else "Decided: the default stays")
        ground.course = replace(ground.course, stage="ended", start_ms=None, end_ms=None)
    made = Decision(
        new_id(), ground.name, run.number, ground.time_ms, ground.author, reason.strip(), group, default, readout
    )
    courses.add_decision(ground.connection, made)
    return made


def note(ground: Ground, definition: Definition, why: str) -> Facts:
    """Note what Statsig serves: a run ends where that breaks comparability, and a new one begins where it runs."""
    if as_served(ground.known, definition):
        raise ActError("It is noted already.")
    run, over = ground.open_run, definition.status.state not in ("running", "paused")
    reason = why or ("Statsig serves it" if ground.known.run is None else "Statsig serves other groups")
    ground.end_run(reason)
    if ground.known.written is None or canonical(ground.known.written) != canonical(definition):
        ground.add_version(definition, reason)
    began = None if over else ground.begin_run(definition, reason)
    ground.course = replace(ground.course, stage="ended" if over else "running")
    return {"reason": reason, "ended": run and run.number, "began": began}


def as_served(known: Known, definition: Definition) -> bool:
    """True where the record's run is what Statsig serves."""
    run = known.run
    if definition.status.state not in ("running", "paused"):
        return run is None or run.ended_ms is not None
    return run is not None and run.ended_ms is None and run.key == run_key(definition)


def changed_since(known: Known, file: str) -> bool:
    """True where the experiments file has another table than when the newest version was made, and another content."""
    if known.version is None or known.written is None:
        return True
    return known.version.file != file and canonical(known.written) != file


def starts_now(course: Course, now_ms: int) -> bool:
    """True where a scheduled start is due."""
    return course.start_ms is not None and course.start_ms <= now_ms and course.stage != "running"


def ends_now(course: Course, now_ms: int) -> bool:
    """True where a scheduled end is due."""
    return course.end_ms is not None and course.end_ms <= now_ms and course.stage in ("running", "paused")


def _follow(ground: Ground, old: Definition | None, new: Definition) -> list[str]:
    """Continue or end the run after a new version; return what begins a new one."""
    if old is None or ground.open_run is None:
        return []
    reasons = [] if ground.served else breaks(old, new)  # what Statsig serves, `note` looks at
    if not reasons:
        ground.continue_run()
        return []
    why = f"Version {ground.course.version}: {', '.join(reasons)}"
    ground.end_run(why)
    if ground.course.stage == "running":
        ground.begin_run(new, why)
    return reasons


def _must_decide(ground: Ground) -> None:
    if ground.served:
        raise ActError(AT_STATSIG)


def _default_of(old: Definition, chosen: Group | None) -> dict[str, Any]:
    """The default after a decision: the group's parameters. What the group took from the old default, it keeps."""
    if chosen is None:
        return dict(old.default)
    kept = {name: old.default[name] for name in ("model", "provider") if name in old.default}
    return {**kept, **chosen.parameters}


def _assigned(definition: Definition) -> tuple[object, ...]:
    """The part of a definition that Statsig decides."""
    return definition.unit, definition.allocation, dict(definition.default), definition.groups


def _named(definition: Definition) -> str:
    return ", ".join(group.name for group in definition.groups)
