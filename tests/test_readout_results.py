"""The contents of the Results page: past days do not change, and today is the current readout."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from lib.domain.clock import DAY_MS, now_ms
from lib.experiments.definitions import Definition, read_definitions
from lib.readout.results import Window, gather, gather_days, history, midnight
from lib.readout.verdicts import scope_of
from lib.store import Store
from lib.store.snapshots import snapshots
from tests.support import invented_traffic
from tests.support.invented_events import alike
from tests.support.invented_traffic import EXPERIMENT

WINDOW = Window(EXPERIMENT)


@pytest.fixture
def definition() -> Definition:
    file = Path(__file__).parent.parent / ".streamlit" / "experiments.toml"
    return read_definitions(file.read_text(encoding="utf-8"))[EXPERIMENT]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Yield a store with nine and a half days of users, which end in the middle of a day."""
    url = f"sqlite:///{tmp_path}/parley.db"
    invented_traffic.fill(url, replace(invented_traffic.harmed(), days=9.5, until_ms=_noon()))
    with closing(Store.open(url)) as opened:
        yield opened


def _noon() -> int:
    return now_ms() // DAY_MS * DAY_MS - DAY_MS // 2


def test_the_history_has_every_day_that_is_over_and_ends_with_the_readout(store: Store, definition: Definition) -> None:
    now = _noon()
    results = gather(store, definition, WINDOW, now)
    days = gather_days(store.read, definition, WINDOW, midnight(WINDOW, now))
    past = history(days, results, definition)
    ends = [midnight(WINDOW, now) - back * DAY_MS for back in range(8, -1, -1)]
    assert [moment for moment, _ in past] == [*ends, now]
    assert past[-1][1].sums == results.readout.main.sums
    assert past[-1][1].versus["Test"].numbers == results.readout.main.versus["Test"].numbers


def test_the_readout_of_a_past_day_does_not_change(store: Store, definition: Definition) -> None:
    now = _noon()
    days = gather_days(store.read, definition, WINDOW, midnight(WINDOW, now))
    with store.read() as connection:
        every = snapshots(connection, scope_of(definition), definition.primary)
    assert len(every) == len(days) + 1
    for day, whole in zip(days, every, strict=False):
        assert day.until_ms == whole.until_ms
        for grp, sums in day.sums.items():
            alike(sums, whole.sums[grp])


def test_a_past_day_is_computed_once(store: Store, definition: Definition) -> None:
    window = Window(EXPERIMENT, until_ms=midnight(WINDOW, _noon()))
    results = gather(store, definition, window, now_ms())
    past = history(gather_days(store.read, definition, window, midnight(window, now_ms())), results, definition)
    moments = [moment for moment, _ in past]
    assert moments == sorted(set(moments)) and moments[-1] == window.until_ms
