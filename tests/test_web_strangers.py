"""A stranger requests every page and every route by every method, and finds no data of others."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from lib.access.identity import Access
from lib.domain.clock import now_ms
from lib.domain.invitations import Terms, new_invitation
from lib.store import Store, audit, states
from lib.web import paths
from tests.support import app_process
from tests.support.page_runs import ROOT, new_session, open_app
from tests.support.raw_websocket import Answer, RawWebsocket, header, http
from tests.support.waiting import ENOUGH_S, until

FAR = {"X_Forwarded_For": "203.0.113.7"}
TOKEN, QUESTION = "the-operator-token-0123", "What do I tell my doctor?"
LIST_ROUTES = """
from streamlit_app import app
for route in app._build_starlette_app().routes:
    for method in sorted(getattr(route, "methods", None) or {"GET"}):
        print(method, getattr(route, "path", "") or "/")
"""
PAGES = (
    "",
    "chat",
    "results",
    "experiment",
    "history",
    "events",
    "sign-in",
    "frame",
    "door",
    "sign_in",
    "nowhere",
    "..%2F..%2Flib",
)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[app_process.AppProcess]:
    """Yield the app, open by invitation only, with settings that no stranger may see."""
    environ = {
        "PARLEY_ACCESS": "invite", "PARLEY_TITLE": "The secret test", "PARLEY_OPERATOR_TOKEN": TOKEN,
        "PARLEY_OPERATORS": "boss@example.org", "PARLEY_SIGNING_KEY": "the-signing-key-0123",
        "OPENAI_API_KEY": "sk-key-0123",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/secret-gateway/v1", "PARLEY_CONSENT": "The notice for insiders.",
        "PARLEY_TRUSTED_PROXIES": "127.0.0.1",
    }  # fmt: skip
    app = app_process.start(tmp_path_factory.mktemp("closed"), environ)
    yield app
    app.stop()
    assert not app.outbound()


@pytest.fixture(scope="module")
def secrets(closed: app_process.AppProcess) -> list[str]:
    """Return texts that no stranger may find: settings, the experiment, an operator's question, a guest's name."""
    jar = http(closed.url, **FAR).cookies
    with closing(Store.open(f"sqlite:///{closed.folder}/data/parley.db")) as store:
        made = replace(new_invitation("Zebedee", Terms(days=7), now_ms()), id="0123456789ab")
        assert store.guests.invite(made)
        with RawWebsocket(closed.url, jar, Authorization=f"Bearer {TOKEN}", **FAR) as wire:
            wire.run()
            wire.run(states=[(wire.widgets("button")[-1].id, "trigger_value", True)]).ask(QUESTION)
            conversation = wire.address
            assert all(word in wire.text for word in (QUESTION, "Ask anything", "secret test", "notice for insiders"))
        closed.wait_written()
        ids = {value for event in store.events.export() for value in (event["user_id"], event["event_id"])}
        recorded = [event["metadata"] for event in store.events.export()]
    assert len(recorded) == 2
    ids |= {metadata[name] for metadata in recorded for name in ("answer_id", "session_id") if name in metadata}
    return [
        conversation, *ids, QUESTION, "doctor", "secret test", "Zebedee", "0123456789ab", TOKEN, "boss@", "signing-key",
        "sk-key", "secret-gateway", "notice for insiders", "Control", "gpt-", "statsig_openai", "rule_id", "parley.db",
        "Traceback", "What is Parley?", "Ask anything",
    ]  # fmt: skip


def leaked(text: str, secrets: list[str]) -> list[str]:
    return [secret for secret in secrets if secret in text]


@cache
def routes(folder: Path) -> list[tuple[str, str]]:
    """Return every route of the app, Parley's and Streamlit's, as the app itself lists them."""
    environ = {"PYTHONPATH": str(folder), "PATH": "", "HOME": str(folder), "PARLEY_SIGNING_KEY": "the-signing-key-0123"}
    command = [sys.executable, "-c", LIST_ROUTES]
    run = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=True, timeout=ENOUGH_S)
    return [(method, path) for method, _, path in (line.partition(" ") for line in run.stdout.splitlines())]


def test_the_list_of_routes_has_every_known_route(closed: app_process.AppProcess) -> None:
    paths = {path for _, path in routes(closed.folder)}
    assert {"/healthz", "/readyz", "/metrics", "/operator", "/invite/{token}", "/_stcore/stream"} <= paths
    assert len(paths) > 15


def test_no_route_reveals_anything_to_a_stranger(closed: app_process.AppProcess, secrets: list[str]) -> None:
    conversation = secrets[0]
    jar = http(closed.url, **FAR).cookies
    walked = 0
    for method, pattern in routes(closed.folder):
        for filling in (conversation, "0123456789ab", "..%2F..%2Fdata%2Fparley.db", "frame.py"):
            path = re.sub(r"\{[^}]+\}", filling, pattern) + f"?c={conversation}&group=Test&families=session_events"
            body = b'{"id": 1}' if method in ("POST", "PUT", "PATCH") else None
            for cookies in ({}, jar):
                named = FAR | {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
                met = http(closed.url + path, method, body, **named)
                where = f"{method} {path}: {met.status}"
                assert met.status < 500 or pattern == "/readyz", where
                assert leaked(met.body + str(met.headers), [each for each in secrets if each not in path]) == [], where
                walked += 1
            if "{" not in pattern:
                break
    assert walked > 60


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_no_page_reveals_anything_to_a_stranger_by_any_method(
    closed: app_process.AppProcess, secrets: list[str], method: str
) -> None:
    pages = {page: http(f"{closed.url}/{page}?c={secrets[0]}", method, **FAR) for page in PAGES}
    for page, met in pages.items():
        assert met.status < 500 and leaked(met.body, secrets[1:]) == [], page
    assert _same(pages["results"], pages["nowhere"]) and _same(pages["experiment"], pages["nowhere"])


def _same(one: Answer, other: Answer) -> bool:
    return (one.status, one.body) == (other.status, other.body)


@pytest.mark.parametrize("page", PAGES)
def test_no_message_of_any_page_reveals_anything_to_a_stranger(
    closed: app_process.AppProcess, secrets: list[str], page: str
) -> None:
    for cookies in ({}, http(closed.url, **FAR).cookies):
        with RawWebsocket(closed.url, cookies, **FAR) as wire:
            wire.run(page=page).run(f"c={secrets[0]}", page).run("group=Test", page)
            assert "This page is by invitation" in wire.text
            assert leaked(wire.text, secrets) == []
            assert wire.widgets("button") == wire.widgets("chat_input") == wire.widgets("download_button") == []


def test_operator_pages_are_as_unknown_as_any_other(closed: app_process.AppProcess, secrets: list[str]) -> None:
    """A stranger's browser gets the same for `/results` as for `/nowhere`."""
    answers = {}
    for page in ("results", "experiment", "history", "events", "nowhere"):
        with RawWebsocket(closed.url, None, **FAR) as wire:
            wire.run(page=page)
            answers[page] = (
                [came.WhichOneof("type") for came in wire.messages],
                [came.navigation.app_pages for came in wire.messages if came.WhichOneof("type") == "navigation"],
            )
    assert all(one == answers["nowhere"] for one in answers.values())
    assert [[each.page_name for each in pages] for pages in answers["results"][1]] == [["Welcome"]]


def test_a_wrong_address_is_answered_by_a_page_of_ours(closed: app_process.AppProcess, secrets: list[str]) -> None:
    browser = FAR | {"Accept": "text/html,*/*"}
    met = http(closed.url + "/nowhere", **browser)
    assert met.status == 404 and "There is no page here" in met.body and 'href="/"' in met.body
    assert leaked(met.body, secrets) == [] and met.set_cookies == []
    for page in (
        "results",
        "experiment/",
        "history",
        "events",
        "results/deeper",
        "auth/nothing",
        "invite/a/b",
        "index.html",
    ):
        assert _same(http(f"{closed.url}/{page}", **browser), met), page
    assert http(closed.url + "/nowhere", **FAR, Accept="*/*").body == "Not Found"
    operator = http(closed.url + "/results", **browser, Authorization=f"Bearer {TOKEN}")
    assert operator.status == 200 and "There is no page here" not in operator.body
    assert http(closed.url + "/nowhere", **browser, Authorization=f"Bearer {TOKEN}").status == 404


def test_the_server_knows_every_page_of_the_frame() -> None:
    registered = re.findall(r'url_path="([^"]+)"', (app_process.ROOT / "pages" / "frame.py").read_text())
    assert {f"/{one}" for one in registered} <= paths.PAGES | paths.OPERATOR_PAGES and len(registered) > 4


def test_a_tester_of_an_open_app_finds_no_operator_page_either(app: app_process.AppProcess) -> None:
    with RawWebsocket(app.url, http(app.url).cookies, **FAR) as wire:
        for page in ("results", "experiment", "history", "events"):
            wire.run(page=page)
        names = {
            each.page_name for came in wire.messages if came.WhichOneof("type") == "navigation"
            for each in came.navigation.app_pages
        }  # fmt: skip
    assert names == {"Chat"}


State = tuple[str, str, object]


def forged_states(wire: RawWebsocket) -> list[State]:
    """Return the states that fill in every field and press every button of an operator's page."""
    fields: list[State] = [
        (one.id, "string_value", "forged") for kind in ("text_input", "text_area") for one in wire.widgets(kind)
    ]
    return [*fields, *((one.id, "trigger_value", True) for one in wire.widgets("button"))]


def acts_of(clicks: list[State]) -> set[str]:
    """Return the acts among the pressed buttons, by their keys."""
    words = (re.sub(r"_\d+$", "", one.rpartition("-")[2]) for one, _, _ in clicks)
    return {word for word in words if word.endswith(("_now", "_version"))}


def record(app: app_process.AppProcess) -> dict[str, object]:
    """Return everything that an operator can change."""
    with closing(Store.open(f"sqlite:///{app.folder}/data/parley.db")) as store:
        with store.read() as connection:
            result: dict[str, object] = {
                "states": states.states(connection),
                "runs": states.runs(connection),
                "decisions": states.decisions(connection),
                "acts": [one for one in audit.entries(connection, limit=None) if one.act != "read texts"],
            }
        return result | {"invitations": store.guests.invitations()}


def test_a_tester_who_forges_every_click_of_an_operator_changes_nothing(app: app_process.AppProcess) -> None:
    with RawWebsocket(app.url, http(app.url).cookies) as operator:
        operator.run(page="experiment").run(page="history")
        clicks = forged_states(operator)
    assert {"pause_now", "end_now", "decide_now", "disable_now", "schedule_now", "create_now"} <= acts_of(clicks)
    before = record(app)
    with RawWebsocket(app.url, http(app.url).cookies, **FAR) as wire:
        wire.run(page="experiment").run(page="experiment", states=clicks).run(page="history", states=clicks)
        wire.run(page="chat", states=clicks)
        assert not {one.id for one in wire.widgets("button")} & {one for one, _, _ in clicks}
    assert record(app) == before


def sign_out_elsewhere(app: app_process.AppProcess, cookies: dict[str, str]) -> None:
    """End the session of these cookies as another replica does, and wait until this one knows it."""
    session = Access("the-signing-key-0123", operator_token=TOKEN).operator_session(cookies)
    assert session and http(app.url + "/metrics", **FAR, Cookie=header(cookies)).status == 200
    with closing(Store.open(f"sqlite:///{app.folder}/data/parley.db")) as store:
        store.guests.end_sessions([session])
    until(lambda: http(app.url + "/metrics", **FAR, Cookie=header(cookies)).status != 200)


def test_an_operator_who_was_signed_out_changes_nothing_from_a_page_that_is_still_open(
    closed: app_process.AppProcess,
) -> None:
    given = http(closed.url + "/operator", "POST", f"token={TOKEN}".encode(), **FAR).cookies
    cookies = http(closed.url, **FAR).cookies | given
    with RawWebsocket(closed.url, cookies, **FAR) as page, RawWebsocket(closed.url, cookies, **FAR) as history:
        clicks = forged_states(page.run(page="experiment"))
        assert {"pause_now", "end_now", "decide_now", "disable_now", "schedule_now", "create_now"} <= acts_of(clicks)
        files = [one.deferred_file_id for one in history.run(page="history").widgets("download_button")]
        assert files and history.download(files[0]).startswith("/media/")
        sign_out_elsewhere(closed, cookies)
        before = record(closed)
        page.run(page="experiment", states=clicks)
        assert record(closed) == before
        assert [history.download(one) for one in files] == ["Failed to generate file for download"] * len(files)


@pytest.mark.parametrize("page", ["results", "experiment", "history", "events"])
def test_the_script_of_an_operators_page_draws_nothing_for_others(tmp_path: Path, page: str) -> None:
    with open_app(tmp_path):
        script = new_session(f"{ROOT}/pages/{page}/page.py")
        script.session_state["operator"] = False
        script.run()
        assert not script.exception and not script.main.children
