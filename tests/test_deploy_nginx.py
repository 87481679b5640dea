"""The nginx of `docs/operate.md`, by https in front of the real app: its headers, its logs."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from lib.access.identity import Access
from tests.support import app_process, echo_server, nginx_proxy
from tests.support.app_process import AppProcess
from tests.support.nginx_proxy import Proxy
from tests.support.operator_tool import run_tool
from tests.support.ports import free_port
from tests.support.raw_websocket import RawWebsocket, header, http, refused_with
from tests.support.waiting import until

MISSING = "there is no nginx (on Debian: apt-get install nginx-light)"
pytestmark = pytest.mark.skipif(not nginx_proxy.nginx(), reason=MISSING)
KEY = "the-signing-key-0123"
SETTINGS = {"PARLEY_ACCESS": "invite", "PARLEY_SIGNING_KEY": KEY}
CLAIMS = {
    "X_Forwarded_For": "203.0.113.9", "X_Forwarded_Proto": "http", "X_Forwarded_Host": "evil.example",
    "Forwarded": "for=203.0.113.9;proto=http;host=evil.example", "X_Real_IP": "203.0.113.9",
}  # fmt: skip


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[trustme.LeafCert]:
    """A certificate for 127.0.0.1 that this process trusts."""
    authority = trustme.CA()
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(file)
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("SSL_CERT_FILE", str(file))
        yield authority.issue_cert("127.0.0.1")


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """The app with the settings that the document names."""
    environ = {"STREAMLIT_SERVER_ADDRESS": "127.0.0.1", "PARLEY_TRUSTED_PROXIES": "127.0.0.1"}
    environ |= SETTINGS | {"PARLEY_OPERATOR_TOKEN": "the-operator-token-0123"}
    app = app_process.start(tmp_path_factory.mktemp("behind"), environ)
    yield app
    app.stop()
    assert not app.outbound()


@pytest.fixture(scope="module")
def front(
    behind: AppProcess, certificate: trustme.LeafCert, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """nginx in front of the app."""
    with nginx_proxy.serve(tmp_path_factory.mktemp("nginx"), urlsplit(behind.url).port or 0, certificate) as proxy:
        yield proxy


def test_nginx_takes_the_configuration_without_a_warning(front: Proxy) -> None:
    binary = nginx_proxy.nginx()
    assert binary
    places = ["-p", front.folder, "-e", front.folder / "test.log", "-c", front.folder / "nginx.conf"]
    command = [binary, "-t", *map(str, places)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "[warn]" not in done.stderr, done.stderr


def test_only_nginx_says_where_a_request_comes_from(certificate: trustme.LeafCert, tmp_path: Path) -> None:
    with echo_server.serve() as port, nginx_proxy.serve(tmp_path / "nginx", port, certificate) as proxy:
        report = json.loads(http(proxy.url + "/", **CLAIMS).body)
    about = [(name, value) for name, value in report if "forward" in name or name in ("host", "x-real-ip")]
    assert sorted(about) == [
        ("host", urlsplit(proxy.url).netloc),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", urlsplit(proxy.url).netloc),
        ("x-forwarded-proto", "https"),
    ]


def test_cookies_are_for_https_and_no_request_counts_as_local(front: Proxy) -> None:
    opened = http(front.url + "/", **CLAIMS)
    [line] = opened.set_cookies
    assert line.startswith("__Host-parley_visitor=") and line.endswith("; Secure")
    assert opened.headers["Strict-Transport-Security"] == "max-age=31536000"
    statuses = [http(front.url + path, **CLAIMS).status for path in ("/results", "/metrics", "/operator")]
    assert statuses == [404, 404, 200]


def test_a_page_of_another_origin_is_refused_behind_it(front: Proxy) -> None:
    assert refused_with(front.url, Origin="https://evil.example", **CLAIMS) == 403
    assert refused_with(front.url, Origin=front.url) is None


def invitation(behind: AppProcess, name: str) -> str:
    """Make an invitation, and return the path of its link."""
    made = run_tool(behind.folder, "invite", "--name", name, **SETTINGS)
    assert made.returncode == 0, made.stderr
    return urlsplit(made.stdout.strip()).path


def test_a_guest_chats_through_it_and_no_log_has_the_link(front: Proxy, behind: AppProcess) -> None:
    path = invitation(behind, "Ann")
    opened = http(front.url + path)
    came = header(opened.cookies)
    ours = {"Cookie": came, "Origin": front.url, "Referer": front.url + path, "Sec_Fetch_Site": "same-origin"}
    entered = http(front.url + path, "POST", b"", **ours)
    assert entered.status == 303
    http(front.url + "/?c=a-conversation", Cookie=came, Referer=front.url + path)
    with RawWebsocket(front.url, opened.cookies | entered.cookies, Origin=front.url) as wire:
        wire.run().ask("What is Parley? " + "Please. " * 900)
        assert "which model, prompt and" in wire.text
    log_text = until(lambda: log if '"GET /_stcore/stream" 101' in (log := front.logs["parley.log"]) else None)
    assert '"GET /invite/-" 200' in log_text and '"POST /invite/-" 303' in log_text and '"GET /" 200' in log_text
    assert not [word for word in (path[8:], "a-conversation", "Parley?") if word in "".join(front.logs.values())]


def test_a_body_has_the_room_of_a_form_and_a_message_that_of_a_prompt(front: Proxy, behind: AppProcess) -> None:
    path = invitation(behind, "Ben")
    assert http(front.url + path, "POST", b"x" * 65_536).status == 403
    assert http(front.url + path, "POST", b"x" * 65_537).status == 413
    assert path[8:] not in "".join(front.logs.values())


def test_without_the_app_no_log_has_the_link_either(certificate: trustme.LeafCert, tmp_path: Path) -> None:
    token = Access(KEY).invitation_token("0" * 12, 1)
    with nginx_proxy.serve(tmp_path / "nginx", free_port(), certificate) as proxy:
        there = f"{proxy.url}/invite/{token}"
        assert [http(there).status, http(there + "/../" + token).status] == [502, 502]
        assert http(proxy.url + "/?c=a-conversation", Referer=there).status == 502
        assert http(proxy.url + "/oauth2callback?code=a-code").status == 502
        assert http(f"{proxy.url}//invite%2F{token}?x").status == 502
        assert proxy.stop() == 0
    text = "".join(proxy.logs.values())
    assert "/invite/- " not in text and text.count('"GET /invite/-" 502') == 3
    assert not [word for word in (token, "a-conversation", "a-code") if word in text]


def test_nginx_stops_when_asked(certificate: trustme.LeafCert, tmp_path: Path) -> None:
    with nginx_proxy.serve(tmp_path / "nginx", free_port(), certificate) as proxy:
        assert proxy.stop() == 0
        assert not (proxy.folder / "nginx.pid").exists()
