"""Erasure: all data of one unit is deleted, none of another, and the operator reads what remains to be done."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from lib.commands.erase import report
from lib.domain import events
from lib.domain.assignment import Assignment
from lib.domain.budget import visitor_account
from lib.domain.clock import now_ms
from lib.domain.completion import Completion, Usage
from lib.domain.conversation import Conversation, Question
from lib.domain.ids import new_id
from lib.domain.invitations import Terms, new_invitation
from lib.store import Erased, Store, schema
from lib.store.erasure import PIECE
from tests.support import app_process
from tests.support.operator_tool import Run, run_tool
from tests.support.waiting import ENOUGH_S

SOON = ENOUGH_S
WHOLE = Completion("Because.", "stop", 1.0, 0.5, Usage(1, 2, 3, source="server"))
SECRET = "My name is Ann and I live in Ystad"


@pytest.fixture
def parley(database_url: str) -> Iterator[Store]:
    with closing(Store.open(database_url, deliver=True)) as store:
        yield store


def assignment(unit: str, visitor: str) -> Assignment:
    ids = {"userID": unit, "stableID": visitor, "sessionID": new_id()}
    return Assignment("exp", "Test", "rule", unit, ids, {"model": "m"})


def record_conversation(parley: Store, unit: str, visitor: str | None = None, turns: int = 1) -> list[Question]:
    """Record a conversation of `turns` answered, rated and commented questions; return the questions."""
    given = assignment(unit, visitor or unit)
    about = Conversation(new_id(), visitor or unit, given)
    asked = []
    for turn in range(1, turns + 1):
        question = Question(new_id(), about.id, "session", turn, "m", given)
        parley.conversations.ask(about, question, SECRET, events.exposure(given, "session"))
        ended = events.chat_completion(question, WHOLE)
        parley.conversations.finish(question, WHOLE, ended)
        parley.conversations.rate(
            question.answer_id, "satisfaction", events.rating(question, ended.metadata, "satisfaction", 1)
        )
        receipt = parley.conversations.give_reason(question.answer_id, None, "Said by Ann", None)
        asked.append(question)
    assert receipt.wait(SOON)
    return asked


def rows(parley: Store) -> dict[str, int]:
    """Return the number of rows of each table."""
    with parley.read() as connection:
        return {
            name: connection.scalar(select(func.count()).select_from(table)) or 0
            for name, table in schema.metadata.tables.items()
        }


def everything(parley: Store) -> str:
    """Return every value of every table."""
    with parley.read() as connection:
        return str([list(connection.execute(table.select())) for table in schema.metadata.tables.values()])


def insert_spending(connection: Connection, visitor: str) -> None:
    """Insert a visitor's spending of one day, and one reservation."""
    account = {"day": 1, "account": visitor_account(visitor), "usd": 1.0}
    connection.execute(schema.spending.insert(), account | {"answers": 1})
    connection.execute(schema.reservation.insert(), account | {"answer_id": "a", "since_ms": 1})


def test_everything_of_a_visitor_goes_and_nothing_of_another(parley: Store) -> None:
    record_conversation(parley, "bo")
    parley.guests.agree("bo", "v1").wait(SOON)
    before = rows(parley)
    record_conversation(parley, "ann", turns=3)
    record_conversation(parley, "ann")
    parley.guests.agree("ann", "v1").wait(SOON)
    made = new_invitation("Friends", Terms(days=7), now_ms())
    assert parley.guests.invite(made) and parley.guests.enter(made.id, "ann") is None
    assert parley.write(lambda connection: insert_spending(connection, "ann")).wait(SOON)

    erased = parley.erase("ann")
    assert (erased.conversations, erased.messages, erased.answers, erased.events) == (2, 4, 4, 12)
    assert erased.undelivered == 12 and not erased.at_statsig and not erased.running
    assert rows(parley) == before | {"invitation": 1}
    assert not re.search(r"\bann\b", everything(parley))
    assert parley.erase("ann").nothing


def test_undelivered_events_never_leave(parley: Store) -> None:
    record_conversation(parley, "ann")
    assert parley.erase("ann").undelivered == 3
    assert parley.outbox.lease(10, 60) == [] and parley.outbox.pending() == (0, 0.0)


def test_numbers_left_by_a_conversation_that_was_deleted_before_go_too(parley: Store) -> None:
    record_conversation(parley, "ann")
    assert parley.conversations.delete("ann").wait(SOON)
    erased = parley.erase("ann")
    assert (erased.conversations, erased.messages, erased.answers, erased.events) == (0, 0, 1, 3)


def test_the_sessions_of_a_visitor_go_with_them_where_a_session_is_the_unit(parley: Store) -> None:
    record_conversation(parley, "session-1", visitor="ann")
    record_conversation(parley, "session-2", visitor="ann")
    record_conversation(parley, "session-3", visitor="bo")
    erased = parley.erase("ann")
    assert (erased.conversations, erased.answers, erased.events) == (2, 2, 6)
    assert rows(parley)["answer"] == 1 and rows(parley)["exposure"] == 1


def test_events_that_name_the_visitor_go_even_when_their_conversation_is_gone(parley: Store) -> None:
    record_conversation(parley, "session-1", visitor="ann")
    assert parley.conversations.delete("ann").wait(SOON)
    assert parley.erase("ann").events == 3
    assert rows(parley)["event"] == 0


def test_one_session_is_erased_without_the_others(parley: Store) -> None:
    record_conversation(parley, "session-1", visitor="ann")
    record_conversation(parley, "session-2", visitor="ann")
    erased = parley.erase("session-1")
    assert (erased.conversations, erased.answers, erased.events) == (1, 1, 3)
    assert len(parley.conversations.of("ann")) == 1


def test_the_accounts_consent_is_deleted_with_its_last_conversation(parley: Store) -> None:
    """With sign-in and the browser as the unit, the account owns conversations and events have the browser's id."""
    record_conversation(parley, "browser-1", visitor="account")
    record_conversation(parley, "browser-2", visitor="account")
    assert parley.guests.agree("account", "v1").wait(SOON)
    parley.erase("browser-1")
    assert parley.guests.agreed("account", "v1")
    parley.erase("browser-2")
    assert not parley.guests.agreed("account", "v1")


@pytest.mark.parametrize("unit", ["%", "_nn", "a", "an", "ann\\", '"', "ann%"])
def test_an_id_is_not_matched_as_a_pattern(parley: Store, unit: str) -> None:
    record_conversation(parley, "ann")
    assert parley.erase(unit).nothing
    assert rows(parley)["event"] == 3


def test_more_events_than_one_piece_are_erased(parley: Store) -> None:
    [asked] = record_conversation(parley, "ann")
    parley.events.record([events.signal(asked, "copied") for _ in range(2 * PIECE)]).wait(SOON)
    assert parley.erase("ann").events == 2 * PIECE + 3
    assert rows(parley)["event"] == rows(parley)["outbox"] == 0


def test_the_events_that_statsig_may_have_are_reported(parley: Store) -> None:
    record_conversation(parley, "ann")
    [first, *_] = parley.outbox.lease(1, 60)
    assert parley.outbox.acknowledge([first.event_id]).wait(SOON)
    erased = parley.erase("ann")
    assert erased.at_statsig and erased.undelivered == 2
    record_conversation(parley, "bo")
    parley.outbox.lease(1, 60)  # sent, not acknowledged: it may have arrived
    assert parley.erase("bo").at_statsig


def test_an_answer_under_way_is_reported(parley: Store) -> None:
    given = assignment("ann", "ann")
    about = Conversation(new_id(), "ann", given)
    parley.conversations.ask(about, Question(new_id(), about.id, "session", 1, "m", given), SECRET).wait(SOON)
    assert parley.erase("ann").running == 1


def test_no_erased_text_stays_in_the_sqlite_file(tmp_path: Path) -> None:
    with closing(Store.open(f"sqlite:///{tmp_path}/parley.db")) as parley:
        record_conversation(parley, "ann", turns=50)
        parley.erase("ann")
    assert SECRET.encode() not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


# The output


def test_the_request_to_statsig_can_be_copied() -> None:
    text = "\n".join(report(Erased(1, 2, 3, 4, undelivered=1, at_statsig=True), "it's; $HOME", statsig=True))
    assert "1 conversation, 2 messages, 3 answers, 4 events (1 of them not delivered" in text
    assert "https://api.statsig.com/v1/delete_user_data" in text and "$STATSIG_SECRET_KEY" in text
    [command] = [line for line in text.splitlines() if line.startswith("  curl")]
    printed = subprocess.run(["sh", "-c", command.replace("curl", "printf '%s\\n'")], capture_output=True, text=True)
    assert printed.stdout.splitlines()[-1] == '{"unit_type": "user_id", "ids": "it\'s; $HOME"}'


@pytest.mark.parametrize(
    ("erased", "statsig", "says", "not_says"),
    [
        (Erased(), False, "There is nothing of ann here", "Statsig"),
        (Erased(), True, "Statsig has acknowledged no event", "curl"),
        (Erased(answers=1, running=1), False, "run this again in five minutes", "curl"),
        (Erased(events=1, at_statsig=True), False, "curl", "nothing"),
    ],
)
def test_the_report_has_a_sentence_for_each_case(erased: Erased, statsig: bool, says: str, not_says: str) -> None:
    text = "\n".join(report(erased, "ann", statsig=statsig))
    assert says in text and not_says not in text and "backups" in text


def tool(folder: Path, *words: str) -> Run:
    return run_tool(folder, "erase", *words)


def test_the_tool_erases_and_its_exit_code_says_whether_it_is_done(tmp_path: Path) -> None:
    app_process.lay_out(tmp_path)
    with closing(Store.open(f"sqlite:///{tmp_path}/data/parley.db")) as store:
        record_conversation(store, "ann")
    run = tool(tmp_path, "--user", "ann")
    assert run.returncode == 0 and "Erased of ann: 1 conversation, 1 message, 1 answer, 3 events" in run.stdout
    assert tool(tmp_path, "--user", "ann").returncode == 1
    assert tool(tmp_path, "--user", " ").returncode == tool(tmp_path).returncode == 2
