"""The chat page: ask, follow the answer, rate it. The page does not own an answer: it starts one in the background and
follows it, and any interaction, reload or second tab finds it again."""

import time
from collections.abc import Callable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from lib.chat.generation import Answer
from lib.domain.conversation import Turn
from lib.domain.prompts import clean_text
from lib.domain.record import StoreError
from lib.web import running
from lib.web.patches import connected, went_back
from pages import compare, entrance, session
from pages.browser import keep_browser, keep_comparisons, tell_browser
from pages.chat.asking import HEAD_START, ask, problem_with, send_waiting
from pages.chat.feedback import SAVED_WITHIN
from pages.chat.operator_view import draw_failures, draw_forced, draw_worries
from pages.chat.sidebar import draw_sidebar
from pages.chat.state import EARLIER, GROUP, on_page, show
from pages.chat.turns import (
    answer_place,
    draw,
    draw_end,
    draw_question,
    draw_waiting,
    follow,
    follow_record,
    report_copied,
)

DEMO_SUGGESTIONS = (
    "What is Parley?",
    "How does Parley decide which model is better?",
    "Show me a table of the settings",
    "Write a haiku in Python",
)

RATING = "Ask a question and tell us with a thumb whether the answer helped."
COMPARING = "Ask a question, read both answers and tell us which one is better."
"""The second line of an empty page, by the way in which the visitor takes part."""

FEW_LEFT = 3
"""Remaining answers of the day at or below which a tester sees their number."""

groups: dict[int, DeltaGenerator] = {}

st.set_page_config(layout="centered")  # operators may come from a wide page
app, page = running.app(), on_page()


def open_addressed() -> None:
    """Put the conversation of the address on the page. `/` is a new one, except after a visit to another page, whose
    address names none, and before the browser has received the address of its first question."""
    wanted, here = st.query_params.get("c"), page.conversation
    if here and not wanted and (st.session_state.came_from or (page.unaddressed and not went_back())):
        st.query_params["c"] = wanted = here.id
    if wanted == (here.id if here else None):
        return
    page.unaddressed = False
    page.moved_on()
    page.parsed.clear()
    page.waiting, page.earlier, page.missing, page.away = [], 0, False, False
    page.conversation = None
    try:
        page.conversation = app.conversations.get(wanted, session.visitor().visitor_id) if wanted else None
    except StoreError:
        page.away = True  # keep the address, so that the next run tries again
        return
    if wanted and page.conversation is None:
        page.missing = True
        del st.query_params["c"]


def followed() -> Answer | None:
    """Return the answer of this process that the page should follow."""
    return app.conversations.answer(page.last) if page.last and page.last.running else None


def submit(key: str) -> None:
    """Handle a question, typed or picked: refuse it visibly and leave it in the box, queue it, or send it."""
    text = st.session_state[key]
    if not text:
        return
    page.submitted = text
    open_addressed()
    prompt = clean_text(text)
    page.refused = problem_with(text)
    if page.conversation:
        page.conversation = app.conversations.fresh(page.here)
    if page.refused:
        st.session_state.question = text
    else:
        ask(prompt)


def stop() -> None:
    """End the running answer; waiting questions return to the box."""
    page.hand_back(*page.waiting)
    page.waiting = []
    if page.conversation:
        page.conversation = app.conversations.stop(page.here)


def note_asking(mark: str) -> None:
    page.asking = mark


def will_compare() -> bool:
    """Return True where the questions of this page's next conversation are answered twice."""
    try:
        if entrance.forced():
            return False
        assignment = app.comparisons.assign(session.visitor(), page.exposed, entrance.invited_to_compare())
    except StoreError:
        return False
    return assignment is not None and assignment.compare


def draw_left() -> None:
    """Draw how many answers are left today, before the last one is used."""
    left = app.conversations.preparation.left(session.visitor())
    if left is not None and left <= FEW_LEFT:
        left_slot.caption("1 answer left today" if left == 1 else f"{left or 'No'} answers left today")


def compares() -> bool:
    """Return True where this page has comparisons, or will probably have some."""
    if page.conversation:
        return page.here.assignment.compare
    return app.comparisons.expects(session.visitor(), entrance.invited_to_compare())


def show_earlier() -> None:
    if page.first_shown() == 0:
        page.conversation = app.conversations.earlier(page.here)
    page.earlier += EARLIER


def show_later() -> None:
    page.earlier = max(0, page.earlier - EARLIER)


def show_newest() -> None:
    page.earlier = 0


def group(at: int) -> DeltaGenerator:
    """Return the container of a turn and its neighbours. At every update of a growing answer the browser examines its
    siblings and those of its containers; grouping keeps both few."""
    number = (at - page.first_shown()) // GROUP
    if number not in groups:
        groups[number] = st.container()
    return groups[number]


def draw_function(turn: Turn) -> Callable[..., None]:
    """Return the function that draws an ended turn."""
    return compare.draw if turn.comparison else draw


def draw_running(turn: Turn) -> None:
    """Draw the last turn while its answer grows, and the waiting questions."""
    page.awaited = turn.answer_id
    draw_question(turn)
    place, queue = answer_place(turn), st.empty()
    if page.waiting:
        with queue.container():
            draw_waiting(page.waiting)
    with place:
        if turn.comparison:
            compare.follow(turn)
        elif answer := followed():
            follow(answer)
            page.conversation = app.conversations.settle(page.here, answer)
            page.saving = answer.receipt
        else:
            follow_record(turn)
        time.sleep(HEAD_START)  # the last words are sent alone
        saved = page.saving is None or page.saving.wait(SAVED_WITHIN)
        ended, last = page.here.turns[-1], not page.waiting
        if turn.comparison:
            compare.draw_end(ended, last=last)
        else:
            draw_end(ended, last=last, of=ended)
    if not saved:
        draw_saving()
    queue.empty()


@st.fragment(run_every=2.0)
def draw_saving() -> None:
    """Draw that an answer is not stored yet. Once it is, rerun the page, which leaves this fragment out."""
    page.late, saved = True, page.saving is None or page.saving.committed
    if (saved or page.overtaken) and not page.waiting:
        st.rerun()
    st.caption("Saved" if saved else "This answer is not saved yet")


open_addressed()
if page.overtaken:
    page.saving, page.conversation = None, app.conversations.reread(page.here)
if page.waiting and page.last and not page.last.running:
    send_waiting()  # a click interrupted the run in which the answer ended
show(page)
draw_sidebar()
# On phones only:
st.button("New", icon=":material/edit_square:", type="tertiary", key="new_top", on_click=page.start_new)
unseen = st.container()
with unseen:
    keep_browser(page.box(), report_copied, note_asking)
    if compares():  # on the empty page already: starting it later would delay the first question's first words by 35 ms
        keep_comparisons()
if session.operator() and not session.as_tester():
    draw_forced(page)
    draw_worries()
    draw_failures()

with st.bottom:
    if page.refused:
        st.warning(page.refused, icon=":material/info:")
    with st.container(horizontal=True, vertical_alignment="bottom", key="ask"):
        st.chat_input("Ask anything", key="question", on_submit=submit, args=("question",))
        stop_slot = st.empty()
    left_slot = st.empty()
    if not (page.last and page.last.running):
        draw_left()

welcome = st.empty()  # on a page with turns it stays empty, and so clears the welcome before the first answer ends
if page.conversation is None or not page.here.turns:
    with welcome.container():
        st.header(app.settings.greeting)
        st.markdown(COMPARING if will_compare() else RATING)
        if suggestions := app.settings.suggestions or (DEMO_SUGGESTIONS if app.demo else ()):
            st.session_state.suggestion = None
            st.pills(
                "Try one of these",
                suggestions,
                key="suggestion",
                on_change=submit,
                args=("suggestion",),
                label_visibility="collapsed",
            )
        if page.missing:
            st.info("That conversation is not here. It may have been deleted, or it belongs to another browser.")
        if page.away:
            st.info("That conversation cannot be opened right now. Please reload the page in a minute.")
        if app.demo:
            st.caption(
                ":material/info: This is Parley's built-in demo model. To talk to a real one, set `OPENAI_API_KEY` or "
                "`OPENAI_BASE_URL` and start Parley again."
            )
else:
    turns = page.here.turns
    if turns[-1].running and page.past_shown() < len(turns):
        page.earlier = 0
    first, past = page.first_shown(), page.past_shown()
    if first > 0 or page.conversation.earlier:
        st.button(
            "Show earlier messages",
            icon=":material/expand_less:",
            type="tertiary",
            key="earlier",
            on_click=show_earlier,
        )
    for at in range(first, min(past, len(turns) - 1)):
        with group(at):
            draw_function(turns[at])(turns[at], last=False, outdated=at == len(turns) - 2)
    if past < len(turns):
        with st.container(horizontal=True):
            st.button("Show later messages", icon=":material/expand_more:", type="tertiary", on_click=show_later)
            st.button("Newest", icon=":material/arrow_downward:", type="tertiary", on_click=show_newest)
    elif not turns[-1].running:
        for side in turns[-1].sides:
            if ended := app.conversations.answer(side):
                ended.seen = True
        with group(len(turns) - 1):
            draw_function(turns[-1])(turns[-1], last=True)
            if page.saving and not page.saving.committed:
                draw_saving()
            elif page.saving and page.late:
                st.caption("Saved")
    else:
        stop_slot.button("Stop", icon=":material/stop_circle:", key="stop", on_click=stop)
    while page.here.turns[-1].running:
        with group(len(page.here.turns) - 1):
            draw_running(page.here.turns[-1])
        if page.waiting:
            send_waiting()
            if not page.here.turns[-1].running:
                st.rerun()  # access has ended
    stop_slot.empty()
    draw_left()
    if page.overtaken:
        st.rerun()

if page.last and page.last.answer_id == page.awaited:
    # Announced by the run that completes: a click on Stop may have interrupted the one that saw the answer end.
    page.awaited, page.nonce = None, page.nonce + 1
if connected():
    page.unaddressed = False  # the browser got the address before all else of this run
with unseen:
    words = "Both answers are complete." if page.last and page.last.comparison else "The answer is complete."
    tell_browser(page.nonce, say=words, texts=page.texts(), times=page.times())
