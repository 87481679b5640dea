"""Streamlit's own files: the running app sends them as Streamlit would."""

from pathlib import Path

import pytest
import streamlit

from lib.web.static import AT_ONCE, _files
from tests.support import app_process
from tests.support.raw_websocket import Answer, http

STATIC = Path(streamlit.__file__).parent / "static" / "static"
KINDS = ("js/index.*.js", "js/react-dom.*.js", "css/*.css", "media/MaterialSymbols-*.woff2")
OF_THE_MOMENT = {"date"}


def address(pattern: str) -> str:
    return f"/static/{next(STATIC.glob(pattern)).relative_to(STATIC).as_posix()}"


def lasting_headers(answer: Answer) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items() if name.lower() not in OF_THE_MOMENT}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_the_one_that_streamlit_sends_headers_and_all(kind: str, app: app_process.AppProcess) -> None:
    path = address(kind)
    assert path in _files()
    ours, theirs = http(app.url + path), http(app.url + path, If_None_Match='"another"')
    assert ours.status == theirs.status == 200
    assert ours.body == theirs.body and len(ours.body) > 1_000
    assert lasting_headers(ours) == lasting_headers(theirs) and "immutable" in lasting_headers(ours)["cache-control"]


def test_the_files_that_a_page_names_are_there() -> None:
    named = (STATIC.parent / "index.html").read_text()
    wanted = {path.removeprefix(".") for path in named.replace('"', " ").split() if path.startswith("./static/")}
    assert len(wanted) > 50 and wanted <= set(_files())


def test_partial_and_conditional_requests_are_left_to_streamlit(app: app_process.AppProcess) -> None:
    path = address(KINDS[0])
    etag = http(app.url + path).headers["ETag"]
    part = http(app.url + path, Range="bytes=0-9")
    assert (part.status, len(part.body)) == (206, 10)
    assert http(app.url + path, If_None_Match=etag).status == 304
    head = http(app.url + path, "HEAD")
    assert (head.status, head.body) == (200, "") and int(head.headers["Content-Length"]) > 1_000


def test_a_large_file_is_left_to_streamlit(app: app_process.AppProcess) -> None:
    large = max(STATIC.rglob("*.js"), key=lambda path: path.stat().st_size)
    assert large.stat().st_size > AT_ONCE
    path = f"/static/{large.relative_to(STATIC).as_posix()}"
    assert path not in _files() and http(app.url + path).status == 200


@pytest.mark.parametrize(
    "path", ["/static/js/nothing.js", "/static/", "/static/../index.html", "/static/%2e%2e/index.html"]
)
def test_nothing_else_is_a_file(path: str, app: app_process.AppProcess) -> None:
    assert path not in _files() and http(app.url + path).headers["Content-Type"] != "application/javascript"
