"""Streamlit's page with Parley's script, which the policy allows, is sent once, and works before a connection."""

import asyncio
import base64
import hashlib
import re
from collections.abc import MutableMapping
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from lib.web import policy
from lib.web.first_page import html, send_page
from lib.web.static import STATIC
from tests.support import app_process

SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def response_to(path: str, method: str = "GET", **headers: str) -> list[MutableMapping[str, Any]]:
    """Return the ASGI messages of the response; none where the request is left to Streamlit."""
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "path": path, "method": method, "headers": raw}
    assert asyncio.run(send_page(scope, send)) is bool(sent)
    return sent


def test_the_policy_allows_every_script_of_the_page_and_streamlits_own_is_unchanged() -> None:
    allowed = policy.headers("localhost")["content-security-policy"]
    ours, streamlits = SCRIPT.findall(html()), SCRIPT.findall((STATIC / "index.html").read_bytes())
    assert len(ours) == len(streamlits) + 1 and set(streamlits) < set(ours)
    for script in ours:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" in allowed
    assert b"</script" not in ours[-1] and b"parley-lost" in ours[-1]


def test_a_page_that_the_browser_has_is_not_sent_again() -> None:
    start, body = response_to("/results")
    assert start["status"] == 200 and body["body"] == html()
    headers = dict(start["headers"])
    assert int(headers[b"content-length"]) == len(html())
    again, nothing = response_to("/", if_none_match=headers[b"etag"].decode())
    assert again["status"] == 304 and nothing["body"] == b""
    assert response_to("/", "HEAD")[1]["body"] == b""


@pytest.mark.parametrize("path", ["/static/js/index.js", "/healthz", "/chat/"])
def test_other_addresses_are_streamlits(path: str) -> None:
    assert response_to(path) == []


@pytest.mark.browser
def test_a_server_that_does_not_answer_a_new_page_is_one_calm_line(page: Page, app: app_process.AppProcess) -> None:
    away = [True]

    def answer(route: Route) -> None:
        route.abort() if away else route.continue_()

    page.route(re.compile("_stcore/(health|host-config)"), answer)
    page.goto(app.url)
    line = page.locator(".parley-lost")
    expect(line).to_have_text("There is no connection yet. Trying again.")
    expect(page.get_by_test_id("stDialog")).to_be_hidden()
    away.clear()
    expect(page.get_by_test_id("stChatInputTextArea")).to_be_enabled()
    expect(line).to_have_count(0)
    page.unroute_all()
