"""A client that is not a browser: its routes, its messages and their size, and its forged headers."""

import re
import socket
import string
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from lib.access.crowd import AT_ONCE, AT_ONCE_OF_ALL, PAGES, PLACES, QUESTIONS, VISITORS, Crowd
from lib.logs import A_PLACE
from lib.web.frames import BURST, EXPIRES_S, LARGE, WIDGETS, LargeMessages, largest, usual
from tests.conftest import StartApp
from tests.support import app_process
from tests.support.clock import Clock
from tests.support.raw_websocket import RawWebsocket, header, http, refused_with, rerun
from tests.support.waiting import ENOUGH_S, until

FAR = {"X_Forwarded_For": "203.0.113.7"}
UNUSED = (
    "/_stcore/upload_file/a/b", "/_stcore/upload_file/", "/_stcore/upload_file", "/component/a/b.js",
    "/_stcore/bidi-components/a/b.js", "/_stcore/script-health-check", "/_stcore/agent/openapi.json",
    "/_stcore/agent/interact", "/_stcore/agent/mcp", "/app/static/a.png", "/_stcore/",
    "/_stcore/allowed-message-origins",
    "/_stcore/message", "/_STCORE/upload_file/a/b", "//_stcore/upload_file/a/b", "/%5fstcore/upload_file/a/b",
)  # fmt: skip


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[app_process.AppProcess]:
    """Yield the app behind a trusted proxy."""
    environ = {"PARLEY_TRUSTED_PROXIES": "127.0.0.1", "PARLEY_OPERATOR_TOKEN": "the-token-of-the-operators"}
    app = app_process.start(tmp_path_factory.mktemp("proxied"), environ)
    yield app
    app.stop()
    assert not app.outbound(), "nobody was asked for anything"
    assert "raceback" not in app.log()


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("path", UNUSED)
def test_what_parley_does_not_use_of_streamlit_does_not_exist(
    app: app_process.AppProcess, path: str, method: str
) -> None:
    jar = http(app.url + "/_stcore/health").cookies
    token = jar.get("_streamlit_xsrf", "")
    body = b"x" * 100_000 if method in ("PUT", "POST", "PATCH") else None
    met = http(app.url + path, method, body, Cookie=header(jar), X_Xsrftoken=token)
    assert met.status == 404 and "parley_visitor" not in met.cookies


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/", "/chat", "/healthz", "/media/x", "/auth/login", "/static/js/x.js", "/metrics"])
def test_nothing_is_sent_where_there_is_no_form(app: app_process.AppProcess, path: str, method: str) -> None:
    met = http(app.url + path, method, b"x" if method in ("PUT", "POST", "PATCH") else None)
    assert met.status == 405 and met.set_cookies == []


# Claims


HOSTILE = ("evil.example", "evil.example:80", "169.254.169.254", "[", "a b", "localhost, evil.example")


@pytest.mark.parametrize("name", ["X_Forwarded_Host", "Forwarded", "X_Original_Host", "X_Forwarded_Server", "X_Host"])
@pytest.mark.parametrize("value", HOSTILE)
def test_a_forged_host_admits_no_foreign_page_and_causes_no_request(
    proxied: app_process.AppProcess, name: str, value: str
) -> None:
    claim = {name: f"host={value};proto=https" if name == "Forwarded" else value}
    for origin in (f"http://{value}", "https://evil.example", "http://evil.example:80"):
        met = http(proxied.url, **FAR, **claim, Origin=origin)
        assert met.status in (400, 403)
        assert refused_with(proxied.url, **FAR, **claim, Origin=origin) is not None
    assert http(proxied.url, **FAR, **claim).status == 200
    assert refused_with(proxied.url, **FAR, **claim, Origin=proxied.url) is None


def test_a_name_of_ours_that_a_trusted_proxy_replaced_counts(proxied: app_process.AppProcess) -> None:
    headers = FAR | {"X_Forwarded_Host": "localhost:9999", "Origin": "http://localhost:9999"}
    assert http(proxied.url, **headers).status == 200 and refused_with(proxied.url, **headers) is None


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "//", "http://]", "[", "http://[fe80::1%25eth0]:x"])
@pytest.mark.parametrize("path", ["/", "/healthz", "/nowhere", "/operator", "/_stcore/health"])
def test_a_malformed_origin_is_refused_with_all_headers(
    proxied: app_process.AppProcess, path: str, origin: str
) -> None:
    met = http(proxied.url + path, **FAR, Origin=origin)
    assert met.status in (400, 403) and met.headers["X-Content-Type-Options"] == "nosniff"
    assert met.headers["Content-Security-Policy"] and met.set_cookies == []


@pytest.mark.parametrize("path", ["/healthzz", "/healthz/x", "/readyz.html", "/metrics/x", "/_stcore/healthy"])
def test_an_unknown_path_under_a_foreign_name_is_refused(app: app_process.AppProcess, path: str) -> None:
    met = http(app.url + path, Host="evil.example")
    assert met.status in (403, 404) and "<html" not in met.body and met.set_cookies == []


def test_only_a_named_proxy_says_where_a_request_comes_from(tmp_path: Path) -> None:
    """Check it on a server that listens on loopback alone, as behind nginx, where uvicorn would trust the header."""
    app = app_process.start(tmp_path, options=["--server.address=127.0.0.1"])
    try:
        [line] = http(app.url, **FAR, X_Forwarded_Proto="https").set_cookies
        assert line.startswith("parley_visitor=") and "Secure" not in line
    finally:
        app.stop()


# Messages


WIDGET = "$$ID-0-None"
"""A widget's id in Streamlit's format. An id of another format would be a key of the session's state."""


def page_of(url: str, **more: Any) -> ClientConnection:
    """Open a page's connection. It has no limit of unread messages, at which closing it would take ten seconds."""
    opened: ClientConnection = connect(
        url.replace("http", "ws", 1) + "/_stcore/stream", subprotocols=[Subprotocol("streamlit")],
        open_timeout=ENOUGH_S, ping_interval=None, max_size=None, max_queue=None, compression=None, proxy=None, **more,
    )  # fmt: skip
    return opened


def close_code(url: str, data: bytes | str, cookies: Mapping[str, str] | None = None) -> int | None:
    """Return the code with which the server closed a page's connection after this message; None if it stayed open."""
    named = {"Cookie": header(cookies)} if cookies else {}
    with page_of(url, additional_headers=named) as wire:
        try:
            wire.send(data)
            wire.send(rerun())
            wire.recv(ENOUGH_S)
            return None
        except ConnectionClosed as ended:
            return ended.rcvd.code if ended.rcvd else 1006


def test_a_message_has_the_room_that_a_prompt_needs_and_no_more(proxied: app_process.AppProcess) -> None:
    fits = rerun(states=[(WIDGET, "string_value", "x" * (largest(8_000) - 1_000))])
    assert close_code(proxied.url, fits) is None
    assert close_code(proxied.url, rerun(states=[(WIDGET, "string_value", "x" * largest(8_000))])) == 1009
    reset = 1006  # the server may close before it has read all, and the reason is lost
    assert close_code(proxied.url, b"\x00" * 24_000_000) in (1009, reset)


ARRAYS: dict[str, list[Any]] = {"string_array_value": [""], "int_array_value": [0], "double_array_value": [0.0]}


def _many(field: str) -> bytes:
    """Return a message of a few hundred kilobytes that is large by the number of its parts."""
    message = BackMsg()
    asked = message.rerun_script
    if field == "widgets":
        for number in range(WIDGETS + 1):
            asked.widget_states.widgets.add().id = f"{WIDGET}{number}"
    elif field == "hashes":
        asked.cached_message_hashes.extend(map(str, range(50_000)))
    elif field == "query":
        asked.query_string = "a=1&" * 50_000
    elif field == "files":
        state = asked.widget_states.widgets.add(id=WIDGET).chat_input_value
        for _ in range(50_000):
            state.file_uploader_state.uploaded_file_info.add()
    else:
        widget = asked.widget_states.widgets.add(id=WIDGET)
        getattr(widget, field).data.extend(ARRAYS[field] * 100_000)
    return bytes(message.SerializeToString())


@pytest.mark.parametrize("field", ["widgets", "hashes", "query", "files", *ARRAYS])
def test_a_message_is_large_by_its_texts_alone(proxied: app_process.AppProcess, field: str) -> None:
    """Four megabytes of empty parts would occupy half a gigabyte in a session."""
    assert close_code(proxied.url, _many(field)) == 1002


def test_few_sessions_hold_a_message_that_no_prompt_needs(start_app: StartApp) -> None:
    """Use a separate app, because held messages count for a minute."""
    app = start_app()
    large, small = (rerun(states=[(WIDGET, "string_value", "x" * size)]) for size in (usual(8_000), 10))
    with ExitStack() as pages:

        def open_with(message: bytes) -> ClientConnection:
            page = pages.enter_context(page_of(app.url))
            page.send(message)
            page.recv(ENOUGH_S)
            return page

        first, *_ = [open_with(large) for _ in range(LARGE)]
        assert close_code(app.url, large) == 1013 and close_code(app.url, small) is None
        first.send(small)
        until(lambda: close_code(app.url, large) is None)


def test_requests_are_not_logged(proxied: app_process.AppProcess) -> None:
    for _ in range(3):
        assert http(proxied.url + "/healthz").status == 200
    assert "uvicorn.access" not in proxied.log()


def test_a_page_that_asks_for_missing_files_writes_few_lines(proxied: app_process.AppProcess) -> None:
    before = proxied.log()
    with RawWebsocket(proxied.url) as wire:
        wire.run()
        for letter in string.ascii_lowercase:
            assert "/media/" not in wire.download(letter * 32)
        for session in range(40):
            message = BackMsg()
            asked = message.backend_operation_request
            asked.request_id = asked.session_id = f"of another {session}"
            wire.send(message)
        wire.run()
    written = [line for line in proxied.log().removeprefix(before).splitlines() if " streamlit" in line]
    assert len(written) <= A_PLACE + 1 and "of another" not in "".join(written)


def test_an_unreadable_message_ends_the_connection_and_logs_one_line(proxied: app_process.AppProcess) -> None:
    assert close_code(proxied.url, "text") == 1003 and close_code(proxied.url, b"\xff" * 100) == 1002
    assert "raceback" not in proxied.log()


def test_a_page_cannot_send_without_end(proxied: app_process.AppProcess) -> None:
    with page_of(proxied.url) as wire, pytest.raises(ConnectionClosed):
        for _ in range(50 * BURST):
            wire.send(BackMsg(stop_script=True).SerializeToString())
        while True:  # a busy server ends the connection once it has read that many
            wire.recv(ENOUGH_S)


def test_no_request_empties_the_caches_or_stops_the_server(tmp_path: Path) -> None:
    app_process.lay_out(tmp_path)
    page = tmp_path / "pages/chat/page.py"
    page.write_text(
        "import itertools\nimport streamlit as st\n\n@st.cache_resource\ndef made() -> object:\n    return object()\n\n"
        "st.text(f'made {id(made())} and held {st.session_state.setdefault(\"held\", 7)}')\n"
    )
    app = app_process.start(tmp_path)
    try:
        with RawWebsocket(app.url, http(app.url).cookies) as wire:
            first = wire.run().widgets("text")[-1].body
            for message in (
                BackMsg(clear_cache=True), BackMsg(debug_shutdown_runtime=True), BackMsg(set_run_on_save=True),
                BackMsg(debug_disconnect_websocket=True), BackMsg(load_git_info=True), BackMsg(),
            ):  # fmt: skip
                wire._socket.send(message.SerializeToString())
            assert wire.run().widgets("text")[-1].body == first
    finally:
        app.stop()


@pytest.mark.parametrize("zone", ["Nowhere/Land", "Europe/Berlin\nforged", "../../etc/passwd", "\x1b[31m", "a" * 9_000])
def test_a_claimed_time_zone_breaks_no_page_and_writes_no_line(proxied: app_process.AppProcess, zone: str) -> None:
    before = proxied.log()
    message = BackMsg()
    message.rerun_script.context_info.timezone = zone
    message.rerun_script.context_info.locale = zone
    with RawWebsocket(proxied.url, http(proxied.url).cookies) as wire:
        wire._socket.send(message.SerializeToString())
        wire.run().ask("What is Parley?")
        assert "Something went wrong" not in wire.text
    assert "forged" not in proxied.log() and "raceback" not in proxied.log().removeprefix(before)


# Nothing changes by opening an address


@pytest.mark.parametrize("path", ["/auth/logout", "/operator", "/invite/x", "/auth/login", "/oauth2callback?error=x"])
def test_opening_an_address_takes_no_cookie_away_and_gives_none(app: app_process.AppProcess, path: str) -> None:
    jar = http(app.url).cookies | {"_streamlit_user": "x", "parley_operator": "x", "parley_guest": "x"}
    for headers in ({}, {"Sec_Fetch_Dest": "image"}, {"Sec_Fetch_Dest": "document", "Sec_Fetch_Site": "same-origin"}):
        met = http(app.url + path, Cookie=header(jar), **headers)
        ours = [line for line in met.set_cookies if line.startswith(("parley_operator", "parley_guest"))]
        assert ours == [] and met.status < 500
        if path == "/auth/logout":
            assert met.status == 200 and 'method="post"' in met.body and met.set_cookies == []


def test_a_page_may_show_no_image_of_ours_but_its_icon(app: app_process.AppProcess) -> None:
    policy = http(app.url).headers["Content-Security-Policy"]
    [images] = [part.split()[1:] for part in policy.split(";") if part.strip().startswith("img-src")]
    assert images == ["data:", "blob:", f"{urlsplit(app.url).netloc}/favicon.png"]
    port = urlsplit(app.url).port or 0
    policy = http(app.url, Host=f"[::1]:{port}").headers["Content-Security-Policy"]
    assert "img-src data: blob:;" in policy


@pytest.mark.parametrize("host", ["a;script-src *", "localhost; img-src *", "localhost\t*", "x'unsafe-inline'"])
def test_a_host_writes_nothing_into_the_policy(app: app_process.AppProcess, host: str) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(app.url).port or 0)) as plain:
        plain.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: plain.recv(65_536), b"")).decode("latin-1").lower()
    policies = re.findall(r"content-security-policy: (.*)\r\n", answer)
    assert all("*" not in policy and "unsafe-inline'" not in policy.partition("style-src")[0] for policy in policies)


def test_a_path_below_which_streamlit_would_serve_is_refused_at_the_start(tmp_path: Path) -> None:
    app = app_process.start(tmp_path, options=["--server.baseUrlPath=inner"], ready=False)
    assert app.wait_exit() == 2
    assert "server.baseUrlPath" in app.log() and "raceback" not in app.log()


# Amounts


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def crowd(clock: Clock) -> Crowd:
    return Crowd(clock)


class Ends:
    completion: object = None


def test_a_large_message_counts_as_long_as_its_session_is_kept(clock: Clock) -> None:
    messages = LargeMessages(clock)
    assert all(messages.take(one) for one in range(LARGE)) and not messages.take(LARGE)
    assert messages.take(0), "the same page may send another one"
    messages.leave(0)
    assert not messages.take(LARGE)
    clock.now += EXPIRES_S
    assert messages.take(LARGE) and not messages.take(0)


def test_one_network_has_a_limit_of_new_visitors_an_hour(crowd: Crowd, clock: Clock) -> None:
    assert [crowd.visitor("203.0.113.7") for _ in range(VISITORS.burst)] == [0.0] * VISITORS.burst
    assert crowd.visitor("203.0.113.7") > 0 and crowd.visitor("203.0.113.8") == 0
    clock.now += 3_600
    assert crowd.visitor("203.0.113.7") == 0


def test_all_networks_together_have_a_limit_too(crowd: Crowd) -> None:
    met = [crowd.visitor(f"198.51.{number // 250}.{number % 250}") for number in range(VISITORS.burst_of_all + 1)]
    assert met[-1] > 0 and not any(met[:-1])


def test_no_neighbour_meets_a_limit(crowd: Crowd) -> None:
    for number in range(2 * VISITORS.burst_of_all):
        assert crowd.visitor("") == 0 and crowd.ask(str(number), "") is None and crowd.open_page("")


def test_answers_of_one_network_run_at_once_up_to_a_limit(crowd: Crowd) -> None:
    running = [Ends() for _ in range(AT_ONCE)]
    for number, answer in enumerate(running):
        assert crowd.ask(str(number), "203.0.113.7") is None
        crowd.began(str(number), answer)
    assert crowd.ask("x", "203.0.113.7") == "busy" and crowd.ask("y", "203.0.113.8") is None
    running[0].completion = "done"
    assert crowd.ask("x", "203.0.113.7") is None
    crowd.withdraw("y")
    for number in range(AT_ONCE_OF_ALL - AT_ONCE):
        assert crowd.ask(f"all {number}", f"198.51.100.{number}") is None
    assert crowd.ask("z", "203.0.113.9") == "busy"


def test_questions_have_a_pace(crowd: Crowd, clock: Clock) -> None:
    def ask(number: int) -> str | None:
        limit = crowd.ask(str(number), "203.0.113.7")
        crowd.withdraw(str(number))
        return limit

    met = [ask(number) for number in range(QUESTIONS.burst + 1)]
    assert met[-1] == "address" and not any(met[:-1])
    clock.now += 3_600 / QUESTIONS.an_hour
    assert ask(0) is None


def test_pages_of_one_network_are_open_up_to_a_limit(crowd: Crowd) -> None:
    assert all(crowd.open_page("203.0.113.7") for _ in range(PAGES))
    assert not crowd.open_page("203.0.113.7") and crowd.open_page("203.0.113.8")
    crowd.close_page("203.0.113.7")
    assert crowd.open_page("203.0.113.7")


def test_many_networks_fill_no_memory(crowd: Crowd) -> None:
    for number in range(PLACES + 500):
        crowd.request(f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::")
    assert len(crowd._requests._places) == PLACES


def test_new_visitors_of_a_far_network_are_refused_kindly(proxied: app_process.AppProcess) -> None:
    far = {"X_Forwarded_For": "198.51.100.77"}
    met = http(proxied.url, **far)
    for _ in range(VISITORS.burst + 5):
        if met.status != 200:
            break
        met = http(proxied.url, **far)
    assert met.status == 429 and "Many new visitors" in met.body and int(met.headers["Retry-After"]) > 0
    assert refused_with(proxied.url, **far) is not None, "a page without a cookie is a new visitor too"
    assert http(proxied.url, X_Forwarded_For="198.51.100.78").status == 200
    assert http(proxied.url, **far, Cookie=header(http(proxied.url).cookies)).status == 200, "who was here stays"


def test_a_log_line_of_streamlit_has_parleys_format(proxied: app_process.AppProcess) -> None:
    http(proxied.url + "/oauth2callback?error=%0aforged%1b%5b31m" + "x" * 500 + "&error_description=%0d%0aforged")
    new = [line for line in proxied.log().splitlines() if "streamlit.web" in line]
    assert new and all(re.match(r"\d{4}-\d\d-\d\dT\S+ [A-Z]+ streamlit\S*: .{0,90}", line) for line in new)
    assert (
        not [line for line in proxied.log().splitlines() if line.startswith("forged")] and "\x1b" not in proxied.log()
    )
