"""Limits: reserved before a question is sent, settled after its answer, and shared by all replicas. An unavailable
store delays a question only for a moment."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text

from lib.access import budgets
from lib.access.budgets import Budgets
from lib.domain.budget import EVERYBODY, Account, Spent
from lib.domain.clock import DAY_MS, now_ms
from lib.domain.completion import Completion
from lib.domain.ids import new_id
from lib.domain.invitations import Terms, new_invitation
from lib.store import Store, schema
from tests.support.spent_budgets import SOON, about, spent
from tests.support.spent_budgets import no_midnight as no_midnight
from tests.support.spent_budgets import patient as patient

TODAY = now_ms() // DAY_MS
ENDED = Completion("Because.", "stop", 1.0, cost_usd=0.02)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with closing(Store.open(database_url)) as opened:
        yield opened


@pytest.fixture
def another(database_url: str) -> Iterator[Store]:
    """A second store on the same database, as another replica opens it."""
    with closing(Store.open(database_url)) as opened:
        yield opened


def reserve(limits: Budgets, visitor: str = "ann", invitation: str | None = None, usd: float = 0.01) -> Any:
    """Reserve one answer; return its id, or the limit that it meets."""
    answer_id = new_id()
    return limits.reserve(answer_id, visitor, invitation, lambda: usd) or answer_id


def reservations(store: Store) -> int:
    assert store.write(lambda _: None).wait(SOON)
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(schema.reservation)) or 0


# Reserved before a question is sent


def test_without_a_limit_the_store_is_not_asked() -> None:
    assert Budgets(None).reserve("a", "ann", None, pytest.fail) is None  # type: ignore[arg-type]


def test_each_visitor_has_a_limit_of_their_own(store: Store) -> None:
    limits = Budgets(store.spending, answers_per_visitor=2)
    assert [reserve(limits) == "visitor" for _ in range(4)] == [False, False, True, True]
    assert reserve(limits, "bob") != "visitor"
    assert spent(store, "visitor:ann").answers == 2


def test_two_replicas_count_the_same_answers(store: Store, another: Store) -> None:
    one, two = Budgets(store.spending, answers_per_visitor=3), Budgets(another.spending, answers_per_visitor=3)
    got = [reserve(limits) == "visitor" for limits in (one, two, one, two)]
    assert got == [False, False, False, True]


def test_two_replicas_together_give_no_more_answers_than_the_limit(store: Store, another: Store) -> None:
    both = [Budgets(one.spending, answers_per_visitor=7) for one in (store, another)]
    with ThreadPoolExecutor(8) as threads:
        got = list(threads.map(lambda number: reserve(both[number % 2]), range(40)))
    assert got.count("visitor") == 33
    assert spent(store, "visitor:ann").answers == 7


def test_replicas_that_count_the_same_accounts_in_any_order_never_deadlock(
    store: Store, another: Store, caplog: pytest.LogCaptureFixture
) -> None:
    accounts = [Account("invitation", f"invitation:{number}", 0, usd=1e9) for number in range(6)]

    def traffic(one: Store, seed: int) -> list[Any]:
        chance, receipts = random.Random(seed), []
        for number in range(150):
            answer_id = f"{seed}-{number}"
            receipts.append(one.spending.hold(answer_id, 0.01, [chance.choice(accounts)], lambda: None))
            receipts.append(one.spending.settle(f"{seed}-{chance.randrange(number + 1)}", ENDED))
        return receipts

    with ThreadPoolExecutor(2) as threads:
        receipts = [*threads.map(traffic, (store, another), (1, 2))]
    assert all(receipt.wait(SOON) for one in receipts for receipt in one)
    causes = [str(getattr(line, "cause", "")) for line in caplog.records]
    assert not [cause for cause in causes if "deadlock" in cause]
    assert sum(spent(store, account.name, 0).answers for account in accounts) == 300


def test_the_expected_cost_of_running_answers_counts_as_spent(store: Store) -> None:
    limits = Budgets(store.spending, usd_per_day=0.03)
    assert [reserve(limits) == "day" for _ in range(4)] == [False, False, False, True]  # the third began at 0.02 USD
    assert spent(store) == Spent(about(0.03), 3)


def test_an_invitations_guests_share_its_limit_and_others_do_not(store: Store) -> None:
    invited = new_invitation("Ann's team", Terms(usd=0.02), now_ms())
    assert store.guests.invite(invited)
    limits = Budgets(store.spending)
    assert reserve(limits, "ann", invited.id) != "invitation"
    assert reserve(limits, "bob", invited.id) != "invitation"
    assert reserve(limits, "eve", invited.id) == "invitation"
    assert reserve(limits, "eve", None) != "invitation"
    assert spent(store, f"invitation:{invited.id}", 0).answers == 2


def test_an_invitation_without_a_limit_reserves_nothing(store: Store) -> None:
    invited = new_invitation("Everybody", Terms(), now_ms())
    assert store.guests.invite(invited)
    limits = Budgets(store.spending)
    for _ in range(3):
        assert reserve(limits, "ann", invited.id) != "invitation"
    assert reservations(store) == 0


def test_a_refused_question_counts_under_no_limit(store: Store) -> None:
    limits = Budgets(store.spending, usd_per_day=100, answers_per_visitor=1)
    reserve(limits)
    assert reserve(limits) == "visitor"
    assert spent(store) == Spent(about(0.01), 1)
    assert reservations(store) == 2  # both belong to the first answer: one for each limit


def test_the_same_answer_is_counted_once_however_often_it_is_written(store: Store) -> None:
    account = Account("visitor", "visitor:ann", TODAY, answers=5)
    for _ in range(2):
        assert store.spending.hold("a", 0.01, [account], lambda: None).wait(SOON)
    assert spent(store, "visitor:ann", TODAY).answers == 1


# Settled after the answer


def test_the_real_cost_replaces_the_expected_one(store: Store) -> None:
    limits = Budgets(store.spending, usd_per_day=1, answers_per_visitor=5)
    answer_id = reserve(limits, usd=0.5)
    assert spent(store) == Spent(0.5, 1)
    for _ in range(2):  # settling twice counts once
        assert store.spending.settle(answer_id, ENDED).wait(SOON)
    assert spent(store) == Spent(about(0.02), 1)
    assert spent(store, "visitor:ann").answers == 1
    assert reservations(store) == 0


def test_a_failed_answer_costs_nothing(store: Store) -> None:
    answer_id = reserve(Budgets(store.spending, usd_per_day=1, answers_per_visitor=5))
    assert store.spending.settle(answer_id, Completion("", "error", 1.0, error="APIConnectionError")).wait(SOON)
    assert spent(store) == Spent(about(0), 0)
    assert spent(store, "visitor:ann").answers == 0


def test_an_answer_that_ends_after_midnight_is_settled_on_its_own_day(store: Store) -> None:
    yesterday = Account("day", EVERYBODY, TODAY - 1, usd=1)
    assert store.spending.hold("a", 0.5, [yesterday], lambda: None).wait(SOON)
    assert store.spending.settle("a", ENDED).wait(SOON)
    assert spent(store, EVERYBODY, TODAY - 1) == Spent(about(0.02), 1)
    assert spent(store, EVERYBODY, TODAY) == Spent()


def test_spending_from_before_the_limit_counts_too(store: Store) -> None:
    ended = {
        "conversation_id": "c", "session_id": "s", "turn": 1, "experiment": "e", "user_id": "u", "model": "m",
        "finish_reason": "stop", "cost_usd": 0.4,
    }  # fmt: skip
    rows = [
        ended | {"answer_id": "today", "time_ms": now_ms(), "simulated": False},
        ended | {"answer_id": "earlier", "time_ms": now_ms() - 2 * DAY_MS, "simulated": False},
        ended | {"answer_id": "invented", "time_ms": now_ms(), "simulated": True},
    ]
    assert store.write(lambda connection: connection.execute(insert(schema.answer), rows)).wait(SOON)
    for _ in range(2):  # a second start counts nothing twice
        assert store.spending.begin_day().wait(SOON)
    assert spent(store) == Spent(about(0.4), 1)
    assert reserve(Budgets(store.spending, usd_per_day=0.4)) == "day"


def test_old_counts_are_deleted(store: Store) -> None:
    old = [Account("visitor", "visitor:ann", TODAY - 5), Account("day", EVERYBODY, TODAY - 5)]
    new = [Account("visitor", "visitor:ann", TODAY), Account("invitation", "invitation:x", 0)]
    for number, account in enumerate([*old, *new]):
        assert store.spending.hold(str(number), 0.01, [account], lambda: None).wait(SOON)
    old_ms = text("UPDATE reservation SET since_ms = 1 WHERE answer_id IN ('0', '1')")
    assert store.write(lambda connection: connection.execute(old_ms)).wait(SOON)
    store.purge(90)
    assert spent(store, "visitor:ann", TODAY - 5) == Spent()
    expected = [(EVERYBODY, TODAY - 5), ("visitor:ann", TODAY), ("invitation:x", 0)]
    assert [spent(store, *one).answers for one in expected] == [1, 1, 1]
    assert reservations(store) == 2


def test_an_erased_visitors_counters_go_too(store: Store) -> None:
    reserve(Budgets(store.spending, answers_per_visitor=5))
    store.erase("ann")
    assert spent(store, "visitor:ann") == Spent()


# While the store is away


def test_a_store_that_hangs_delays_a_question_for_a_moment_and_counts_it_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "WAIT_S", 0.25)
    limits, go_on = Budgets(store.spending, answers_per_visitor=2), threading.Event()
    reserve(limits)
    store.write(lambda _: go_on.wait(SOON))
    began = now_ms()
    got = [reserve(limits) == "visitor" for _ in range(3)]
    waited_ms = now_ms() - began
    go_on.set()
    assert got == [False, True, True]  # the last counts read, plus the questions accepted since
    assert waited_ms < 500 * SOON  # half of the time that the store hangs
    assert spent(store, "visitor:ann").answers == 2  # counted once the store was back; refused questions are not
