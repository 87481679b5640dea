"""The compared groups: their source, their parameters side by side, their shares, and the reason for a unit's group."""

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any

import streamlit as st

from lib.domain.assignment import Assignment
from lib.domain.events import EXPOSURE
from lib.domain.ledger import Line, Search
from lib.domain.operations import FILE
from lib.domain.record import StoreError
from lib.experiments.book import RecordedExperiment
from lib.experiments.definitions import Definition
from lib.experiments.evaluator import Step
from lib.experiments.statuses import acting_sentence, disabled_sentence, status_sentence, unit_sentence
from lib.web import running
from pages import session
from pages.experiment import allocation
from pages.results.words import moment, plain
from pages.tables import draw_table

LONG = 80
"""Characters of a value that fit into a table; the whole of a longer one stands below it."""
SOURCES = {
    "network": ("cloud_done", "Statsig decides, since {since}."),
    "cached": ("cloud_off", "Statsig does not answer. Its last definitions decide, since {since}."),
    "bundled": ("cloud_off", "Statsig does not answer. The local experiments file decides, since {since}."),
    "local": ("description", "The local experiments file decides. There is no Statsig key."),
}
PATIENT = "Parley keeps asking it."
REVEALS = {
    "stream": "Both answers are shown as they grow.",
    "together": "Both answers are shown when both have ended.",
}


def draw_source(known: RecordedExperiment | None, zone: tzinfo) -> None:
    """Draw the source of the definition, its age, and the reason for a fallback."""
    app = running.app()
    source, connected = app.experiments.source, app.settings.statsig_secret_key is not None
    icon, text = SOURCES[source.name if connected else "local"]
    text = text.format(since=moment(source.since_ms, zone))
    version = None if connected or known is None else known.version
    if version is not None and version.author != FILE:
        icon = "edit_note"
        text = (
            f"Version {version.number} decides, by {plain(version.author)} since {moment(version.time_ms, zone)}"
            f"{f' ({plain(version.reason)})' if version.reason else ''}. There is no Statsig key."
        )
    if source.error and connected:
        cause = source.error.partition(" for url")[0]  # an address that no reader needs, in which the key is masked
        st.warning(f"{text} Its last answer: {plain(cause)}. {PATIENT}", icon=f":material/{icon}:")
    else:
        st.markdown(f":gray[:material/{icon}: {text}]")


def draw_status(name: str, definition: Definition | None, zone: tzinfo) -> bool:
    """Draw the experiment's status in Statsig, and why no unit takes part; return True where anything was drawn."""
    app = running.app()
    if app.settings.statsig_secret_key is None:
        return False

    def format_moment(time_ms: int) -> str:
        return moment(time_ms, zone)

    status = status_sentence(app.experiments.status(name), format_moment)
    if status:
        st.info(plain(status), icon=":material/flag:")
    if definition and (ended := disabled_sentence(definition, format_moment)):
        st.info(plain(ended), icon=":material/block:")
    if definition and definition.unknown_unit:
        st.warning(plain(unit_sentence(definition.unknown_unit)), icon=":material/group_off:")
    return status is not None


def draw_groups(definition: Definition) -> None:
    """Draw every parameter of every group, with differences from control marked."""
    columns = {group.name: group.parameters for group in definition.groups}
    if definition.allocation < 100:
        columns["Not taking part"] = definition.default
    names = [*dict.fromkeys(name for parameters in columns.values() for name in parameters)]
    app = running.app()
    live = definition.name == app.experiment
    problems = app.served_groups.problems() if live else {}
    shares = {group: f"{100 * share:.1f} %" for group, share in definition.shares.items()}
    rows = [{"Setting": "Share of units"} | {name: shares.get(name, "–") for name in columns}]
    rows += [_row(name, columns, definition.control) for name in names]
    if problems:
        rows.append({"Setting": "Not valid, not sent"} | {name: plain(problems.get(name, "–")) for name in columns})
    draw_table(rows, "Parameters of every group; what differs is marked", cards="groups")
    for same in app.served_groups.same() if live else ():
        st.warning(
            f"{same.sentence()} Their results compare nothing: change a parameter that the model takes.",
            icon=":material/difference:",
        )
    if acting := acting_sentence(definition, served=app.settings.statsig_secret_key is not None):
        st.caption(f":material/block: {plain(acting)}")
    if definition.planned_users:
        st.caption(
            f"Planned for {definition.planned_users:,} users. At the end of the day (UTC) on which the last of them "
            "is exposed, the results get one further look, with half of the allowed error."
        )
    for name in names:
        for group, parameters in columns.items():
            if len(str(parameters.get(name, ""))) > LONG:
                with st.expander(f"{plain(name)} of {plain(group)}, whole"):
                    st.text(str(parameters[name]))


def _row(name: str, columns: Mapping[str, Mapping[str, Any]], control: str) -> dict[str, str]:
    """Return one parameter. A group's value that differs from control's has a mark and a background."""
    values = {group: _value(parameters, name) for group, parameters in columns.items()}
    differs = {group for group in values if values[group] != values[control]}
    label = f"{plain(name)} :blue-badge[differs]" if differs else plain(name)
    return {"Setting": label} | {
        group: f":blue-background[{values[group]}]" if group in differs else values[group] for group in values
    }


def _value(parameters: Mapping[str, Any], name: str) -> str:
    if name not in parameters:
        return "–"
    values = " ".join(str(parameters[name]).split())
    return plain(values if len(values) <= LONG else values[: LONG - 1] + "…")


def draw_allocation(definition: Definition, known: RecordedExperiment | None = None) -> None:
    """Draw the shares of all units as a chart; of a draft, as they will be once it starts."""
    draft = known is not None and known.state.stage == "draft"
    if draft and known is not None and known.written is not None:
        definition = known.written
    parts = {name: share * definition.allocation for name, share in definition.shares.items()}
    order = [definition.control, *(name for name in parts if name != definition.control)]
    outside = 100 - definition.allocation
    text = ", ".join(f"{name} {parts[name]:.3g} %" for name in order) + (
        f", not taking part {outside:.3g} %" if outside else ""
    )
    st.altair_chart(
        allocation.chart({name: parts[name] for name in order}, outside), key="allocation", alt=f"Of all units: {text}"
    )
    if definition.compare:
        st.caption(
            f"{definition.compare:.3g} % of units compare two answers side by side instead. They are in none of these "
            f"groups and are never exposed. {REVEALS.get(definition.reveal, '')}"
        )
    if draft:
        st.caption("Once it is started. No unit takes part in a draft.")
    elif known is not None and known.state.stage == "ended":
        st.caption("The experiment has ended: everybody gets the default from their next conversation on.")
    elif definition.allocation == 0:
        st.caption("The experiment is paused: no new unit takes part. Earlier conversations keep their group.")


def draw_why(definition: Definition, zone: tzinfo) -> None:
    """Draw the reason for any unit's group."""
    app = running.app()
    ids = session.visitor().ids()
    unit = st.text_input(
        "Unit",
        ids.get(definition.unit, ids["userID"]),
        key="unit",
        max_chars=128,
        help=f"A {definition.unit} from the Events page. Yours is filled in.",
    ).strip()
    if not unit:
        return
    decided, steps = app.experiments.explain(unit, definition.name)
    if app.comparisons.takes_part(definition, decided):
        st.markdown("**Compares two answers** side by side, and is in no group")
        return
    st.markdown(_decision(decided))
    if steps:
        _draw_steps(steps)
    _draw_exposure(unit, definition.name, zone)


def _draw_steps(steps: Sequence[Step]) -> None:
    rows = [
        {
            "Rule": plain(_rule(step.rule)),
            "Takes": plain(step.wants),
            "This unit's bucket": "–" if step.bucket is None else f"{step.bucket} of 1000",
            "Result": "**matches**" if step.decided else "does not match",
        }
        for step in steps
    ]
    draw_table(rows, "The rules that were evaluated for this unit", cards="rules")
    st.caption("Each rule sorts units into 1000 buckets of its own. The first rule that matches decides.")


def _draw_exposure(unit: str, experiment: str, zone: tzinfo) -> None:
    """Draw the unit's exposure to an experiment, and a link to its events."""
    try:
        met = running.app().store.events.page(Search(user_id=unit, name=EXPOSURE), size=50).lines
    except StoreError as error:
        st.caption(plain(str(error)))
        return
    mine = [line for line in met if line.event.metadata.get("experiment") == experiment]
    st.markdown(_exposure_sentence(mine, zone))
    if mine:
        st.page_link("events/page.py", label="Its events", icon=":material/receipt_long:", query_params={"unit": unit})


def _decision(decided: Assignment) -> str:
    if decided.group:
        return f"**{plain(decided.group)}**, by the rule {plain(decided.rule_id)}"
    reason = f"by the rule {plain(decided.rule_id)}" if decided.rule_id else "because there is no such experiment"
    return f"**Not taking part**, {reason}"


def _rule(name: str) -> str:
    return {"experimentSize": "Kept out by the allocation"}.get(name, name)


def _exposure_sentence(lines: list[Line], zone: tzinfo) -> str:
    """Return the sentence about a unit's exposure, its groups, and its delivery."""
    if not lines:
        return "Not exposed: this unit has not asked a question yet."
    groups = dict.fromkeys(line.event.metadata.get("group") or "no group" for line in reversed(lines))
    forced = any(line.event.metadata.get("forced") for line in lines)
    waiting = sum(line.delivery == "waiting" for line in lines)
    local = all(line.delivery == "kept" for line in lines)
    text = f"Exposed to {plain(', '.join(groups))}, first {moment(lines[-1].event.time_ms, zone)}."
    if forced:
        text += " A group was forced: the unit is left out of the readout."
    elif len(groups) > 1:
        text += " It met two groups: it is left out of the readout."
    if local:
        return f"{text} Stored here, not sent to Statsig."
    return f"{text} " + (
        "Delivered to Statsig." if not waiting else f"{waiting} of {len(lines)} still on the way to Statsig."
    )
