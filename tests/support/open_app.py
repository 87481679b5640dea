"""The app in this process, opened any number of times, and its visitors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lib.app import App
from lib.domain.ids import new_id
from lib.domain.visitor import Visitor
from lib.settings import load
from tests.support import openai_server

Start = Callable[..., App]


@contextmanager
def apps(folder: Path, model_server: openai_server.Server, definitions: str) -> Iterator[Start]:
    """Yield a function that opens the app on one database, with other definitions and settings if they are given."""
    opened: list[App] = []

    def begin(toml: str = definitions, **settings: str) -> App:
        (folder / "experiments.toml").write_text(toml)
        environ = {
            "OPENAI_BASE_URL": model_server.base_url,
            "DATABASE_URL": f"sqlite:///{folder}/parley.db",
            "PARLEY_EXPERIMENTS_FILE": f"{folder}/experiments.toml",
            **settings,
        }
        opened.append(App.open(load(environ, folder / "none.toml")))
        return opened[-1]

    yield begin
    for app in opened:
        app.close()


def visitor(visitor_id: str | None = None, session_id: str | None = None) -> Visitor:
    """Return a visitor: a new one unless an id is given."""
    name = visitor_id or new_id()
    return Visitor(name, name, name, session_id or new_id())
