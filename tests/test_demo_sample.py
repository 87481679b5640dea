"""Sample data is made in the background, spread over a week, and removed without a trace."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, select

from lib.demo.sample import DAYS, Sample
from lib.domain.clock import DAY_MS, now_ms
from lib.settings import Settings, load
from lib.store import Store
from lib.store.schema import event, exposure, outbox
from tests.support.app_process import ROOT
from tests.support.waiting import until

EXPERIMENTS = str(ROOT / ".streamlit" / "experiments.toml")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    environ = {"DATABASE_URL": f"sqlite:///{tmp_path}/parley.db", "PARLEY_EXPERIMENTS_FILE": EXPERIMENTS}
    return load(environ, tmp_path / "none.toml")


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with closing(Store.open(settings.database_url)) as opened:
        yield opened


def wait_until_played(sample: Sample) -> None:
    until(lambda: not sample.running, 120)


def test_visitors_come_in_the_background_as_if_over_a_week(settings: Settings, store: Store) -> None:
    sample = Sample(settings, users=14)
    assert not sample.is_in(store)
    sample.play()
    sample.play()  # a second call adds no visitors while the first runs
    assert sample.running
    wait_until_played(sample)
    assert (sample.done, sample.share, sample.trouble) == (14, 1.0, "")
    with store.read() as connection:
        days = [(now_ms() - ms) // DAY_MS for ms in connection.scalars(select(exposure.c.time_ms))]
        assert connection.scalar(select(func.count(exposure.c.user_id.distinct()))) == 14
        assert not connection.scalar(select(func.count()).select_from(outbox))
    assert set(days) == set(range(DAYS))


def test_sample_data_is_removed_without_a_trace(settings: Settings, store: Store) -> None:
    sample = Sample(settings, users=2)
    sample.play()
    wait_until_played(sample)
    assert sample.is_in(store)
    assert sample.remove(store) > 4
    assert not sample.is_in(store)
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(event)) == 0


def test_the_end_of_the_process_does_not_wait_for_visitors_to_come(settings: Settings) -> None:
    sample = Sample(settings, users=10_000)
    sample.play()
    until(lambda: sample.done)
    sample.close()
    wait_until_played(sample)  # on a busy machine, visitors under way outlast the wait of `close`
    assert sample.done < 1_000 and sample.trouble == ""


def test_a_failure_is_reported(settings: Settings, tmp_path: Path) -> None:
    sample = Sample(settings.model_copy(update={"experiment": "nowhere"}), users=2)
    sample.play()
    wait_until_played(sample)
    assert "There is no experiment nowhere" in sample.trouble
