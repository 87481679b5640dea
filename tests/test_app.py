"""The runs that an app records when it opens."""

from pathlib import Path

from lib.app import App
from lib.settings import load
from lib.store import Store
from lib.store.splits import weights_over_time
from lib.store.stretches import run_names

FILE = """
[compared]
default = {{ model = "m" }}
[compared.groups]
Control = {{ weight = {weight}, parameters = {{ model = "m" }} }}
Test = {{ weight = 50, parameters = {{ model = "m" }} }}
"""


def shares_after_a_run(folder: Path, weight: int) -> list[dict[str, float]]:
    """Open and close an app with this weight for Control, and return the shares of every run in the record."""
    file, url = folder / "experiments.toml", f"sqlite:///{folder / 'parley.db'}"
    file.write_text(FILE.format(weight=weight), encoding="utf-8")
    named = {"DATABASE_URL": url, "PARLEY_EXPERIMENT": "compared", "PARLEY_EXPERIMENTS_FILE": str(file)}
    app = App.open(load(named | {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, folder / "no-secrets.toml"))
    app.close()
    store = Store.open(url)
    with store.read() as connection:
        names = run_names(connection, "compared")
        known = [dict(one.shares) for name in names for one in weights_over_time(connection, name)]
    store.close()
    return known


def test_a_change_of_weights_in_the_file_begins_one_new_run(tmp_path: Path) -> None:
    even, uneven = {"Control": 0.5, "Test": 0.5}, {"Control": 0.75, "Test": 0.25}
    assert shares_after_a_run(tmp_path, 50) == [even]
    assert shares_after_a_run(tmp_path, 50) == [even]
    assert shares_after_a_run(tmp_path, 150) == [even, uneven]
