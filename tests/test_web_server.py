"""The middleware around every request: headers, cookies, names, origins, sessions, permissions."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from lib.store import Store
from tests.support import app_process
from tests.support.raw_websocket import Answer, RawWebsocket, http, refused_with, rerun
from tests.support.waiting import ENOUGH_S

FAR = {"X_Forwarded_For": "203.0.113.7"}
HTTPS = FAR | {"X_Forwarded_Proto": "https"}
TOKEN = "the-operator-token-0123"
PATHS = ("/", "/chat", "/nowhere", "/healthz", "/readyz", "/metrics", "/operator", "/invite/x", "/_stcore/health")


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[app_process.AppProcess]:
    """Yield the app behind a trusted proxy."""
    environ = {"PARLEY_TRUSTED_PROXIES": "127.0.0.1", "PARLEY_OPERATOR_TOKEN": TOKEN}
    app = app_process.start(tmp_path_factory.mktemp("proxied"), environ)
    yield app
    app.stop()
    assert not app.outbound()


# Headers


@pytest.mark.parametrize("path", [*PATHS, "/static/nothing.js", "/media/nothing", "/_stcore/metrics", "/auth/login"])
def test_every_response_has_the_security_headers(proxied: app_process.AppProcess, path: str) -> None:
    for asked in (http(proxied.url + path, **HTTPS), http(proxied.url + path, **HTTPS, Host="evil.example")):
        headers = {name.lower(): value for name, value in asked.headers.items()}
        assert (
            headers["x-content-type-options"] == "nosniff" and "frame-ancestors '" in headers["content-security-policy"]
        )
        assert headers["referrer-policy"] in ("no-referrer", "strict-origin")
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["strict-transport-security"] == "max-age=31536000"


def test_the_policy_lets_nothing_in_or_out_but_our_own(proxied: app_process.AppProcess) -> None:
    header = http(proxied.url).headers["Content-Security-Policy"]
    policy = {name: set(values) for name, *values in (part.split() for part in header.split(";"))}
    assert policy["default-src"] == {"'self'"} and policy["object-src"] == policy["base-uri"] == {"'none'"}
    assert policy["form-action"] == policy["frame-ancestors"] == {"'self'"}
    sources = set().union(*policy.values())
    assert not [source for source in sources if "*" in source or "//" in source or source in ("http:", "https:")]
    assert "'unsafe-inline'" not in policy["script-src"]


def test_without_https_no_browser_is_asked_to_insist_on_it(proxied: app_process.AppProcess) -> None:
    assert http(proxied.url, **FAR).headers["Strict-Transport-Security"] is None


def test_every_page_has_our_icon_and_it_makes_no_visitor(proxied: app_process.AppProcess) -> None:
    icon = http(proxied.url + "/favicon.png")
    assert icon.status == 200 and icon.headers["Content-Type"] == "image/svg+xml" and not icon.cookies
    assert 'href="./favicon.png"' in http(proxied.url).body
    ElementTree.fromstring(icon.body)


def test_the_version_of_the_server_is_not_reported(proxied: app_process.AppProcess) -> None:
    assert http(proxied.url).headers["Server"] in (None, "uvicorn")


# Cookies


def test_a_first_page_gets_a_cookie_and_no_second_one(proxied: app_process.AppProcess) -> None:
    first = http(proxied.url, **FAR)
    [line] = first.set_cookies
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(line.split("; ")) and first.headers[
        "Cache-Control"
    ] == "no-store"
    again = http(proxied.url, **FAR, Cookie=line.partition(";")[0])
    assert again.set_cookies == []


def test_under_https_every_cookie_is_secure_and_ours_is_bound_to_the_host(proxied: app_process.AppProcess) -> None:
    [line] = http(proxied.url, **HTTPS).set_cookies
    assert line.startswith("__Host-parley_visitor=") and line.endswith("; Secure") and "Domain" not in line
    for path in ("/_stcore/health", "/_stcore/host-config", "/auth/login"):
        assert all("secure" in cookie.lower() for cookie in http(proxied.url + path, **HTTPS).set_cookies)


def test_a_cookie_of_the_plain_kind_is_a_stranger_under_https(proxied: app_process.AppProcess) -> None:
    """An attacker on the network could have planted such a cookie."""
    [plain] = http(proxied.url, **FAR).set_cookies
    assert http(proxied.url, **HTTPS, Cookie=plain.partition(";")[0]).set_cookies != []


@pytest.mark.parametrize("value", ["nonsense", "ab" * 16, "ab" * 16 + ".AAAA", "'; DROP TABLE answer", "a" * 3_000])
def test_a_forged_cookie_is_a_new_visitor(proxied: app_process.AppProcess, value: str) -> None:
    [line] = http(proxied.url, **FAR, Cookie=f'parley_visitor="{value}"').set_cookies
    assert value not in line


def test_an_untrusted_client_cannot_say_that_it_is_https(app: app_process.AppProcess) -> None:
    [line] = http(app.url, **HTTPS).set_cookies
    assert line.startswith("parley_visitor=") and "Secure" not in line


def test_a_request_for_another_file_makes_no_visitor(proxied: app_process.AppProcess) -> None:
    for path in ("/healthz", "/readyz", "/_stcore/health", "/static/nothing.js", "/media/nothing"):
        assert "parley_visitor" not in str(http(proxied.url + path).set_cookies)


# Names and origins


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example", "[::1", "a b"]
)
def test_a_name_that_is_not_ours_gets_no_page(app: app_process.AppProcess, host: str) -> None:
    """This includes a name that resolves to this machine (DNS rebinding)."""
    for path in ("/", "/chat", "/operator", "/invite/x", "/_stcore/host-config", "/media/x", "/auth/login"):
        refused = http(app.url + path, Host=host)
        assert refused.status in (400, 403) and refused.set_cookies == []
        assert "<html" not in refused.body


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1", "[::1]:8501", "LOCALHOST"])
def test_our_own_names_get_the_page(app: app_process.AppProcess, host: str) -> None:
    assert http(app.url, Host=host).status == 200


def test_health_checks_are_answered_under_any_name(app: app_process.AppProcess) -> None:
    assert {http(app.url + path, Host="10.1.2.3").status for path in ("/healthz", "/readyz", "/_stcore/health")} == {
        200
    }


def test_a_websocket_by_a_name_that_is_not_ours_is_refused(app: app_process.AppProcess) -> None:
    port = urlsplit(app.url).port or 0
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        pytest.raises(InvalidStatus) as refusal,
        connect(f"ws://evil.example:{port}/_stcore/stream", sock=plain, open_timeout=ENOUGH_S, proxy=None),
    ):
        pass
    assert refusal.value.response.status_code == 403


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost.evil.example"]
)
def test_a_page_of_another_origin_is_refused(app: app_process.AppProcess, origin: str) -> None:
    assert refused_with(app.url, Origin=origin) == 403
    assert http(app.url + "/_stcore/health", Origin=origin).status == 403
    assert http(app.url + "/_stcore/upload_file/a/b", "PUT", b"x", Origin=origin).status == 403
    assert not app.outbound(), "nobody was asked what our address is"


def test_a_page_of_our_own_origin_is_accepted(app: app_process.AppProcess) -> None:
    assert refused_with(app.url, Origin=app.url) is None
    assert http(app.url + "/_stcore/health", Origin=app.url).status == 200


# Numbers


@pytest.mark.parametrize("path", ["/metrics", "/_stcore/metrics"])
def test_numbers_are_for_this_machine_and_operators(proxied: app_process.AppProcess, path: str) -> None:
    assert http(proxied.url + path).status == 200
    assert http(proxied.url + path, **FAR).status == 404
    assert http(proxied.url + path, **FAR, Authorization=f"Bearer {TOKEN}").status == 200
    assert http(proxied.url + path, X_Parley_Local="1", **FAR).status == 404


def test_a_client_cannot_say_that_it_is_on_this_machine(proxied: app_process.AppProcess, tmp_path: Path) -> None:
    app = app_process.start(tmp_path / "open")  # without a token, this machine's browsers are operators
    try:
        seen = {}
        for who, claims in (("here", {}), ("far", FAR), ("liar", FAR | {"X_Parley_Local": "1"})):
            with RawWebsocket(app.url, http(app.url).cookies, **claims) as wire:
                seen[who] = "First token" in wire.run().ask("Hello").text
        assert seen == {"here": True, "far": False, "liar": False}
    finally:
        app.stop()


# Ownership


@pytest.fixture(scope="module")
def jar(proxied: app_process.AppProcess) -> dict[str, str]:
    return http(proxied.url, **FAR).cookies


@pytest.fixture(scope="module")
def conversation_id(proxied: app_process.AppProcess, jar: dict[str, str]) -> str:
    """Return the id of a conversation of the visitor with these cookies."""
    with RawWebsocket(proxied.url, jar, **FAR) as wire:
        wire.run().ask("What is Parley?")
        proxied.wait_written()
        return wire.address


ANSWER = "which model, prompt and"


def test_no_address_and_no_browser_name_is_recorded_or_logged(proxied: app_process.AppProcess) -> None:
    browser = "Mozilla/5.0 (X11; Linux x86_64) Elderflower/17.3"
    cookies = http(proxied.url, **FAR, User_Agent=browser).cookies
    with RawWebsocket(proxied.url, cookies, **FAR, User_Agent=browser) as wire:
        wire.run().ask("What is Parley?")
    proxied.wait_written()
    visitor = cookies["parley_visitor"][:32]
    files = b"".join(file.read_bytes() for file in (proxied.folder / "data").iterdir())
    assert visitor.encode() in files and visitor in proxied.log()
    for secret in ("203.0.113.7", "Elderflower"):
        assert secret.encode() not in files and secret not in proxied.log()


def test_the_address_of_a_browser_without_a_proxy_is_not_logged(app: app_process.AppProcess) -> None:
    here = ("127.0.0.77", 0)
    url = app.url.replace("http", "ws", 1) + "/_stcore/stream"
    by: dict[str, Any] = {"source_address": here, "open_timeout": ENOUGH_S, "max_queue": None, "proxy": None}
    with connect(url, subprotocols=[Subprotocol("streamlit")], **by) as wire:
        wire.send(rerun())
        wire.recv(ENOUGH_S)
    for refused in (url, url.replace("stream", "other")):
        with pytest.raises(InvalidStatus):
            connect(refused, additional_headers={"Host": "evil.example"}, **by)
    with socket.create_connection(("127.0.0.1", urlsplit(app.url).port or 0), source_address=here) as raw:
        raw.sendall(b"no http at all\r\n\r\n")
        assert raw.recv(100)
    assert "127.0.0.77" not in app.log()


def test_the_owner_reads_it(proxied: app_process.AppProcess, jar: dict[str, str], conversation_id: str) -> None:
    with RawWebsocket(proxied.url, jar, **FAR) as wire:
        assert ANSWER in wire.run("c=" + conversation_id).text


def test_no_other_visitor_can_read_it(
    proxied: app_process.AppProcess, jar: dict[str, str], conversation_id: str
) -> None:
    cookie = jar["parley_visitor"]
    forged = "0" * 32 + cookie[32:]
    stranger = http(proxied.url, **FAR).cookies
    for cookies in ({}, stranger, {"parley_visitor": forged}, {"parley_visitor": cookie.partition(".")[0]}):
        for query in (
            f"c={conversation_id}",
            f"c={conversation_id}&c={conversation_id}",
            f"c={conversation_id.upper()}",
            f"c={conversation_id}%00",
            "c=%25",
            f"C={conversation_id}",
        ):
            with RawWebsocket(proxied.url, cookies, **FAR) as wire:
                wire.run(query)
                assert ANSWER not in wire.text and "What is Parley?" not in [text.body for text in wire.widgets("text")]


def test_no_other_visitor_takes_over_its_session(
    proxied: app_process.AppProcess, jar: dict[str, str], conversation_id: str
) -> None:
    with RawWebsocket(proxied.url, jar, **FAR) as owner:
        owner.run("c=" + conversation_id)
        for cookies in ({}, http(proxied.url, **FAR).cookies):
            with RawWebsocket(proxied.url, cookies, session=owner.session, **FAR) as thief:
                assert thief.run("c=" + conversation_id).session != owner.session and ANSWER not in thief.text
        owner.forget()
        assert ANSWER in owner.run("c=" + conversation_id).text, "and the owner noticed nothing"
    with RawWebsocket(proxied.url, jar, session=owner.session, **FAR) as again:
        assert again.run("c=" + conversation_id).session == owner.session


def test_no_other_visitor_rates_renames_or_deletes_it(
    proxied: app_process.AppProcess, jar: dict[str, str], conversation_id: str
) -> None:
    """The ids of the owner's widgets have no effect when another visitor sends them."""
    with RawWebsocket(proxied.url, jar, **FAR) as owner:
        owner.run("c=" + conversation_id)
        thumb = owner.widgets("feedback")[-1].id
        name = owner.widgets("text_input")[0].id
        buttons = [(button.id, "trigger_value", True) for button in owner.widgets("button")]
    states = [(thumb, "string_value", "0"), (name, "string_value", "Mine now"), *buttons]
    for cookies in ({}, http(proxied.url, **FAR).cookies):
        with RawWebsocket(proxied.url, cookies, **FAR) as thief:
            thief.run("c=" + conversation_id).run("c=" + conversation_id, states=states).run(states=states)
    with RawWebsocket(proxied.url, jar, **FAR) as owner:
        owner.run("c=" + conversation_id)
        assert ANSWER in owner.text and "Mine now" not in owner.text
        assert not owner.widgets("feedback")[-1].HasField("default")
    with closing(Store.open(f"sqlite:///{proxied.folder}/data/parley.db")) as store:
        names = {event["name"] for event in store.events.export()}
    assert names == {"exposure", "chat_completion"}


def test_a_tester_learns_nothing_of_the_experiment(
    proxied: app_process.AppProcess, jar: dict[str, str], conversation_id: str
) -> None:
    with RawWebsocket(proxied.url, jar, **FAR) as wire:
        wire.run("c=" + conversation_id).ask("Hello").run(page="results").run("group=Test").run()
    for word in ("gpt-", "Control", "statsig_openai", "rule_id", "time_to_first_token", "First token", "cost_usd"):
        assert word not in wire.text, word
    assert not re.search(r"\bTest\b", wire.text)


def test_an_unreadable_frame_affects_no_other_visitor(proxied: app_process.AppProcess) -> None:
    url = proxied.url.replace("http", "ws", 1) + "/_stcore/stream"
    for junk in (b"\xff" * 1_000, b"", "text"):
        with connect(url, subprotocols=[Subprotocol("streamlit")], open_timeout=ENOUGH_S, proxy=None) as wire:
            wire.send(junk)
    assert http(proxied.url + "/healthz").status == 200
    assert "Traceback" not in json.dumps(http(proxied.url + "/readyz").body)


def test_strangers_read_only_that_it_is_ready(proxied: app_process.AppProcess) -> None:
    answer: Answer = http(proxied.url + "/readyz", **FAR)
    assert json.loads(answer.body) == {"status": "ready"}
    token: Answer = http(proxied.url + "/readyz", **FAR, Authorization=f"Bearer {TOKEN}")
    assert set(json.loads(token.body)) == {"status", "version", "definitions", "statsig", "demo"}
