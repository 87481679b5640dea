"""A process ends the answers of a dead process, within seconds if a page follows them, and never those of a living
one."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import update

from lib.chat import rescue
from lib.chat.recorder import Recorder
from lib.chat.rescue import SILENT_LOOKS, Rescue
from lib.domain.clock import now_ms
from lib.domain.completion import Completion
from lib.domain.conversation import Question, Turn
from lib.domain.events import chat_completion, signal
from lib.metrics.counters import Metrics
from lib.store import Store, schema
from tests.support.stored_answers import SOON, ask, conversation, fall_silent, reread
from tests.support.waiting import until


@dataclass
class Two:
    """A process that was asked a question, and another that may take it over."""

    first: Store
    other: Store
    asked: Question

    def turn(self) -> Turn:
        return reread(self.other, self.asked).turns[-1]

    def look(self, look: Callable[[Turn], None], times: int) -> None:
        for _ in range(times):
            look(self.turn())

    def look_until_ended(self, look: Callable[[Turn], None]) -> None:
        """Look until the answer has ended: a page may have to look again while the store is slow."""

        def ended() -> bool:
            look(self.turn())
            return not self.turn().running

        until(ended)

    def finish_reasons(self) -> list[object]:
        assert self.other.write(lambda connection: None).wait(SOON)  # earlier writes are done
        return [event["value"] for event in self.other.events.export() if event["name"] == "chat_completion"]


@pytest.fixture
def two(database_url: str) -> Iterator[Two]:
    with closing(Store.open(database_url)) as first, closing(Store.open(database_url)) as other:
        asked = ask(first, conversation())
        assert first.conversations.partial(asked.answer_id, "Half an answer").wait(SOON)
        yield Two(first, other, asked)


@pytest.fixture
def ours(two: Two) -> Rescue:
    return Rescue(two.other, Recorder(two.other, Metrics()))


def test_a_page_ends_an_answer_that_has_no_heartbeat(two: Two, ours: Rescue) -> None:
    two.look_until_ended(ours.watch())
    assert two.finish_reasons() == ["interrupted"]
    turn = two.turn()
    assert (turn.answer, turn.finish_reason, turn.error) == ("Half an answer", "interrupted", "ProcessEnded")


def test_an_answer_without_a_word_ends_as_an_error_that_says_so(two: Two, ours: Rescue) -> None:
    silent = ask(two.first, conversation())
    assert two.first.write(lambda _: None).wait(SOON)
    two.asked = silent
    two.look_until_ended(ours.watch())
    assert two.finish_reasons() == ["error"]
    assert two.turn().message == rescue.CUT_OFF


def test_a_heartbeat_restarts_the_count(two: Two, ours: Rescue) -> None:
    look = ours.watch()
    two.look(look, SILENT_LOOKS)
    time.sleep(0.002)  # so that the next heartbeat has a later time
    assert two.first.conversations.partial(two.asked.answer_id, "More of it").wait(SOON)
    two.look(look, SILENT_LOOKS)
    assert two.finish_reasons() == []
    assert two.turn().running


def test_a_heartbeat_after_the_last_look_prevents_the_takeover(two: Two, ours: Rescue) -> None:
    old, look = two.turn(), ours.watch()
    time.sleep(0.002)
    assert two.first.conversations.partial(two.asked.answer_id, "More of it").wait(SOON)
    for _ in range(SILENT_LOOKS + 1):
        look(old)
    assert two.finish_reasons() == []


def test_clocks_that_differ_make_no_process_seem_dead(two: Two, ours: Rescue) -> None:
    look = ours.watch()
    behind = update(schema.answer).values(beat_ms=schema.answer.c.beat_ms - 3_600_000)
    for _ in range(2 * SILENT_LOOKS):
        time.sleep(0.002)
        assert two.first.conversations.partial(two.asked.answer_id, "Half an answer").wait(SOON)
        assert two.first.write(lambda connection: connection.execute(behind)).wait(SOON)
        two.look(look, 1)
    assert two.finish_reasons() == []


def test_only_one_of_two_pages_ends_it(two: Two, ours: Rescue, database_url: str) -> None:
    with closing(Store.open(database_url)) as third:
        theirs = Rescue(third, Recorder(third, Metrics()))
        turn, watches = two.turn(), [ours.watch(), theirs.watch()]

        def both(_: Turn) -> None:
            for look in watches:
                look(turn)

        two.look_until_ended(both)
        for _ in range(SILENT_LOOKS + 1):
            both(turn)
        assert third.write(lambda connection: None).wait(SOON)
        assert two.finish_reasons() == ["interrupted"]


def test_a_process_that_was_frozen_does_not_write_over_it(two: Two, ours: Rescue) -> None:
    two.look_until_ended(ours.watch())
    assert two.finish_reasons() == ["interrupted"]
    whole = Completion("Half an answer and the rest.", "stop", 9.0, 0.5)
    assert two.first.conversations.partial(two.asked.answer_id, "Half an answer and").wait(SOON)
    assert two.first.conversations.finish(two.asked, whole, chat_completion(two.asked, whole)).wait(SOON)
    assert two.finish_reasons() == ["interrupted"]
    assert two.turn().answer == "Half an answer"


def test_an_answer_that_was_taken_over_and_left_again_is_found_again(two: Two, ours: Rescue) -> None:
    """The other process took the answer over, but a slow database confirmed it too late."""
    assert until(lambda: two.other.conversations.take_over(two.asked.answer_id, two.turn().heard_ms or 0))
    two.look_until_ended(ours.watch())
    assert two.finish_reasons() == ["interrupted"]


@pytest.mark.parametrize("how", ["recover", "take over"])
def test_looks_during_an_outage_take_nothing_over_when_it_ends(tmp_path: Path, how: str) -> None:
    """During an outage living processes cannot write either: their heartbeats follow a moment later."""
    file, away = tmp_path / "parley.db", tmp_path / "away.db"
    with closing(Store.open(f"sqlite:///{file}")) as first, closing(Store.open(f"sqlite:///{file}")) as other:
        asked = ask(first, conversation())
        fall_silent(first)
        heard_ms = reread(first, asked).turns[-1].heard_ms or 0
        file.rename(away)
        other.events.record([signal(asked, "copied")])
        until(lambda: not other.healthy)
        claims = {
            "recover": lambda: other.conversations.recover(30_000),
            "take over": lambda: other.conversations.take_over(asked.answer_id, heard_ms),
        }
        with ThreadPoolExecutor(1) as pool:
            taken = pool.submit(claims[how])
            until(lambda: other.queued == 2 or taken.done())  # the claim is given up after a second
            away.rename(file)
            assert not taken.result(SOON)
        assert reread(first, asked).turns[-1].heard_ms == heard_ms


def test_no_answer_is_taken_over_while_the_store_is_away(two: Two) -> None:
    heard_ms = two.turn().heard_ms or 0
    two.other.close()
    assert two.other.conversations.take_over(two.asked.answer_id, heard_ms) is None


def test_an_answer_that_has_ended_is_left_alone(two: Two, ours: Rescue) -> None:
    running = two.turn()
    whole = Completion("The whole answer.", "stop", 1.0, 0.5)
    assert two.first.conversations.finish(two.asked, whole, chat_completion(two.asked, whole)).wait(SOON)
    look = ours.watch()
    for _ in range(SILENT_LOOKS + 1):
        look(running)
    two.look(look, SILENT_LOOKS + 1)
    assert two.finish_reasons() == ["stop"]


def test_housekeeping_ends_answers_without_a_page(two: Two, ours: Rescue) -> None:
    ours.sweep()
    assert two.finish_reasons() == []
    long_ago = update(schema.answer).values(beat_ms=now_ms() - 2 * rescue.STALE_MS)
    assert two.first.write(lambda connection: connection.execute(long_ago)).wait(SOON)
    ours.sweep()
    assert two.finish_reasons() == ["interrupted"]


def test_a_turn_without_a_time_of_a_heartbeat_is_not_taken_over(two: Two, ours: Rescue) -> None:
    look = ours.watch()
    for _ in range(SILENT_LOOKS + 2):
        look(replace(two.turn(), heard_ms=None))
    assert two.finish_reasons() == []
