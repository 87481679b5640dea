"""The door of an app by invitation, over HTTP and Streamlit's websocket. The browser's part is in
`test_browser_doors.py`."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lib.store import Store
from tests.support import app_process, openai_server
from tests.support.invitation_links import invitation, invite
from tests.support.raw_websocket import RawWebsocket, accept, header, http, refused_with
from tests.support.waiting import until

TOKEN = "an-operator-token"


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[app_process.AppProcess]:
    """Yield the app, open by invitation only."""
    environ = {"PARLEY_ACCESS": "invite", "PARLEY_TITLE": "The secret test", "PARLEY_GREETING": "Hello, dear insider"}
    app = app_process.start(tmp_path_factory.mktemp("closed"), environ | {"PARLEY_OPERATOR_TOKEN": TOKEN})
    yield app
    app.stop()


INSIDE = ("secret test", "dear insider", "Ask anything", "What is Parley?", "Test", "Control", "gpt-", "statsig_")


@pytest.fixture
def record(closed: app_process.AppProcess) -> Iterator[Store]:
    with closing(Store.open(f"sqlite:///{closed.folder}/data/parley.db")) as store:
        yield store


@pytest.fixture
def link(closed: app_process.AppProcess, record: Store) -> Iterator[str]:
    """Yield a new link for one browser; its invitation is called Ann."""
    yield invite(closed, record, invitation("Ann", sessions=1))
    record.guests.revoke("Ann")


def test_without_a_link_nothing_of_the_app_is_sent(closed: app_process.AppProcess) -> None:
    with RawWebsocket(closed.url, http(closed.url).cookies) as wire:
        wire.run().run("c=" + "0" * 32).run(page="results").run(page="chat").run("group=Test")
        assert "This page is by invitation" in wire.text
        assert [word for word in INSIDE if word in wire.text] == []
        assert wire.widgets("chat_input") == wire.widgets("button") == []


def test_a_link_leaves_the_address_bar_and_lets_the_guest_in_after_one_click(
    closed: app_process.AppProcess, link: str
) -> None:
    opened = http(link)
    assert opened.status == 200 and set(opened.cookies) == {"parley_visitor"} and 'method="post"' in opened.body
    assert opened.headers["Cache-Control"] == "no-store" and opened.headers["Referrer-Policy"] == "strict-origin"
    entered = http(link, "POST", b"", Cookie=header(opened.cookies), Origin=closed.url, Sec_Fetch_Site="same-origin")
    assert (entered.status, entered.headers["Location"], entered.body) == (303, "/", "")
    assert set(entered.cookies) == {"parley_guest"}
    assert all("HttpOnly" in line and "SameSite=Lax" in line for line in entered.set_cookies)
    with RawWebsocket(closed.url, opened.cookies | entered.cookies) as wire:
        assert wire.run().widgets("chat_input") and "dear insider" in wire.text


@pytest.mark.parametrize("forged", [{"Sec_Fetch_Site": "cross-site"}, {"Origin": "https://evil.example"}])
def test_no_other_page_accepts_an_invitation_for_its_reader(
    closed: app_process.AppProcess, link: str, forged: dict[str, str]
) -> None:
    met = http(link, "POST", b"", Cookie=header(http(link).cookies), **forged)
    assert met.status == 403 and "parley_guest" not in met.cookies


def test_opening_a_link_often_does_not_use_it_up(closed: app_process.AppProcess, link: str) -> None:
    """Link previews of a chat open a link before the guest does."""
    assert [http(link).status for _ in range(3)] == [200] * 3
    with RawWebsocket(closed.url, accept(link)) as wire:
        assert wire.run().widgets("chat_input")


def test_a_browser_without_cookies_uses_no_invitation_up(closed: app_process.AppProcess, link: str) -> None:
    for _ in range(3):
        met = http(link, "POST", b"")
        assert met.status == 403 and "needs cookies" in met.body and "parley_guest" not in met.cookies
    jar = accept(link)
    for cookies in ({"parley_guest": jar["parley_guest"]}, {"parley_guest": jar["parley_guest"]} | http(link).cookies):
        for _ in range(2):
            with RawWebsocket(closed.url, cookies) as wire:
                assert "This page is by invitation" in wire.run().text
    with RawWebsocket(closed.url, jar) as wire:
        assert wire.run().widgets("chat_input")


def test_a_used_up_link_is_reported_kindly_and_a_reload_is_no_second_use(
    closed: app_process.AppProcess, link: str
) -> None:
    first, second = accept(link), accept(link)
    for _ in range(2):
        with RawWebsocket(closed.url, first) as wire:
            assert wire.run().widgets("chat_input")
    refused = http(link)
    assert refused.status == 410 and "used up" in refused.body and "parley_guest" not in refused.cookies
    assert [word for word in INSIDE if word in refused.body] == []
    with RawWebsocket(closed.url, second) as wire:  # opened in time, used too late
        assert "used up" in wire.run().text and not wire.widgets("chat_input")


def test_a_guest_cookie_is_worth_nothing_without_its_visitor(closed: app_process.AppProcess, link: str) -> None:
    jar = accept(link)
    with RawWebsocket(closed.url, jar) as wire:
        assert wire.run().widgets("chat_input")
    stolen = {"parley_guest": jar["parley_guest"]}
    for cookies in (stolen, stolen | http(closed.url).cookies):
        with RawWebsocket(closed.url, cookies) as wire:
            assert "by invitation" in wire.run().text and not wire.widgets("chat_input")


def test_a_forged_link_is_reported_kindly(closed: app_process.AppProcess, link: str) -> None:
    for forged in (link[:-1], link + "A", closed.url + "/invite/nonsense", closed.url + "/invite/" + "A" * 500):
        refused = http(forged)
        assert refused.status == 403 and "does not work" in refused.body and "parley_guest" not in refused.cookies


def test_a_revoked_guest_sees_nothing_more(closed: app_process.AppProcess, link: str, record: Store) -> None:
    with RawWebsocket(closed.url, accept(link)) as wire:
        wire.run().ask("What is Parley?")
        record.guests.revoke("Ann")
        wire.forget()
        wire.run()
        assert "This invitation has ended" in wire.text and [word for word in INSIDE if word in wire.text] == []
    assert http(link).status == 410


def test_the_question_of_a_guest_revoked_a_moment_ago_reaches_no_model(
    closed: app_process.AppProcess, record: Store
) -> None:
    link = invite(closed, record, invitation("Moment"))
    with RawWebsocket(closed.url, accept(link)) as wire:
        wire.run()
        before = len(list(record.events.export()))
        record.guests.revoke("Moment")
        wire.ask("What is Parley?")
        assert "This invitation has ended" in wire.text and len(list(record.events.export())) == before


def events_named(store: Store, name: str) -> list[dict[str, Any]]:
    """Wait for events of this name, and return them. A page may show an end before the record has it."""
    return until(lambda: [event for event in store.events.export() if event["name"] == name])


def test_an_answer_under_way_ends_with_the_invitation(tmp_path: Path, model_server: openai_server.Server) -> None:
    model_server.script(otherwise=openai_server.answer("word " * 400, pace=0.05))
    environ = {"PARLEY_ACCESS": "invite", "OPENAI_BASE_URL": model_server.base_url}
    app = app_process.start(tmp_path / "app", environ)
    try:
        with closing(Store.open(f"sqlite:///{app.folder}/data/parley.db")) as store:
            link = invite(app, store, invitation("Ann"))
            with RawWebsocket(app.url, accept(link)) as wire:
                wire.run()

                def revoke_under_way() -> None:
                    until(lambda: model_server.requests)
                    store.guests.revoke("Ann")

                revoking = threading.Thread(target=revoke_under_way)
                revoking.start()
                wire.ask("A long story, please")
                revoking.join()
                assert "This invitation has ended" in wire.text
            [completion] = events_named(store, "chat_completion")
            assert completion["value"] == "stopped"
    finally:
        app.stop()


def test_without_the_record_no_new_guest_comes_in_and_guests_inside_stay(tmp_path: Path) -> None:
    app = app_process.start(tmp_path / "app", {"PARLEY_ACCESS": "invite"})
    try:
        with closing(Store.open(f"sqlite:///{app.folder}/data/parley.db")) as store:
            link = invite(app, store, invitation("Ann"))
        jar = accept(link)
        with RawWebsocket(app.url, jar) as inside, RawWebsocket(app.url, accept(link)) as late:
            assert inside.run().widgets("chat_input")
            (app.folder / "data/parley.db").rename(app.folder / "data/away.db")
            assert "cannot be used right now" in late.run().text and not late.widgets("chat_input")
            inside.forget()
            assert "by invitation" not in inside.run().text and inside.widgets("chat_input")
            (app.folder / "data/away.db").rename(app.folder / "data/parley.db")
    finally:
        app.stop()


def test_every_way_in_and_every_refusal_is_in_the_log(closed: app_process.AppProcess, record: Store) -> None:
    made = invitation("Logged")
    link = invite(closed, record, made)
    with RawWebsocket(closed.url, accept(link)) as wire:
        wire.run()
        record.guests.revoke("Logged")
        wire.run()
    http(link)
    http(closed.url + "/invite/nonsense")
    with RawWebsocket(closed.url, http(closed.url).cookies, Authorization=f"Bearer {TOKEN}") as wire:
        wire.run()
    refused_with(closed.url, Origin="https://evil.example")
    for line in (
        f"a guest came in invitation={made.id}", "a guest was refused cause=revoked",
        "an invitation was refused cause=revoked", "an invitation was refused cause=unknown",
        "an operator's session began", "a request from a foreign page was refused",
    ):  # fmt: skip
        assert line in closed.log(), line
    assert "Logged" not in closed.log() and link.rpartition("/")[2] not in closed.log()


def test_a_forced_group_is_marked_and_the_name_goes_nowhere(closed: app_process.AppProcess, record: Store) -> None:
    made = replace(invitation("Zebedee"), group="Test")
    link = invite(closed, record, made)
    with RawWebsocket(closed.url, accept(link)) as wire:
        wire.run().ask("What is Parley?")
        assert "Zebedee" not in wire.text and made.id not in wire.text
    [completion] = until(
        lambda: [event for event in record.events.export() if event["metadata"].get("invitation") == made.id]
    )
    theirs = [event for event in record.events.export() if event["user_id"] == completion["user_id"]]
    [exposure] = [event for event in theirs if event["name"] == "exposure"]
    assert exposure["metadata"]["forced"] is True
    assert exposure["metadata"]["group"] == "Test" and completion["metadata"]["invitation"] == made.id
    assert "Zebedee" not in str(list(record.events.export())) and "Zebedee" not in closed.log()
    record.guests.revoke("Zebedee")


def test_an_operator_with_the_token_needs_no_invitation(closed: app_process.AppProcess) -> None:
    with RawWebsocket(closed.url, http(closed.url).cookies, Authorization=f"Bearer {TOKEN}") as wire:
        assert wire.run().widgets("chat_input")


def test_an_open_app_lets_guests_with_a_link_go_on(app: app_process.AppProcess) -> None:
    opened = http(app.url + "/invite/whatever")
    assert (opened.status, opened.headers["Location"]) == (303, "/") and "parley_guest" not in opened.cookies


def test_a_browser_on_this_machine_still_needs_an_invitation(tmp_path: Path) -> None:
    """Behind a proxy without forwarding headers every browser seems to be on this machine."""
    app = app_process.start(tmp_path / "app", {"PARLEY_ACCESS": "invite"})
    try:
        with RawWebsocket(app.url, http(app.url).cookies) as wire:
            assert "by invitation" in wire.run().text and not wire.widgets("chat_input")
    finally:
        app.stop()
