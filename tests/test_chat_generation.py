"""Answers in the background: started, followed, stopped, abandoned and recorded, independent of the page."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib.chat import generation
from lib.chat.generation import Answer, Generations
from lib.domain.assignment import Assignment
from lib.domain.completion import Completion
from lib.domain.conversation import Question
from lib.domain.ids import new_id
from tests.support.waiting import ENOUGH_S, until, until_async

ASSIGNMENT = Assignment("e", "A", "A", "u", {"userID": "u"}, {"model": "m"})


def question() -> Question:
    return Question(new_id(), "c", "s", 1, "m", ASSIGNMENT)


class Written:
    """The receipt of a write that is done at once."""

    committed, result = True, None

    def wait(self, timeout: float) -> bool:
        return True


class Notes:
    """A journal that keeps everything in lists."""

    def __init__(self) -> None:
        self.partials: list[tuple[str, str]] = []
        self.ends: list[tuple[Question, Completion]] = []
        self.left: list[Question] = []

    def partial(self, answer_id: str, text: str) -> None:
        self.partials.append((answer_id, text))

    def ended(self, question: Question, completion: Completion) -> Written:
        self.ends.append((question, completion))
        return Written()

    def abandoned(self, question: Question) -> None:
        self.left.append(question)


class Words:
    """A stream of these words. It pauses for a number (seconds), waits for an event, and raises an exception.

    `closed` is set once the stream has ended.
    """

    cause: str | None = None

    def __init__(self, *words: str | float | Exception | threading.Event) -> None:
        self._words, self._text = words, ""
        self._whole = False
        self.closed = threading.Event()

    @property
    def completion(self) -> Completion:
        return Completion(self._text, "stop" if self._whole else "stopped", 1.0, 0.5)

    async def __aiter__(self) -> AsyncIterator[str]:
        try:
            for word in self._words:
                if isinstance(word, Exception):
                    raise word
                if isinstance(word, str):
                    self._text += word
                    yield word
                elif isinstance(word, threading.Event):
                    await until_async(word.is_set)
                else:
                    await asyncio.sleep(word)
            self._whole = True
        finally:
            self.closed.set()


FOR_EVER = 3600.0


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def answers(notes: Notes) -> Iterator[Generations]:
    running = Generations(notes)
    yield running
    running.close()


def ended(answer: Answer) -> Completion:
    until(lambda: answer.completion)
    assert answer.completion
    return answer.completion


def read(answer: Answer, pace: float = 0.0) -> str:
    """Follow an answer to its end, and return its text as the follower saw it."""
    news, text = answer.follow(), ""
    while (piece := news(1.0, pace)) is not None:
        text += piece
    return text


# From the start to the end


def test_an_answer_needs_no_follower(answers: Generations, notes: Notes) -> None:
    asked = question()
    answer = answers.start(asked, "v", lambda: Words("Hel", "lo"))
    assert ended(answer).text == answer.text == "Hello"
    assert notes.ends == [(asked, ended(answer))]
    assert answer.receipt
    assert answer.ended_ms > 0


def test_an_answer_is_found_by_its_id_while_it_runs_and_a_little_after(
    answers: Generations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "GRACE", FOR_EVER)
    asked, go_on = question(), threading.Event()
    answer = answers.start(asked, "v", lambda: Words("Hello", go_on))
    assert answers.get(asked.answer_id) is answer
    assert answers.running == 1
    go_on.set()
    ended(answer)
    assert answers.running == 0
    assert answers.get(asked.answer_id) is answer
    monkeypatch.setattr(generation, "GRACE", 0.05)
    later = question()
    answers.start(later, "v", lambda: Words("Hello"))
    until(lambda: answers.get(later.answer_id) is None)


def test_every_follower_sees_the_whole_answer_whenever_it_starts(answers: Generations) -> None:
    words = [f"{number} " for number in range(50)]
    answer = answers.start(question(), "v", lambda: Words(*(step for word in words for step in (word, 0.002))))
    with ThreadPoolExecutor(4) as pool:
        early = [pool.submit(read, answer) for _ in range(3)]
        until(lambda: len(answer.text) > 50)
        late = pool.submit(read, answer)
        assert {reader.result(ENOUGH_S) for reader in [*early, late]} == {"".join(words)}
    assert read(answer) == "".join(words)


def test_a_follower_is_given_time_between_pieces_but_never_waits_for_the_last(answers: Generations) -> None:
    answer = answers.start(question(), "v", lambda: Words("a", 0.05, "b", "c", 0.05, "d"))
    assert read(answer, pace=FOR_EVER) == "abcd"


def test_a_follower_that_has_read_all_gets_an_empty_text_in_time(answers: Generations) -> None:
    answer = answers.start(question(), "v", lambda: Words("a", FOR_EVER))
    news = answer.follow()
    assert news(ENOUGH_S, 0.0) == "a"
    assert news(0.05, 0.0) == ""
    answer.stop()


def test_the_text_so_far_is_stored_while_it_grows(
    answers: Generations, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "PARTIAL_EVERY", 0.02)
    asked = question()
    answer = answers.start(asked, "v", lambda: Words(0.1, "Hel", 0.1, "lo", FOR_EVER))
    until(lambda: (asked.answer_id, "Hello") in notes.partials)
    assert [text for _, text in notes.partials] == sorted((text for _, text in notes.partials), key=len)
    answer.stop()
    ended(answer)
    written = [about for about, _ in notes.partials].count(asked.answer_id)
    later = question()
    answers.start(later, "v", lambda: Words("Later", FOR_EVER))
    until(lambda: (later.answer_id, "Later") in notes.partials)
    assert [about for about, _ in notes.partials].count(asked.answer_id) == written


# Stop


def test_stop_keeps_the_text_so_far_and_closes_the_stream(answers: Generations, notes: Notes) -> None:
    words = Words("Half", FOR_EVER)
    answer = answers.start(question(), "v", lambda: words)
    until(lambda: answer.text)
    answer.stop()
    assert ended(answer).finish_reason == "stopped"
    assert ended(answer).text == "Half"
    assert words.closed.wait(ENOUGH_S)
    answer.stop()  # a second click changes nothing
    assert len(notes.ends) == 1


def test_an_answer_that_is_stopped_before_it_began_ends_too(answers: Generations, notes: Notes) -> None:
    for _ in range(50):
        answer = answers.start(question(), "v", lambda: Words(FOR_EVER))
        answer.stop()
        assert ended(answer).finish_reason == "stopped"
    assert len(notes.ends) == 50


def test_an_answer_that_another_thread_stops_while_it_is_started_ends_too(
    answers: Generations, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_over = answers._loop.call_soon_threadsafe

    def after_a_deletion(work: Callable[[], object]) -> object:
        monkeypatch.setattr(answers._loop, "call_soon_threadsafe", hand_over)
        answers.end("v", None)
        return hand_over(work)

    monkeypatch.setattr(answers._loop, "call_soon_threadsafe", after_a_deletion)
    answer = answers.start(question(), "v", lambda: Words(FOR_EVER))
    assert ended(answer).finish_reason == "stopped"


def test_stopping_an_ended_answer_changes_nothing(answers: Generations, notes: Notes) -> None:
    answer = answers.start(question(), "v", lambda: Words("Hello"))
    assert ended(answer).finish_reason == "stop"
    answer.stop()
    ended(answers.start(question(), "v", lambda: Words("Later")))
    assert ended(answer).finish_reason == "stop"
    assert len(notes.ends) == 2


# Four at once


def test_a_visitor_has_four_answers_at_once_and_others_do_not_wait(answers: Generations) -> None:
    begun: list[int] = []

    def nth(number: int) -> Words:
        begun.append(number)
        return Words(FOR_EVER)

    mine = [answers.start(question(), "me", lambda number=number: nth(number)) for number in range(6)]  # type: ignore[misc]
    other = answers.start(question(), "other", lambda: Words("Hello"))
    assert ended(other).text == "Hello"
    until(lambda: len(begun) == 4)
    mine[1].stop()
    until(lambda: begun == [0, 1, 2, 3, 4])
    mine[5].stop()  # an answer that has not begun
    assert ended(mine[5]).finish_reason == "stopped"
    mine[0].stop()
    mine[2].stop()
    for answer in mine:
        answer.stop()
        ended(answer)
    assert begun == [0, 1, 2, 3, 4]


# Errors


@pytest.mark.parametrize("words", [(), ("Half",)], ids=["before any text", "after some"])
def test_our_own_error_does_not_count_as_a_testers_stop(
    words: tuple[str, ...], answers: Generations, caplog: pytest.LogCaptureFixture
) -> None:
    answer = answers.start(question(), "v", lambda: Words(*words, RuntimeError("a bug")))
    completion = ended(answer)
    assert completion.finish_reason == ("interrupted" if words else "error")
    assert completion.error == "Internal"
    assert completion.message
    assert completion.text == "".join(words)
    assert "a bug" in caplog.text


def test_a_stream_that_cannot_even_begin_is_a_fault_of_our_own(
    answers: Generations, notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Words:
        raise RuntimeError("a bug")

    completion = ended(answers.start(question(), "v", broken))
    assert (completion.finish_reason, completion.error) == ("error", "Internal")
    assert len(notes.ends) == 1
    assert ended(answers.start(question(), "v", lambda: Words("Hello"))).text == "Hello"


def test_a_failed_answer_is_one_line_in_the_log(answers: Generations, caplog: pytest.LogCaptureFixture) -> None:
    class Refused(Words):
        cause = "AuthenticationError (HTTP 401): no"

        @property
        def completion(self) -> Completion:
            return Completion("", "error", 1.25, error="AuthenticationError", message="no", retries=1)

    asked = question()
    with caplog.at_level(logging.INFO, "parley"):
        ended(answers.start(asked, "v", Refused))
    [line] = [record for record in caplog.records if record.name == generation.log.name]
    assert vars(line).items() >= {
        "answer_id": asked.answer_id, "model": "m", "error": "AuthenticationError", "seconds": 1.25, "retries": 1,
        "cause": "AuthenticationError (HTTP 401): no",
    }.items()  # fmt: skip


# Abandoned


def test_an_answer_without_a_follower_at_its_end_is_abandoned(
    answers: Generations, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "GRACE", 0.05)
    asked = question()
    ended(answers.start(asked, "v", lambda: Words("Hello")))
    until(lambda: notes.left == [asked])


@pytest.mark.parametrize("how", ["seen", "stopped"])
def test_an_answer_that_a_visitor_saw_or_stopped_is_not_abandoned(
    how: str, answers: Generations, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "GRACE", 0.05)
    asked, go_on = question(), threading.Event()
    answer = answers.start(asked, "v", lambda: Words("Hello", go_on))
    until(lambda: answer.text)
    answer.seen = how == "seen"
    if how == "stopped":
        answer.stop()
    else:
        go_on.set()
    ended(answer)
    until(lambda: answers.get(asked.answer_id) is None)
    assert notes.left == []


# The end of the process


def test_closing_keeps_the_text_so_far_and_reports_no_error(notes: Notes) -> None:
    answers = Generations(notes)
    half, waiting = Words("Half", FOR_EVER), question()
    answer = answers.start(question(), "v", lambda: half)
    done = answers.start(question(), "v", lambda: Words("Whole"))
    until(lambda: answer.text and done.completion)
    answers.start(waiting, "v", lambda: Words(FOR_EVER))
    answers.close(ENOUGH_S)
    by_text = {completion.text: completion for _, completion in notes.ends}
    assert by_text["Whole"].finish_reason == "stop"
    assert (by_text["Half"].finish_reason, by_text["Half"].error) == ("interrupted", "Shutdown")
    assert (by_text[""].finish_reason, by_text[""].error) in (("interrupted", "Shutdown"), ("error", "Shutdown"))
    assert len(notes.ends) == 3
    assert notes.left == []
    assert half.closed.is_set()
    answers.close()


def test_within_the_grace_period_answers_end_and_none_is_abandoned(notes: Notes) -> None:
    answers = Generations(notes)
    answer = answers.start(question(), "v", lambda: Words("The whole", 0.3, " answer"))
    until(lambda: answer.text)
    answers.close(ENOUGH_S, grace=FOR_EVER)
    assert [(completion.text, completion.finish_reason) for _, completion in notes.ends] == [
        ("The whole answer", "stop")
    ]
    assert notes.left == []


def test_answers_that_outlast_the_grace_period_are_cut_off(notes: Notes) -> None:
    answers = Generations(notes)
    answer = answers.start(question(), "v", lambda: Words("Half", FOR_EVER))
    until(lambda: answer.text)
    answers.close(ENOUGH_S, grace=0.2)
    assert [(completion.text, completion.error) for _, completion in notes.ends] == [("Half", "Shutdown")]
