"""The editor of an experiment: a new version, its difference to the one in force, and what it means for the results.

A draft lives in the session until it is saved. Its content is checked as the experiments file is.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import streamlit as st

from lib.experiments.acts import ActError, Acts
from lib.experiments.book import RecordedExperiment, breaks, difference, to_toml
from lib.experiments.definitions import Definition, DefinitionError
from lib.web import running
from pages.experiment.acting import attempt, draw_problem, once, typed
from pages.results.words import plain

PROMPT = "system_prompt"
TRIED = "tried_draft"
"""The session's draft that the trial box asks."""


def draft_of(name: str) -> Definition | None:
    """Return this session's unsaved draft of an experiment."""
    draft: Definition | None = st.session_state.get(TRIED)
    return draft if draft is not None and draft.name == name else None


def draw_editor(known: RecordedExperiment) -> None:
    """Draw the fields, what is wrong with them, the difference, and the way to save."""
    written, version = known.written, known.version
    if written is None or version is None:
        return
    name, base = written.name, _base(known)
    key = f"{name}_{base}"
    st.text_area(
        "Definition",
        to_toml(_without_prompts(written)),
        height=320,
        key=f"edit_{key}",
        help="TOML, as in the experiments file. Prompts have fields of their own below.",
    )
    prompts = _draw_prompts(written, key)
    text, problems = _checked(name, key, prompts)
    with st.container():  # so that the elements below keep their places and the focus
        may_save = _draw_change(known, key, text, problems)
    st.text_input("Why, in a sentence", key=f"reason_{key}")
    draw_problem("save")
    st.button(
        "Save the version",
        type="primary",
        icon=":material/save:",
        key=f"save_{key}",
        disabled=not may_save,
        on_click=once(_save),
        args=(name, key, version.number, list(prompts)),
    )


def _draw_change(known: RecordedExperiment, key: str, text: str | None, problems: list[str]) -> bool:
    """Draw the difference of what is typed and its meaning, or what is wrong; return True where it may be saved."""
    written, version = known.written, known.version
    assert written is not None and version is not None
    for problem in problems:
        st.error(plain(problem), icon=":material/error:")
    _draw_conflict(known, _base(known))
    if text is None:
        return False
    draft = running.app().acts.check(written.name, text)
    changed = difference(version.text, text)
    if not changed:
        st.caption("Nothing is changed. A change shows its difference here before it is saved.")
        st.session_state.pop(TRIED, None)
        return False
    st.markdown(f"**Difference to version {version.number}**")
    st.code(changed, language="diff", wrap_lines=True)
    _draw_meaning(known, written, draft)
    warned = list(_warnings(draft))
    for warning in warned:
        st.warning(plain(warning), icon=":material/warning:")
    st.session_state[TRIED] = draft
    st.caption(":material/science: The trial box below asks this draft until it is saved.")
    return not warned or st.checkbox("Save it despite the warnings", key=f"sure_{key}")


def _base(known: RecordedExperiment) -> int:
    """Return the number of the version that filled the fields. A newer version does not discard what was typed."""
    assert known.version is not None
    bases: dict[str, int] = st.session_state.setdefault("edit_bases", {})
    return bases.setdefault(known.state.experiment, known.version.number)


def _without_prompts(written: Definition) -> Definition:
    groups = tuple(
        replace(group, parameters={key: value for key, value in group.parameters.items() if key != PROMPT})
        for group in written.groups
    )
    return replace(written, groups=groups)


def _draw_prompts(written: Definition, key: str) -> dict[str, str]:
    """Draw a text area for the prompt of each group of the definition, as it is typed now."""
    names = [group.name for group in _typed_groups(written, key)]
    prompts = {}
    for group in names:
        known = written.group(group)
        prompt = str(known.parameters.get(PROMPT, "")) if known else ""
        label = f"System prompt of {plain(group)}"
        prompts[group] = st.text_area(
            label, prompt, key=f"prompt_{key}_{group}", height=120, placeholder="None is sent"
        )
    return prompts


def _typed_groups(written: Definition, key: str) -> tuple[Any, ...]:
    try:
        return running.app().acts.check(written.name, typed(f"edit_{key}") or "").groups
    except DefinitionError:
        return written.groups


def _checked(name: str, key: str, prompts: dict[str, str]) -> tuple[str | None, list[str]]:
    """Return the whole definition as TOML and no problems, or None and the problems."""
    acts = running.app().acts
    try:
        checked = acts.check(name, typed(f"edit_{key}") or "")
        groups = tuple(
            replace(group, parameters={**group.parameters, PROMPT: prompts[group.name]})
            if prompts.get(group.name, "").strip()
            else group
            for group in checked.groups
        )
        text = to_toml(replace(checked, groups=groups))
        acts.check(name, text)
    except DefinitionError as error:
        return None, error.problems
    return text, []


def _draw_meaning(known: RecordedExperiment, old: Definition, new: Definition) -> None:
    """Draw what the change means for the results, before it is made."""
    reasons = breaks(known.compared or old, new)
    if known.run is None or known.run.ended_ms is not None:
        st.caption("No run is open: the next one begins with this version.")
    elif reasons:
        st.info(
            f"This ends run {known.run.number} and begins run {known.state.run + 1}: {plain(', '.join(reasons))}. Its "
            "results start from nothing; earlier ones stay readable. Conversations keep their parameters.",
            icon=":material/restart_alt:",
        )
    else:
        st.info(f"Run {known.run.number} continues: its users can still be compared.", icon=":material/check:")


def _warnings(draft: Definition) -> Iterator[str]:
    """Yield what a tester would notice: parameters that are not sent, models that no provider has, missing prices."""
    app = running.app()
    for group in draft.groups:
        sent = app.models.check(group.parameters, draft.default)
        if sent.error:
            yield f"{group.name}: {sent.error} cannot be sent as it is, and the default is."
        standing = app.models.standing(sent)
        if standing.state in ("missing", "gone") and not app.demo:
            near = f" It has {', '.join(standing.near)}." if standing.near else ""
            yield f"{group.name}: {standing.provider} has no model {standing.model}.{near}"
        if app.budgets.usd_per_day is not None and app.models.price(sent) is None:
            yield f"{group.name}: {sent.model} has no price, so that the day's budget cannot be kept."


def _draw_conflict(known: RecordedExperiment, base: int) -> None:
    """Draw what another operator saved since the fields were filled."""
    newest = known.version
    if newest is None or newest.number == base:
        return
    before = running.app().acts.earlier(newest.experiment, base)
    st.warning(
        f"{plain(newest.author)} saved version {newest.number} while you edited. The change is below, and "
        "your text is in the fields: saving it replaces theirs.",
        icon=":material/group:",
    )
    st.code(difference(before.text if before else "", newest.text) or "no difference", language="diff", wrap_lines=True)
    st.button("Begin again with their version", key="edit_anew", on_click=_forget_fields, args=(newest.experiment,))


def _forget_fields(name: str) -> None:
    st.session_state.get("edit_bases", {}).pop(name, None)


def _save(name: str, key: str, base: int, groups: list[str]) -> None:
    """Save what is typed at this moment."""
    prompts = {group: typed(f"prompt_{key}_{group}") or "" for group in groups}
    text, problems = _checked(name, key, prompts)
    reason = typed(f"reason_{key}") or ""

    def do(acts: Acts, who: str) -> None:
        if text is None:
            raise DefinitionError(problems)
        if any(_warnings(acts.check(name, text))) and not typed(f"sure_{key}"):
            raise ActError("Nothing is saved yet: read the warnings above first.")
        acts.save(name, text, base, who, reason)

    if attempt(do, "The version is saved, and every replica applies it within 5 seconds.", "save"):
        st.session_state.pop(TRIED, None)
        _forget_fields(name)
