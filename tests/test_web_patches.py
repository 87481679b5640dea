"""The parts of Streamlit that Parley relies on are still there, and Parley has a fallback for their absence."""

import asyncio
import builtins
from collections.abc import Callable
from typing import Any

import pytest
import streamlit as st
from starlette.requests import Request
from starlette.types import Scope
from streamlit.runtime import runtime
from streamlit.web.server.starlette import starlette_auth_routes, starlette_websocket

from lib.web import accounts, patches
from lib.web.patches import SessionGuard

SESSION, OTHER = "11111111-2222-4333-8444-555555555555", "99999999-2222-4333-8444-555555555555"


def connection(protocols: str = "", query: str = "", **headers: str) -> Scope:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    asked = [(b"sec-websocket-protocol", protocols.encode())] if protocols else []
    return {"type": "websocket", "path": "/_stcore/stream", "query_string": query.encode(), "headers": named + asked}


def protocols(admitted: Scope | None) -> str | None:
    assert admitted is not None
    return next((value.decode() for name, value in admitted["headers"] if name == b"sec-websocket-protocol"), None)


@pytest.fixture
def guard() -> SessionGuard:
    guard = SessionGuard()
    guard.remember(SESSION, "owner")
    return guard


def test_streamlit_is_the_one_that_the_patches_were_written_for(caplog: pytest.LogCaptureFixture) -> None:
    guard = SessionGuard()
    guard.check()
    guard.remember(SESSION, "owner")
    assert protocols(guard.admit(connection(f"streamlit, token, {SESSION}"), "owner")) == f"streamlit, token, {SESSION}"
    assert patches._is_host_allowed() is starlette_websocket.is_host_allowed
    assert callable(runtime.Runtime.is_active_session)
    assert patches._reader_of_accounts() is not None
    assert patches.sign_out_endpoint() is not None
    assert caplog.records == []


@pytest.mark.parametrize("visitor", ["thief", None])
def test_no_other_visitor_goes_on_with_a_session(guard: SessionGuard, visitor: str | None) -> None:
    assert protocols(guard.admit(connection(f"streamlit, token, {SESSION}"), visitor)) == "streamlit, token"


def test_an_unknown_session_is_not_handed_out(guard: SessionGuard) -> None:
    assert protocols(guard.admit(connection(f"streamlit, token, {OTHER}"), "owner")) == "streamlit, token"


@pytest.mark.parametrize(
    "asked",
    [
        connection(f"streamlit, {SESSION}"),
        connection(f"streamlit, {SESSION}, {OTHER}, {SESSION}"),
        connection("streamlit, token", f"session={SESSION}"),
        connection("streamlit, token", x_session=SESSION),
        connection("streamlit, token", cookie=f"a=b; session={SESSION}"),
    ],
    ids=["second", "second of four", "query", "header", "cookie"],
)
def test_another_browsers_session_anywhere_else_is_refused(guard: SessionGuard, asked: Scope) -> None:
    assert guard.admit(asked, "thief") is None
    assert guard.admit(asked, "owner") is not None


def test_a_plain_connection_stays_as_it_is(guard: SessionGuard) -> None:
    assert protocols(guard.admit(connection("streamlit, token"), None)) == "streamlit, token"
    assert protocols(guard.admit(connection(), None)) is None


@pytest.mark.parametrize(
    "parse",
    [lambda _headers: ("streamlit", "session", "token"), lambda: None, None],
    ids=["order", "arguments", "gone"],
)
def test_with_another_protocol_no_session_is_taken_up_and_the_log_says_so(
    guard: SessionGuard,
    parse: Callable[..., Any] | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if parse is None:
        monkeypatch.delattr(starlette_websocket, "_parse_subprotocols")
    else:
        monkeypatch.setattr(starlette_websocket, "_parse_subprotocols", parse)
    guard.check()
    assert protocols(guard.admit(connection(f"streamlit, token, {SESSION}"), "owner")) == "streamlit, token"
    assert [record.message for record in caplog.records] == [
        "Streamlit's websocket protocol has changed: a page that reconnects begins a new session"
    ]


def test_where_the_rule_for_names_has_moved_only_listed_names_are_answered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(starlette_websocket, "is_host_allowed")
    monkeypatch.setattr(st, "get_option", lambda _name: ["localhost", "::1"])
    patches._is_host_allowed.cache_clear()
    try:
        asked = ["localhost", "localhost:8501", "[::1]:8501", "evil.example", "evil.example:8501", "", None]
        assert [patches.host_allowed(host) for host in asked] == [True, True, True, False, False, False, False]
        assert "has moved" in caplog.text
    finally:
        patches._is_host_allowed.cache_clear()


def test_where_the_cookie_of_an_account_cannot_be_read_no_account_comes_in(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(starlette_websocket, "_get_signed_cookie_with_chunks")
    patches._reader_of_accounts.cache_clear()
    try:
        assert accounts.claims_of({"_streamlit_user": "a signed cookie"}) is None
        [record] = caplog.records
        assert record.message == "Streamlit's cookie of an account cannot be read: no account comes in"
    finally:
        patches._reader_of_accounts.cache_clear()


def test_where_the_sign_out_has_moved_no_cookie_is_removed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(starlette_auth_routes, "create_auth_routes", lambda _base: [])
    assert asyncio.run(accounts.sign_out(Request({**connection(), "type": "http"}))) == (None, [])
    assert "sign-out has moved" in caplog.text


def test_without_the_sessions_id_every_session_counts_as_connected_and_none_is_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name.startswith("streamlit.runtime.scriptrunner"):
            raise ImportError(name)
        return plain(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    assert (patches.script_session(), patches.connected(), patches.went_back()) == (None, True, False)
