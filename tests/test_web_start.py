"""The start in odd environments: it works, or it ends with one line for every problem and exit code 2."""

import os
import stat
import urllib.request
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import StartApp
from tests.support import app_process
from tests.support.app_process import AppProcess
from tests.support.websocket_tester import Tester

KUBERNETES = {
    "PARLEY_SERVICE_HOST": "10.0.0.7", "PARLEY_SERVICE_PORT": "8501", "PARLEY_SERVICE_PORT_HTTP": "8501",
    "PARLEY_PORT": "tcp://10.0.0.7:8501", "PARLEY_PORT_8501_TCP": "tcp://10.0.0.7:8501",
    "PARLEY_PORT_8501_TCP_PROTO": "tcp", "PARLEY_PORT_8501_TCP_PORT": "8501", "PARLEY_PORT_8501_TCP_ADDR": "10.0.0.7",
    "PARLEY_DB_SERVICE_HOST": "10.0.0.8", "PARLEY_DB_PORT": "tcp://10.0.0.8:5432", "PARLEY_PORT_53_UDP": "udp://10.0.0.7:53",
    "PARLEY_NAME": "/web/parley", "PARLEY_ENV_PATH": "/usr/bin",
}  # fmt: skip
KEY = {"PARLEY_SIGNING_KEY": "x" * 32}
NO_LINKS = """
import os

def link(*_, **__):
    raise OSError(95, "Operation not supported")

os.link = link
"""


@pytest.fixture
def start_app(start_app: StartApp) -> StartApp:
    """Return a function that starts the app with the command that a user types."""
    return partial(start_app, plain=True)


def refusals(start_app: StartApp, environ: Mapping[str, str], folder: Path | None = None, **more: object) -> list[str]:
    """Return the lines with which the start was refused, without the headline."""
    app: AppProcess = start_app(environ, folder=folder, ready=False, **more)
    assert app.wait_exit() == 2, app.log()
    assert "raceback" not in app.log(), app.log()
    head, _, text = app.log().partition("Parley cannot start:\n")
    assert text, head
    return [line.strip() for line in text.splitlines() if line.startswith("  ")]


def test_it_starts_in_a_pod_with_quotes_around_its_values_and_on_a_disk_without_links(
    start_app: StartApp, tmp_path: Path
) -> None:
    folder = tmp_path / "app"
    app_process.lay_out(folder)
    with (folder / "sitecustomize.py").open("a") as file:
        file.write(NO_LINKS)
    quoted = {"PARLEY_TITLE": '"Our chat"', "PARLEY_BLIND": "'true'", "PARLEY_OPERATORS": '"a@b.c", "d@e.f"'}
    app = start_app(KUBERNETES | quoted | {"PARLEY_GREETING": '""'}, folder=folder)
    data = folder / "data"
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert {path.name for path in data.iterdir()} >= {"parley.db", "parley.db.signing-key"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in data.iterdir()} == {0o600}
    app.stop()


def test_a_typing_mistake_still_stops_it(start_app: StartApp) -> None:
    [line] = refusals(start_app, KUBERNETES | {"PARLEY_BUGDET": "5"})
    assert line.startswith("PARLEY_BUGDET: no such setting")


@pytest.mark.parametrize(
    ("name", "encoding"),
    [("experiments.toml", "utf-16"), ("experiments.toml", "cp1252"), ("secrets.toml", "utf-16-le")],
)
def test_a_file_in_another_encoding_stops_it(start_app: StartApp, tmp_path: Path, name: str, encoding: str) -> None:
    folder = tmp_path / "app"
    app_process.lay_out(folder)
    file = folder / ".streamlit" / name
    text = file.read_text() if file.exists() else 'PARLEY_TITLE = "Chat"\n'
    file.write_bytes((text + "# “Grüße”\n").encode(encoding))
    assert refusals(start_app, {}, folder) == [f".streamlit/{name}: not UTF-8 text"]


def test_files_of_a_windows_editor_are_read(start_app: StartApp, tmp_path: Path) -> None:
    folder = tmp_path / "app"
    app_process.lay_out(folder)
    file = folder / ".streamlit" / "experiments.toml"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_text().replace("\n", "\r\n").encode())
    (folder / ".streamlit" / "secrets.toml").write_bytes(
        b'\xef\xbb\xbfPARLEY_TITLE = "Windows"\r\nPARLEY_ACCESS = "sign-in"\r\n[auth]\r\nredirect_uri = '
        b'"http://127.0.0.1:9/oauth2callback"\r\ncookie_secret = "c"\r\nclient_id = "p"\r\nclient_secret = "s"\r\n'
        b'server_metadata_url = "http://127.0.0.1:9/m"\r\n'
    )
    app = start_app({}, folder=folder)
    with urllib.request.urlopen(app.url) as page:
        assert page.status == 200
    assert "raceback" not in app.log() and "rror" not in app.log(), app.log()
    with urllib.request.urlopen(app.url + "/auth/login") as answer:
        assert answer.status == 200, "Streamlit knows its [auth]"


@pytest.mark.parametrize(
    "url",
    ["postgres://u:p@ssw0rd-Long@127.0.0.1:5432/d", "postgres://u:1?ssw0rd@h/d", "postgres://u@h/d?password=ssw0rd&x=1"],
)  # fmt: skip
def test_a_password_that_is_not_escaped_stops_it_unseen(start_app: StartApp, url: str) -> None:
    app: AppProcess = start_app({"DATABASE_URL": url} | KEY, ready=False)
    assert app.wait_exit() == 2
    assert "write @ as %40" in app.log() and "DATABASE_URL: must be" in app.log()
    assert "ssw0rd" not in app.log() and "raceback" not in app.log()


@pytest.mark.parametrize("proxy", ["socks5h://127.0.0.1:9", "socks4://127.0.0.1:9"])
def test_the_demo_model_answers_beside_any_proxy_of_the_environment(start_app: StartApp, proxy: str) -> None:
    app = start_app({"ALL_PROXY": proxy, "HTTP_PROXY": proxy, "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""})
    with Tester(app.url) as tester:
        tester.send("What is Parley?")
        tester.until(lambda: "Parley" in tester.answer)
    assert "ImportError" not in app.log() and "no answer" not in app.log(), app.log()


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
def test_a_proxy_that_no_client_can_use_stops_it_where_a_server_is_elsewhere(start_app: StartApp, name: str) -> None:
    away = {"OPENAI_API_KEY": "sk-1", name: "socks4://u:hunter22@10.0.0.1:1080"}
    [line] = refusals(start_app, away)
    assert line.startswith(f"{name}: must be an address") and "hunter22" not in line


def test_an_address_below_the_root_and_quotes_around_a_value_of_streamlits_are_refused(start_app: StartApp) -> None:
    environ = {"STREAMLIT_SERVER_ALLOWED_HOSTS": '"chat.example.org"'}
    quoted, base = refusals(start_app, environ, options=["--server.baseUrlPath=/chat/"])
    assert quoted.startswith("STREAMLIT_SERVER_ALLOWED_HOSTS: must be written without quotes")
    assert base.startswith("server.baseUrlPath: must be empty")


@pytest.mark.parametrize("kind", ["a file", "a link to nowhere"])
def test_a_data_folder_that_cannot_be_made_stops_it_with_the_default_address_too(
    start_app: StartApp, tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    app_process.lay_out(folder)
    if kind == "a file":
        (folder / "data").write_text("")
    else:
        (folder / "data").symlink_to(folder / "nowhere" / "else")
    lines = refusals(start_app, {}, folder)
    assert lines and lines[0].startswith("DATABASE_URL: data/parley.db cannot be written")


@pytest.mark.skipif(os.name != "posix", reason="modes are those of a POSIX system")
def test_an_older_installation_is_closed_to_others(start_app: StartApp, tmp_path: Path) -> None:
    folder = tmp_path / "app"
    app = start_app({}, folder=folder)
    app.stop()
    (folder / "data").chmod(0o755)
    (folder / "data" / "parley.db").chmod(0o644)
    start_app({}, folder=folder)
    assert stat.S_IMODE((folder / "data").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder / "data").iterdir()} == {0o600}
