"""Invitations: the content of a link, its guests, its limits and its end. The browser's part is in
`test_browser_doors.py`."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text

from lib.access.identity import Access
from lib.domain.clock import DAY_MS, now_ms
from lib.domain.invitations import MAX_DAYS, Invitation, Terms, address, new_invitation
from lib.store import Store, schema
from lib.store.database import Database, migrate
from tests.support import app_process, openai_server
from tests.support.operator_tool import Run, run_tool
from tests.support.raw_websocket import RawWebsocket, accept, header, http, refused_with
from tests.support.waiting import ENOUGH_S, until

ACCESS, OTHER = Access("a-signing-key"), Access("another-signing-key")
LATER_S = 4_000_000_000


def invitation(name: str = "Ann", sessions: int | None = None, days: int = 7) -> Invitation:
    return new_invitation(name, Terms(days, sessions), now_ms())


# The link

VISITOR = "ab" * 16
OWN = {"__Host-parley_visitor": ACCESS.visitor_cookie(VISITOR, True).partition("=")[2].partition(";")[0]}


def test_a_link_says_which_invitation_and_until_when() -> None:
    token = ACCESS.invitation_token("0123456789ab", LATER_S)
    assert ACCESS.invitation(token) == ("0123456789ab", LATER_S)
    assert address("https://chat.example.org/parley/", token) == f"https://chat.example.org/parley/invite/{token}"


def test_a_link_that_we_did_not_sign_says_nothing() -> None:
    token = ACCESS.invitation_token("0123456789ab", LATER_S)
    later = token.replace(str(LATER_S), str(LATER_S + 1))
    other = token.replace("0123456789ab", "0123456789ac")
    cookie = ACCESS.guest_cookie("0123456789ab", VISITOR, 1, False).partition("=")[2].partition(";")[0]
    forged = ("", "x", later, other, token[:-1], token + "A", token.upper(), cookie, "é" + token, token * 50)
    assert [ACCESS.invitation(each) for each in forged] == [None] * len(forged)
    assert OTHER.invitation(token) is None


def test_a_guest_is_recognised_by_a_cookie_that_no_script_reads() -> None:
    sent = ACCESS.guest_cookie("0123456789ab", VISITOR, 7, True)
    name, _, value = sent.partition(";")[0].partition("=")
    assert set(sent.split("; ")[1:]) == {"Path=/", "Max-Age=604800", "HttpOnly", "SameSite=Lax", "Secure"}
    assert name == "__Host-parley_guest" and ACCESS.guest(OWN | {name: value}, True) == "0123456789ab"
    assert OTHER.guest(OWN | {name: value}) is None
    assert ACCESS.guest(OWN | {name: value[:-1]}) is None
    assert ACCESS.guest({name: value}, True) is None, "another's invitation is worth nothing"
    assert ACCESS.guest(OWN | {"parley_guest": value}, True) is None, "over https only what cannot be planted"


def test_no_signature_of_one_kind_stands_in_for_another() -> None:
    visitor = ACCESS.visitor_cookie("ab" * 16, False).partition("=")[2].partition(";")[0]
    assert ACCESS.guest({"parley_guest": visitor}) is None
    guest = ACCESS.guest_cookie("0123456789ab", VISITOR, 7, False).partition("=")[2].partition(";")[0]
    assert ACCESS.visitor({"parley_visitor": guest}) is None and ACCESS.invitation(guest) is None


@pytest.mark.parametrize(
    ("name", "days", "sessions", "usd"),
    [
        ("", 1, None, None), (" \n", 1, None, None), ("x" * 81, 1, None, None), ("a\x07b", 1, None, None),
        ("a", 0, None, None), ("a", MAX_DAYS + 1, None, None), ("a", 1, 0, None), ("a", 1, None, 0.0),
        ("a", 1, None, float("nan")), ("a", 1, None, float("inf")),
    ],
)  # fmt: skip
def test_impossible_terms_are_refused_in_a_sentence(
    name: str, days: int, sessions: int | None, usd: float | None
) -> None:
    with pytest.raises(ValueError, match=r"^The .*\.$"):
        new_invitation(name, Terms(days, sessions, usd=usd), 0)


# The record


@pytest.fixture
def parley(database_url: str) -> Iterator[Store]:
    with closing(Store.open(database_url)) as store:
        yield store


def test_a_guest_counts_once_however_often_they_come(parley: Store) -> None:
    made = invitation(sessions=2)
    assert parley.guests.invite(made)
    assert [parley.guests.enter(made.id, visitor) for visitor in ("a", "a", "b", "a", "c", "b")] == [
        None, None, None, None, "used_up", None,
    ]  # fmt: skip
    known = parley.guests.invitation(made.id)
    assert known is not None and known.used == 2 and known.last_ms is not None


def test_looking_at_a_link_uses_no_place(parley: Store) -> None:
    made = invitation(sessions=1)
    assert parley.guests.invite(made)
    assert [parley.guests.may_enter(made.id, visitor) for visitor in (None, "a", "b")] == [None, None, None]
    assert parley.guests.enter(made.id, "a") is None
    assert [parley.guests.may_enter(made.id, visitor) for visitor in ("a", None, "b")] == [None, "used_up", "used_up"]


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_revoked_one_ends_for_those_inside_too(parley: Store, by: str) -> None:
    made, other = invitation("Ann"), invitation("Bo")
    assert parley.guests.invite(made) and parley.guests.invite(other)
    parley.guests.enter(made.id, "a")
    assert parley.guests.revoke(made.name if by == "name" else made.id) == 1
    assert (
        parley.guests.enter(made.id, "a")
        == parley.guests.enter(made.id, "b")
        == parley.guests.may_enter(made.id, "a")
        == "revoked"
    )
    assert parley.guests.enter(other.id, "a") is None
    assert parley.guests.revoke(made.name) == 0


def test_an_expired_one_ends_for_those_inside_too(parley: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = invitation()
    assert parley.guests.invite(made)
    assert parley.guests.enter(made.id, "a") is None
    monkeypatch.setattr("lib.store.guests.now_ms", lambda: made.expires_ms - 1)
    assert parley.guests.enter(made.id, "a") is None
    monkeypatch.setattr("lib.store.guests.now_ms", lambda: made.expires_ms + 1)
    assert parley.guests.enter(made.id, "a") == parley.guests.enter(made.id, "b") == "expired"


def test_an_unknown_invitation_admits_no_guest(parley: Store) -> None:
    assert parley.guests.enter("0123456789ab", "a") == parley.guests.may_enter("0123456789ab", "a") == "unknown"


def test_a_name_is_free_again_when_its_invitation_is_over(parley: Store) -> None:
    assert parley.guests.invite(invitation("Ann"))
    assert not parley.guests.invite(invitation("Ann"))
    parley.guests.revoke("Ann")
    assert parley.guests.invite(invitation("Ann"))
    assert [(one.name, one.over(now_ms())) for one in parley.guests.invitations()] == [
        ("Ann", None),
        ("Ann", "revoked"),
    ]


def test_replicas_that_count_at_the_same_time_let_in_no_more_than_allowed(database_url: str) -> None:
    made = invitation(sessions=5)
    stores = [Store.open(database_url) for _ in range(3)]
    assert stores[0].guests.invite(made)
    with ThreadPoolExecutor(12) as guests:
        came = list(guests.map(lambda number: stores[number % 3].guests.enter(made.id, f"guest {number}"), range(24)))
    assert sorted(came, key=str) == [None] * 5 + ["used_up"] * 19
    known = stores[0].guests.invitation(made.id)
    assert known is not None and known.used == 5
    for store in stores:
        store.close()


def test_consent_is_of_one_visitor_and_one_text(parley: Store) -> None:
    assert not parley.guests.agreed("a", "first")
    assert parley.guests.agree("a", "first").wait(ENOUGH_S) and parley.guests.agree("a", "first").wait(ENOUGH_S)
    assert [parley.guests.agreed(*each) for each in (("a", "first"), ("b", "first"), ("a", "second"))] == [
        True,
        False,
        False,
    ]


def test_a_database_from_before_there_were_guests_gets_the_same_tables(database_url: str) -> None:
    """The migration and the tables of a fresh database must not drift apart."""
    new = ("invitation", "guest", "consent")
    database = Database.open(database_url)

    def shape() -> list[object]:
        inspector = inspect(database.writer)
        return [
            [(column["name"], type(column["type"]), column["nullable"]) for column in inspector.get_columns(name)]
            + [inspector.get_pk_constraint(name)["constrained_columns"]]
            + [(index["name"], index["column_names"]) for index in inspector.get_indexes(name)]
            for name in new
        ]

    fresh = shape()
    with database.writer.begin() as connection:
        for name in new:
            connection.execute(text(f"DROP TABLE {name}"))
        words = ("2 guests", "13 comparing guests")
        connection.execute(schema.migration.delete().where(schema.migration.c.name.in_(words)))
    migrate(database.writer)
    assert shape() == fresh
    database.close()


# The tool


def tool(folder: Path, *words: str, **environ: str) -> Run:
    """`python -m lib invite …` in this folder."""
    return run_tool(folder, "invite", *words, **environ)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    app_process.lay_out(tmp_path)
    return tmp_path


def test_the_tool_makes_lists_and_ends_links(folder: Path) -> None:
    public = {"PARLEY_PUBLIC_URL": "https://chat.example.org", "PARLEY_ACCESS": "invite"}
    made = tool(folder, "--name", "Ann & co", "--sessions", "3", "--group", "Test", "--usd", "2.5", **public)
    assert made.returncode == 0
    [link] = made.stdout.splitlines()
    assert link.startswith("https://chat.example.org/invite/") and "Ann" not in link
    assert "left out of the readout" in made.stderr and "PARLEY_ACCESS" not in made.stderr
    [_, row] = tool(folder, "--list", **public).stdout.splitlines()
    assert row.split("  ")[1] == "Ann & co" and "0 of 3" in row and "2.5" in row and row.endswith(link)
    assert tool(folder, "--revoke", "Ann & co").returncode == 0
    assert "revoked" in tool(folder, "--list").stdout.splitlines()[1]


def test_the_tool_makes_links_for_guests_that_compare(folder: Path) -> None:
    made = tool(folder, "--name", "Friday", "--compare")
    assert made.returncode == 0 and "compares two answers" in made.stderr
    [head, row] = tool(folder, "--list").stdout.splitlines()
    assert "compare" in head and "yes" in row.split()
    with closing(Store.open(f"sqlite:///{folder}/data/parley.db")) as store:
        assert [one.compare for one in store.guests.invitations()] == [True]


def test_the_tool_says_that_a_link_has_no_effect_with_open_access(folder: Path) -> None:
    made = tool(folder, "--name", "Ann")
    assert made.stdout.startswith("http://localhost:8501/invite/") and "PARLEY_ACCESS is open" in made.stderr


@pytest.mark.parametrize(
    ("code", "words", "says"),
    [
        (2, ["--name", "A", "--group", "Nobody"], "it has Control, Test"),
        (2, ["--name", "A", "--days", "0"], "from 1 to 365"),
        (2, ["--name", "A", "--group", "Test", "--compare"], "leave one of the two out"),
        (2, ["--list", "--compare"], "give it a --name"),
        (2, ["--name", "A", "--days", "many"], "invalid int"),
        (2, ["--name", "A", "--list"], "not allowed with"),
        (2, ["--list", "--sessions", "2"], "give it a --name"),
        (2, [], "is required"),
        (1, ["--revoke", "Nobody"], "no open invitation"),
    ],
)
def test_the_tool_says_why_it_refuses(folder: Path, code: int, words: list[str], says: str) -> None:
    run = tool(folder, *words)
    assert (run.returncode, run.stdout) == (code, "")
    assert says in run.stderr


def test_a_taken_name_exits_with_1(folder: Path) -> None:
    assert tool(folder, "--name", "Ann").returncode == 0
    run = tool(folder, "--name", "Ann")
    assert run.returncode == 1 and "already" in run.stderr and run.stdout == ""


# The door


TOKEN = "an-operator-token"


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[app_process.AppProcess]:
    """The app, by invitation."""
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
    """A new link for one browser; its invitation is called Ann."""
    yield invite(closed, record, invitation("Ann", sessions=1))
    record.guests.revoke("Ann")


def invite(app: app_process.AppProcess, record: Store, made: Invitation) -> str:
    assert record.guests.invite(made)
    key = (app.folder / "data/parley.db.signing-key").read_text().strip()
    return address(app.url, Access(key).invitation_token(made.id, made.expires_ms // 1000))


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


@pytest.mark.parametrize("said", [{"Sec_Fetch_Site": "cross-site"}, {"Origin": "https://evil.example"}])
def test_no_other_page_accepts_an_invitation_for_its_reader(
    closed: app_process.AppProcess, link: str, said: dict[str, str]
) -> None:
    met = http(link, "POST", b"", Cookie=header(http(link).cookies), **said)
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
    """The events of this name, as soon as there are any: a page may hear of an end before the record has it."""
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


def test_a_year_is_the_longest() -> None:
    assert new_invitation("a", Terms(MAX_DAYS), 0).expires_ms == MAX_DAYS * DAY_MS
