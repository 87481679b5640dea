"""Deleted text is in no tab, no file and no answer of the running app any more."""

from pathlib import Path

import pytest

from lib.chat.recorder import CLOSED_S, Texts
from tests.support import app_process, openai_server
from tests.support.raw_websocket import RawWebsocket, http
from tests.support.waiting import until

GAUGE = "parley_texts_in_memory"
SECRET = "Pomegranate seventeen"


def press(wire: RawWebsocket, label: str) -> None:
    [button] = [one for one in wire.widgets("button") if one.label == label][-1:]
    wire.run(states=[(button.id, "trigger_value", True)])


def ask_and_store(app: app_process.AppProcess, wire: RawWebsocket, text: str) -> None:
    wire.run().ask(text)
    app.wait_written()


def delete_all(wire: RawWebsocket) -> None:
    """Click the deletion, and confirm it."""
    press(wire, "Delete all my conversations")
    press(wire, "Delete all")


@pytest.mark.parametrize("keep", ["true", "false"])
def test_what_was_deleted_comes_back_nowhere(tmp_path: Path, model_server: openai_server.Server, keep: str) -> None:
    model_server.script(otherwise=openai_server.answer("An answer."))
    environ = {"OPENAI_BASE_URL": model_server.base_url, "PARLEY_KEEP_TEXT": keep}
    app = app_process.start(tmp_path / "app", environ)
    folder = app.folder / "data"

    def is_on_disk() -> bool:
        return any(SECRET.encode() in file.read_bytes() for file in folder.glob("parley.db*"))

    try:
        jar = http(app.url).cookies
        with RawWebsocket(app.url, jar) as one, RawWebsocket(app.url, jar) as other:
            ask_and_store(app, one, SECRET)
            other.run("c=" + one.address)
            assert SECRET in other.text and is_on_disk() == (keep == "true")
            delete_all(one)
            other.forget()
            other.run("c=" + one.address)
            assert SECRET not in other.text
            other.ask("Something else").run()
            assert SECRET not in other.text
            until(lambda: not is_on_disk())
        with RawWebsocket(app.url, jar) as later:
            assert SECRET not in later.run("c=" + one.address).text
    finally:
        app.stop()


def test_a_closed_page_comes_back_without_deleted_text(tmp_path: Path, model_server: openai_server.Server) -> None:
    """The server keeps the session of a closed page for its browser. The deletion ends that session."""
    model_server.script(otherwise=openai_server.answer("An answer."))
    app = app_process.start(tmp_path / "app", {"OPENAI_BASE_URL": model_server.base_url})
    try:
        jar = http(app.url).cookies
        with RawWebsocket(app.url, jar) as closed:
            ask_and_store(app, closed, SECRET)
        with RawWebsocket(app.url, jar) as open_one:
            delete_all(open_one.run("c=" + closed.address))

        def page_has_ended() -> bool:
            with RawWebsocket(app.url, jar, session=closed.session) as back:
                return SECRET not in back.run().text and back.session != closed.session

        until(page_has_ended)
    finally:
        app.stop()


def test_another_replica_drops_deleted_text(tmp_path: Path, model_server: openai_server.Server) -> None:
    model_server.script(otherwise=openai_server.answer("An answer."))
    shared = {
        "OPENAI_BASE_URL": model_server.base_url, "PARLEY_SIGNING_KEY": "a-signing-key-of-both-replicas-0123456789",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'shared' / 'parley.db'}",
    }  # fmt: skip
    (tmp_path / "shared").mkdir(mode=0o700)
    first = app_process.start(tmp_path / "one", shared)
    second = app_process.start(tmp_path / "two", shared)
    try:
        jar = http(first.url).cookies
        with RawWebsocket(first.url, jar) as one, RawWebsocket(second.url, jar) as other:
            ask_and_store(first, one, SECRET)
            other.run("c=" + one.address)
            assert SECRET in other.text
            delete_all(one)
            other.forget()
            other.until(lambda: other.address == "" and "Ask a question" in other.text)
            assert SECRET not in other.text
    finally:
        first.stop()
        second.stop()


def test_text_that_is_not_stored_goes_when_no_page_shows_it(tmp_path: Path, model_server: openai_server.Server) -> None:
    model_server.script(otherwise=openai_server.answer("An answer."))
    environ = {"OPENAI_BASE_URL": model_server.base_url, "PARLEY_KEEP_TEXT": "false"}
    app = app_process.start(tmp_path / "app", environ)

    def gauge() -> float:
        [line] = [line for line in http(app.url + "/metrics").body.splitlines() if line.startswith(GAUGE + " ")]
        return float(line.split()[-1])

    try:
        jar = http(app.url).cookies
        with RawWebsocket(app.url, jar) as one:
            ask_and_store(app, one, SECRET)
            assert gauge() == 1
        with RawWebsocket(app.url, jar) as reloaded:
            assert SECRET in reloaded.run("c=" + one.address).text
        until(lambda: gauge() == 0, 180)
        with RawWebsocket(app.url, jar) as later:
            assert SECRET not in later.run("c=" + one.address).text
    finally:
        app.stop()


def test_a_conversation_that_is_shown_keeps_its_texts() -> None:
    now = [0.0]
    texts = Texts(lambda: now[0])
    texts.question("open", "a1", "one")
    texts.question("closed", "a2", "two")
    for _ in range(3):
        now[0] += CLOSED_S - 1
        texts.forget_closed({"open", "a conversation of before"})
    assert len(texts) == 1
    texts.forget_conversation("open")
    assert len(texts) == 0
