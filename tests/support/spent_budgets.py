"""The counts of budgets in a store, all on one day, with as much time for counting as a busy machine needs."""

from typing import Any

import pytest

from lib.access import budgets
from lib.domain.budget import EVERYBODY, Account, Spent
from lib.domain.clock import DAY_MS, now_ms
from lib.store import Store, spending
from tests.support.waiting import ENOUGH_S

SOON = ENOUGH_S


def about(usd: float) -> Any:
    """Return a value that equals every sum within a rounding error."""
    return pytest.approx(usd)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give counting as much time as a busy machine needs. A count that is late leaves a question to earlier counts."""
    monkeypatch.setattr(budgets, "WAIT_S", SOON)


@pytest.fixture(autouse=True)
def no_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count all answers of a test on one day."""
    moment = now_ms()
    monkeypatch.setattr(budgets, "now_ms", lambda: moment)


def spent(store: Store, name: str = EVERYBODY, day: int | None = None) -> Spent:
    today = budgets.now_ms() // DAY_MS  # type: ignore[attr-defined]
    account = Account("day", name, today if day is None else day)
    assert store.write(lambda _: None).wait(SOON)
    with store.read() as connection:
        return spending.states(connection, [account])[account]
