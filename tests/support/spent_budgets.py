"""The counts of budgets in a store, all on one day, each waited for as long as a busy machine needs."""

from typing import Any

import pytest

from lib.access import budgets
from lib.domain.budget import EVERYBODY, Account, Spent
from lib.domain.clock import DAY_MS, now_ms
from lib.store import Store, spending
from tests.support.waiting import ENOUGH_S

SOON = ENOUGH_S


def about(usd: float) -> Any:
    """Any sum that differs by a rounding."""
    return pytest.approx(usd)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let counting take as long as a busy machine needs; otherwise a question is judged by earlier counts."""
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
