"""The chapters of the history: every run and every decision with its verdict and the readout of that time."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo
from typing import Any

import streamlit as st

from lib.domain.operations import Decision, Entry, Run
from lib.readout.report import NARROW, WIDE, Look, described, draw, file_name, panels
from lib.readout.results import Window
from lib.readout.sentences import headline
from lib.web import running
from pages import readouts, session
from pages.results.words import moment, plain
from pages.tables import draw_table

SHOWN = 20
"""Chapters on the page at first."""


def draw_chapters(
    runs: Sequence[Run], decisions: Sequence[Decision], guardrails: Sequence[Entry], zone: tzinfo
) -> None:
    """Draw the chapters, the newest first. `guardrails`: the acts of guardrails."""
    chapters: list[tuple[int, Run | Decision | Entry]] = [(one.begun_ms, one) for one in runs]
    chapters += [(one.time_ms, one) for one in guardrails]
    chapters += [(one.time_ms, one) for one in decisions]
    shown = st.session_state.setdefault("chapters_shown", SHOWN)
    for _, one in sorted(chapters, key=lambda pair: pair[0], reverse=True)[:shown]:
        with st.container(border=True, gap="small"):
            if isinstance(one, Run):
                _draw_run(one, zone)
            elif isinstance(one, Entry):
                _draw_guardrail(one, zone)
            else:
                _draw_decision(one, zone)
    if len(chapters) > shown:
        st.button("Show older", type="tertiary", key="older_chapters", on_click=_show_more)


def _show_more() -> None:
    st.session_state.chapters_shown += SHOWN


def _draw_run(run: Run, zone: tzinfo) -> None:
    badge = ":gray-badge[:material/stop: Ended]" if run.ended_ms else ":green-badge[:material/play_arrow: Open]"
    st.markdown(f"**{plain(run.experiment)}, run {run.number}** {badge}")
    st.markdown(_verdict_of(run))
    until = f"until {moment(run.ended_ms, zone)}: {plain(run.end_reason)}" if run.ended_ms else "still open"
    st.caption(f"Since {moment(run.begun_ms, zone)} by {plain(run.author)} ({plain(run.reason)}), {until}")
    st.page_link(
        "results/page.py",
        label="Its readout",
        icon=":material/monitoring:",
        query_params={"experiment": run.experiment, "run": str(run.number)},
    )


def _verdict_of(run: Run) -> str:
    try:
        results = readouts.results(Window(run.experiment, run=run.number))
    except running.Unready as error:
        return plain(str(error))
    return plain(headline(results.readout)) if results else "Its definition is not kept."


def _draw_guardrail(act: Entry, zone: tzinfo) -> None:
    st.markdown(
        f":orange-badge[:material/block: Guardrail] **{plain(str(act.details.get('group')))} was switched off** in "
        f"{plain(act.subject)}"
    )
    st.markdown(plain(str(act.details.get("reason") or "")))
    st.caption(f"{plain(act.operator)}, {moment(act.time_ms, zone)}")


def _draw_decision(made: Decision, zone: tzinfo) -> None:
    what = f"{plain(made.group)} became the default" if made.group else "The default stays"
    st.markdown(f":violet-badge[:material/gavel: Decision] **{what}** in {plain(made.experiment)}, run {made.run}")
    st.markdown(f"> {plain(made.reason)}")
    st.caption(f"{plain(made.author)}, {moment(made.time_ms, zone)}")
    with st.expander("The readout as it stood", icon=":material/monitoring:"):
        st.markdown(plain(str(made.readout.get("sentence") or "No readout was kept.")))
        if made.readout.get("metrics"):
            look: Look = "dark" if st.context.theme.type == "dark" else "light"
            for form, kind in ((WIDE, "wide"), (NARROW, "narrow")):  # one of them is shown: frame.css
                with st.container(key=f"picture_{kind}_{made.id}"):
                    st.image(draw(made.readout, look, form), width="stretch", alt=described(made.readout))
        if rows := list(_rows(made.readout)):
            draw_table(rows, "The metrics as they stood at the decision", cards=f"decision_{made.id}")
        _draw_downloads(made)


def _draw_downloads(made: Decision) -> None:
    """Draw the downloads of a decision's picture and of its readout."""
    readout = json.dumps(dict(made.readout), indent=1, ensure_ascii=False) + "\n"
    with st.container(horizontal=True):
        if made.readout.get("metrics"):
            st.download_button(
                "Download the picture",
                session.operators_file(lambda _: draw(made.readout).encode()),
                file_name(made, ".svg"),
                "image/svg+xml",
                on_click="ignore",
                icon=":material/download:",
                type="tertiary",
                key=f"picture_{made.id}",
            )
        st.download_button(
            "Download the readout (JSON)",
            session.operators_file(lambda _: readout.encode()),
            file_name(made, ".json"),
            "application/json",
            on_click="ignore",
            icon=":material/data_object:",
            type="tertiary",
            key=f"readout_{made.id}",
        )


def _rows(readout: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield a row for each deciding metric and group, with the numbers of the picture."""
    for panel in panels(readout):
        for bar in panel.bars:
            yield {
                "Metric": panel.name,
                "Group": plain(bar.group),
                "Difference": bar.numbers or "–",
                "Verdict": plain(bar.word),
            }
