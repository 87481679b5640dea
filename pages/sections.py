"""What stands on the Results page, section by section, from the verdict down to what testers say."""

from zoneinfo import ZoneInfo

import streamlit as st
from altair import LayerChart

from lib import resources
from lib.markdown import blocks, safe
from lib.readout import Metric, Readout
from lib.results import Details, Results
from lib.tally import Remark
from lib.wording import WORDS, next_step, sentence
from pages import charts, words

SHOWN = 10
"""Remarks on the page at first, and more at every click."""
CAUSES = (
    "Does a group's model fail before its answer begins, so that its users leave?",
    "Were groups renamed, or weights changed, while it ran? Then set `since` in its table.",
    "Do bots, tests or health checks ask questions?",
    "Do users lose their cookie, or share one browser? They may meet two groups.",
)
"""Where a broken split comes from, most often."""


APPEARS = (
    "which group is better, in a sentence, and what to do next",
    "the difference of every metric that decides, inside an interval that holds however often you look",
    "how it narrowed day by day, who met which group, and whether the split is right",
    "how long answers take, what a better answer costs, and what dissatisfied testers say",
)


def draw_first(results: Results, sampled: bool) -> None:
    """What decides. `sampled`: there is simulated data."""
    verdict(results)
    if sampled:
        sample_notice(results.readout)
    if comparable(results.readout):
        differences(results.readout)
        groups(results.readout)
    else:
        causes()


def draw_rest(results: Results, details: Details, connected: bool, zone: ZoneInfo | None) -> None:
    """What it stands on. `connected`: there is a Statsig."""
    readout = results.readout
    if comparable(readout):
        over_time(readout, details, zone)
    users(results)
    response_times(readout, details)
    if comparable(readout) and readout.verdict != "not_enough_data":
        price(readout)
    remarks(readout, details, zone)
    every_metric(readout)
    delivery(results, connected, zone)


def is_empty(readout: Readout) -> bool:
    """Whether nobody has met the experiment."""
    return not (any(readout.counts.values()) or readout.unknown or readout.forced or readout.crossover)


def draw_empty(results: Results, offer: bool) -> None:
    """What will appear here, and (`offer`) a way to see it at once."""
    verdict(results)
    st.markdown("As soon as people ask and rate, this page says\n" + "\n".join(f"- {one}" for one in APPEARS))
    if not offer:
        return
    sample = resources.sample()
    if st.button("Show it with sample data", icon=":material/science:", key="sample"):
        sample.play()
        st.rerun()
    st.caption(
        f"{sample.users} simulated visitors talk to the demo model for about a minute. What they leave is marked as "
        "simulated, never sent anywhere, and removed with one click."
    )
    if sample.trouble:
        st.warning(words.plain(sample.trouble), icon=":material/science:")


def sample_notice(readout: Readout) -> None:
    """That there is simulated data, and the way to be rid of it."""
    told = "These visitors were simulated." if readout.simulated else "There is sample data, too. It is not shown here."
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":small[:gray[:material/science: {told}]]", width="content")
        if st.button("Remove sample data", type="tertiary", icon=":material/delete:", key="remove_sample"):
            with st.spinner("Removing"):
                resources.remove_sample()
            st.rerun()


def comparable(readout: Readout) -> bool:
    """Whether groups may be compared at all."""
    return readout.verdict != "broken" and readout.changed_ms is None


def decisive(readout: Readout) -> list[Metric]:
    """The primary metric, then the guardrails."""
    found = [metric for metric in readout.metrics.values() if metric.role == "guardrail"]
    return [readout.main, *found]


def verdict(results: Results) -> None:
    """What there is to say, in a sentence, and what to do next."""
    readout = results.readout
    states = [words.badge(readout.verdict)]
    states += [
        words.badge("harmed", WORDS[metric.name].name)
        for metric in decisive(readout)
        if comparable(readout) and any(one.guardrail == "harmed" for one in metric.versus.values())
    ]
    if readout.simulated:
        states.append(":violet-badge[:material/science: Simulated data]")
    st.markdown(" ".join(states))
    st.subheader(words.plain(sentence(readout)), anchor=False)
    if step := words.lacking(readout) or next_step(readout, results.pace) or words.advice(readout):
        st.markdown(f":material/arrow_forward: {words.plain(step)}")


def causes() -> None:
    """What to look at when groups cannot be compared."""
    st.markdown("Ask yourself:\n" + "\n".join(f"- {cause}" for cause in CAUSES))


def differences(readout: Readout) -> None:
    """What decides: the primary metric and the guardrails, each treatment against control."""
    whom = readout.treatments[0] if len(readout.treatments) == 1 else "Every group"
    drawn = {metric.name: charts.differences(metric, readout) for metric in decisive(readout)}
    with st.container(border=True, gap="small"):
        st.markdown(f"**{words.plain(whom)} compared with {words.plain(readout.control)}**")
        with st.container(gap="xsmall"):
            if any(chart is not None for chart in drawn.values()):
                with st.container(horizontal=True, horizontal_alignment="distribute"):
                    st.caption(":material/arrow_back: worse", width="content")
                    st.caption("better :material/arrow_forward:", width="content")
            for metric in decisive(readout):
                _difference(metric, readout, drawn[metric.name])
        if any(chart is not None for chart in drawn.values()):
            st.caption(
                "A point is a difference, its bar the interval that holds however often you look. What lies within the "
                "shaded band does not matter."
            )


def _difference(metric: Metric, readout: Readout, chart: LayerChart | None) -> None:
    role = "decides" if metric.role == "primary" else "must not get worse"
    told = []
    for group, one in metric.versus.items():
        whose = f"{words.plain(group)}: " if len(readout.treatments) > 1 else ""
        said = words.compared(metric, group, readout.control)
        told.append(f"{whose}{words.plain(said)} {words.badge(one.guardrail or one.verdict)}")
    head, role = f"**{words.name(metric.name)}**", f":small[:gray[{role}]]"
    st.markdown(f"{head} {told[0]} {role}" if len(told) == 1 else "  \n".join([f"{head} {role}", *told]))
    if chart is not None:
        alt = f"{words.name(metric.name)}: difference to {readout.control} with its interval"
        st.altair_chart(chart, key=f"difference_{metric.name}", alt=alt)


def groups(readout: Readout) -> None:
    """Every group by itself."""
    order = charts.groups_of(readout)
    st.markdown("#### Groups side by side")
    st.caption("Each group by itself with a 95 % interval for one look. To compare groups, use the differences above.")
    with st.grid(2, gap="medium"):
        for metric in [*decisive(readout), readout.metrics["rating_rate"]]:
            with st.container():
                st.markdown(words.name(metric.name))
                if (chart := charts.values(metric, order)) is None:
                    st.caption("Nothing yet")
                else:
                    st.altair_chart(chart, key=f"value_{metric.name}", alt=f"{words.name(metric.name)} of each group")
    rated = [f"{words.plain(group)} {words.plain(words.level('rating_rate', one))}"
             for group, one in readout.metrics["rating_rate"].groups.items()]  # fmt: skip
    st.caption(f"Answers that were rated: {'; '.join(rated)}. A group that is rated less is compared less.")


def every_metric(readout: Readout) -> None:
    """All numbers that were computed, intervals first."""
    with st.expander("All metrics", icon=":material/table:", key="every_metric"):
        rows = [_row(metric, readout) for metric in readout.metrics.values()]
        for name, reading in readout.quantiles.items():
            row = {"": f"Response time {name}"}
            row |= {group: words.level("response_time", one) for group, one in reading.groups.items()}
            if comparable(readout):
                row |= {_versus(group, readout): words.difference("response_time", one.numbers) or "–"
                        for group, one in reading.versus.items()}  # fmt: skip
            rows.append(row)
        st.table(rows, border="horizontal", hide_index=True, alt="Every metric of every group, with intervals")
        st.caption(
            f"Differences hold at every look ({100 * (1 - readout.alpha):.3g} %); a group's own interval is for one "
            "look (95 %). p is the chance of so large a difference, or a larger one at any look, where there is none."
        )


def _versus(group: str, readout: Readout) -> str:
    return f"{group} − {readout.control}"


def _row(metric: Metric, readout: Readout) -> dict[str, str]:
    row = {"": words.name(metric.name)}
    row |= {group: words.level(metric.name, one) for group, one in metric.groups.items()}
    if comparable(readout):
        for group, one in metric.versus.items():
            row[_versus(group, readout)] = words.difference(metric.name, one.numbers) or "–"
            row["p" if len(metric.versus) == 1 else f"p {group}"] = words.probability(one.numbers.p_seq)
    return row


def over_time(readout: Readout, details: Details, zone: ZoneInfo | None) -> None:
    """How the difference and its interval came to be what they are."""
    st.markdown("#### The difference over time")
    st.caption(f"{words.name(readout.primary)} as this page had it at the end of each day, inside its interval.")
    order = charts.groups_of(readout)
    for group in readout.treatments:
        if len(readout.treatments) > 1:
            st.markdown(words.plain(f"{group} − {readout.control}"))
        chart = charts.history(details.history, group, order, zone)
        if chart is None:
            st.markdown(":gray[It begins on the second day that has enough data.]")
        else:
            alt = f"{words.name(readout.primary)}: difference of {group} to {readout.control}, day by day"
            st.altair_chart(chart, key=f"history_{group}", alt=alt)


def users(results: Results) -> None:
    """Who met the experiment, and whether the split is what it was meant to be."""
    readout = results.readout
    st.markdown("#### Users per group")
    if not any(readout.counts.values()):
        st.caption("Nobody yet")
        return
    total = sum(readout.counts.values())
    rows = [
        {"Group": group, "Users": f"{n:,}", "Share": f"{100 * n / total:.1f} %",
         "Meant": f"{100 * readout.shares[group]:.1f} %"}
        for group, n in readout.counts.items()
    ]  # fmt: skip
    st.table(rows, border="horizontal", hide_index=True, alt="Users of each group, and the share that was meant")
    st.markdown(_split(readout))
    st.caption("New users a day (UTC)")
    st.altair_chart(
        charts.arrivals(results.exposed, charts.groups_of(readout), results.as_of_ms), key="arrivals",
        alt="Users who met the experiment, by day and group",
    )  # fmt: skip


def _split(readout: Readout) -> str:
    p, left = readout.split.p, []
    if readout.changed_ms is not None:
        checked = "Split check: not possible, the weights changed."
    elif p is None:
        checked = "Split check: not possible yet."
    else:
        state = "broken" if p < 0.001 else "as configured"
        checked = f"Split check: **{state}** (p {'' if p < 0.0001 else '= '}{words.plain(words.probability(p))})."
    if readout.crossover:
        left.append(f"{readout.crossover:,} who met two groups")
    if readout.unknown:
        left.append(f"{sum(readout.unknown.values()):,} in groups that the definition does not know")
    if readout.forced:
        left.append(f"{readout.forced:,} with a forced group")
    return checked + (f" Left out: {' and '.join(left)}." if left else " Nobody was left out.")


def response_times(readout: Readout, details: Details) -> None:
    """How long answers take: not only on average."""
    st.markdown("#### Response time")
    if not details.times:
        st.caption("No answer has a response time yet")
        return
    order = [group for group in charts.groups_of(readout) if group in details.times]
    for group in order:
        quantiles = {name: value for name, reading in readout.quantiles.items()
                     if (value := reading.groups[group].value) is not None}  # fmt: skip
        told = ", ".join(f"{name} {words.level('response_time', reading.groups[group])}"
                         for name, reading in readout.quantiles.items())  # fmt: skip
        st.markdown(f"{words.plain(group)} :gray[{words.plain(told)}]")
        alt = f"Response times of {group}, on a logarithmic axis: {told}"
        st.altair_chart(charts.times(details.times, group, order, quantiles), key=f"times_{group}", alt=alt)
    if comparable(readout):
        told = [
            f"{name} of {group} {words.difference('response_time', one.numbers)}"
            for name, reading in readout.quantiles.items()
            for group, one in reading.versus.items()
            if one.verdict != "not_enough_data"
        ] or ["not enough data yet"]
        st.caption(words.plain(f"Differences to {readout.control}: {'; '.join(told)}."))


def price(readout: Readout) -> None:
    """What a better answer costs."""
    main, order = readout.main, charts.groups_of(readout)
    st.markdown(f"#### What {WORDS[main.name].name} costs")
    left, right = st.columns(2, gap="medium")
    sides = (left, "cost_per_answer", "USD per answer"), (right, "response_time", "seconds per answer")
    for place, name, title in sides:
        with place:
            if (chart := charts.price(main, readout.metrics[name], order, title)) is None:
                st.caption(f"No {WORDS[name].name} is known" + (": the model has no price." if "cost" in name else "."))
            else:
                alt = f"{words.name(main.name)} and {WORDS[name].name} of each group"
                st.altair_chart(chart, key=f"price_{name}", alt=alt)
    if main.name == "satisfaction":
        rows = [_rate(group, readout) for group in order]
        st.table(rows, border="horizontal", hide_index=True, alt="Satisfied answers per dollar and per second")


def _rate(group: str, readout: Readout) -> dict[str, str]:
    liked = readout.main.groups[group].value
    cost, seconds = (readout.metrics[name].groups[group].value for name in ("cost_per_answer", "response_time"))
    return {
        "Group": group,
        "Satisfied answers per dollar": f"{liked / cost:,.0f}" if liked is not None and cost else "–",
        "per minute of waiting": f"{60 * liked / seconds:,.1f}" if liked is not None and seconds else "–",
    }


def remarks(readout: Readout, details: Details, zone: ZoneInfo | None) -> None:
    """Why testers were not satisfied."""
    st.markdown("#### What dissatisfied testers say")
    if not details.remarks:
        st.caption("Nobody has given a reason yet")
        return
    if details.reasons:
        order = charts.groups_of(readout)
        st.altair_chart(
            charts.reasons(details.reasons, order), key="reasons", alt="Reasons of dissatisfied testers by group"
        )
    shown = st.session_state.setdefault("remarks_shown", SHOWN)
    for remark in details.remarks[:shown]:
        _remark(remark, zone)
    if len(details.remarks) > shown:
        st.button("Show more", type="tertiary", icon=":material/expand_more:", on_click=_show_more)


def _show_more() -> None:
    st.session_state.remarks_shown += SHOWN


def _remark(remark: Remark, zone: ZoneInfo | None) -> None:
    reason = words.REASON_WORDS.get(remark.reason or "", "No reason")
    said = f"{reason}: {remark.comment}" if remark.comment else reason
    head = f"{words.plain(said)} · {words.plain(remark.group)}, {words.moment(remark.time_ms, zone)}"
    if remark.question is None and remark.answer is None:
        st.markdown(head)
        return
    with st.expander(head, key=f"remark_{remark.answer_id}", type="compact"):
        if remark.question:
            st.caption("Asked")
            st.text(remark.question)
        st.caption("Answered")
        for block in blocks(remark.answer or ""):
            st.markdown(safe(block))
        if remark.visitor_id == resources.visitor().visitor_id:
            st.page_link("chat.py", label="Open the conversation", icon=":material/forum:",
                         query_params={"c": remark.conversation_id})  # fmt: skip


def delivery(results: Results, connected: bool, zone: ZoneInfo | None) -> None:
    """How old this is, and whether Statsig has what the store has."""
    readout, sent = results.readout, results.readout.delivery
    if readout.simulated:
        told = f"{sent.events:,} simulated events are in the record; Statsig never gets them."
    elif not connected:
        told = f"{sent.events:,} events are in the record. Without a Statsig key they stay there."
    else:
        told = f"{sent.events:,} events are in the record: Statsig has acknowledged {sent.acknowledged or 0:,}, "
        told += f"{sent.pending or 0:,} wait for it."
    st.caption(f"As of {words.moment(results.as_of_ms, zone)}, looked at anew every minute. {told}")
