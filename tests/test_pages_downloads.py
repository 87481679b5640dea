"""The files of the operators' pages are handed to operators alone."""

from collections.abc import Iterator

import pytest

from tests.support import app_process
from tests.support.app_process import AppProcess
from tests.support.raw_websocket import RawWebsocket, header, http

TOKEN = "the-operator-token-0123"
FAR = {"X_Forwarded_For": "203.0.113.7"}
FILES = {"history": "Download as CSV", "events": "CSV", "results": "Reasons and comments (CSV)"}
BEGINNINGS = {"history": "\ufefftime,operator", "events": "\ufeffevent_id", "results": "\ufeff"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """The app with an operator token, behind a trusted proxy."""
    environ = {"PARLEY_TRUSTED_PROXIES": "127.0.0.1", "PARLEY_OPERATOR_TOKEN": TOKEN}
    app = app_process.start(tmp_path_factory.mktemp("guarded"), environ)
    yield app
    app.stop()
    assert not app.outbound()


@pytest.fixture
def jar(guarded: AppProcess) -> dict[str, str]:
    """Return the cookies of an operator who gave the token in the form."""
    opened = http(guarded.url, **FAR).cookies
    given = http(guarded.url + "/operator", "POST", f"token={TOKEN}".encode(), **FAR, Cookie=header(opened))
    return opened | given.cookies


def request_download(wire: RawWebsocket, label: str) -> str:
    """Return the address of a download of this page, or the reason why there is none."""
    [button] = [drawn for drawn in wire.widgets("download_button") if drawn.label == label]
    return wire.download(button.deferred_file_id)


@pytest.mark.parametrize("page", FILES)
def test_a_file_is_its_operators_alone(guarded: AppProcess, jar: dict[str, str], page: str) -> None:
    with RawWebsocket(guarded.url, jar, **FAR) as wire:
        wire.run().ask("What is Parley?").run(page=page)
        address = guarded.url + request_download(wire, FILES[page])
        mine = http(address, **FAR, Cookie=header(jar))
        assert mine.status == 200 and mine.body.startswith(BEGINNINGS[page])
        assert mine.headers["Cache-Control"] == "no-store"
        stranger = http(guarded.url, **FAR).cookies
        for claim in ({}, {"Cookie": header(stranger)}, {"Authorization": "Bearer the-operator-token-9999"}):
            assert http(address, **FAR, **claim).status == 404
        http(guarded.url + "/auth/logout", "POST", b"", **FAR, Cookie=header(jar))
        assert http(address, **FAR, Cookie=header(jar)).status == 404, "a copy of the cookies is worth nothing"
