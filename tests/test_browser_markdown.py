"""Chromium sends no request when Streamlit draws a model's Markdown with any form of image."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Error, Page, expect

from tests.support.app_process import ROOT
from tests.support.image_forms import FORMS
from tests.support.ports import free_port
from tests.support.waiting import ENOUGH_S, until

pytestmark = pytest.mark.browser

SCRIPT = """
import os
import streamlit as st
from lib.chat.markdown import as_one, blocks
from tests.support.image_forms import FORMS

port = os.environ["FORMS_PORT"]
for form in FORMS:
    text = form.replace("U", f"http://127.0.0.1:{port}/asked").replace("PORT", port)
    for block in blocks(text):
        st.markdown(block.markdown)
    st.markdown(as_one(text))
st.text("The end of all forms")
"""
LOADING = "img, video, audio, iframe, object, embed, link[href*=asked], svg image, input[type=image]"


@pytest.fixture
def request_paths() -> Iterator[tuple[int, list[str]]]:
    """The port of a server, and the list of the paths that were requested from it."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, paths
    server.shutdown()
    server.server_close()


def listens(page: Page, port: int) -> bool:
    """Open the page; return False if its server does not listen yet."""
    try:
        return page.goto(f"http://127.0.0.1:{port}/") is not None
    except Error:
        return False


def test_no_form_of_an_image_or_of_html_makes_the_browser_ask(
    browser: Browser, request_paths: tuple[int, list[str]], tmp_path: Path
) -> None:
    forms_port, paths = request_paths
    port = free_port()
    (tmp_path / "page.py").write_text(SCRIPT)
    options = [f"--server.port={port}", "--server.headless=true", "--browser.gatherUsageStats=false"]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "page.py", *options, "--server.address=127.0.0.1"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT), "FORMS_PORT": str(forms_port)},
    )  # fmt: skip
    try:
        with browser.new_context() as context:
            page, requests = context.new_page(), list[str]()
            page.on("request", lambda request: requests.append(urlsplit(request.url).path))
            until(lambda: listens(page, port))
            expect(page.get_by_text("The end of all forms")).to_be_visible()
            page.wait_for_load_state("networkidle")
            drawn = page.get_by_test_id("stMain")
            expect(drawn.locator(LOADING)).to_have_count(0)
            until(lambda: drawn.locator("a").count() > len(FORMS))
            links = drawn.locator("a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
            assert {link.split(":")[0].lower() for link in links if not link.startswith("#")} == {"http", "mailto"}
            foreign = [path for path in requests if not path.startswith(("/static/", "/_stcore/")) and path != "/"]
            assert set(foreign) <= {"/favicon.png", "/favicon.ico"}
            assert paths == []
    finally:
        process.terminate()
        process.wait(ENOUGH_S)
