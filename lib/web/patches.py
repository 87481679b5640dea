"""The undocumented parts of Streamlit that Parley uses, each with its reason and its fallback.

`SessionGuard.check` runs at the start and verifies Streamlit's websocket protocol. A part that has changed is reported
by one line in the log.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import cache
from typing import Any, cast

import streamlit as st
import uvicorn.config
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Scope
from streamlit import net_util

from lib.domain.recent import Recent
from lib.web.paths import SIGN_OUT

log = logging.getLogger("parley")

PROTOCOLS = b"sec-websocket-protocol"
ID_LIKE = re.compile(r"[\w-]{16,}")
"""Any text that is long enough to be the id of a session."""
SESSIONS = 20_000
"""Sessions whose browser is remembered. No connection gets a session that is not remembered."""


@cache
def _is_host_allowed() -> Callable[[str | None], bool]:
    """Return Streamlit's own rule for `server.allowedHosts`, or a stricter one of ours where it has moved.

    Streamlit applies its rule to websockets only. Parley applies the same rule to pages.
    """
    try:
        from streamlit.web.server.starlette.starlette_websocket import is_host_allowed
    except ImportError:
        log.error("Streamlit's rule for server.allowedHosts has moved: only names that stand in it are answered")
        return _is_listed
    return is_host_allowed


def host_allowed(host: str | None) -> bool:
    """Return True if Parley answers under this name."""
    return _is_host_allowed()(host)


def _is_listed(host: str | None) -> bool:
    allowed = st.get_option("server.allowedHosts") or ()
    return not allowed or (host or "").rpartition(":")[0].strip("[]") in allowed or host in allowed


def _script() -> object | None:
    """Return Streamlit's context of the script that runs in this thread; None outside of a script, or where Streamlit
    has changed."""
    try:
        from streamlit.runtime.scriptrunner import get_script_run_ctx
    except ImportError:
        return None
    return get_script_run_ctx()


def script_session() -> str | None:
    """Return the id of the session whose script runs in this thread; None outside of a script, or where Streamlit has
    changed."""
    return getattr(_script(), "session_id", None)


def went_back() -> bool:
    """Return True where the script runs because the reader went back or forward in the browser's history; False where
    Streamlit has changed."""
    return bool(getattr(_script(), "is_history_navigation", False))


def connected() -> bool:
    """Return False where this session's browser is gone while its script still runs, for up to two minutes."""
    session_id = script_session()
    try:
        from streamlit import runtime

        if session_id is None or not runtime.exists():
            return True
        return bool(runtime.get_instance().is_active_session(session_id))
    except (ImportError, AttributeError):
        return True


def account_cookie(cookies: Mapping[str, str]) -> bytes | None:
    """Return the content of the signed cookie in which Streamlit keeps an account; None without a valid one.

    Streamlit gives it to a page's script only. Parley needs it before, to admit a request. Where Streamlit has changed,
    no account comes in.
    """
    read = _reader_of_accounts()
    return read(cookies) if read else None


@cache
def _reader_of_accounts() -> Callable[[Mapping[str, str]], bytes | None] | None:
    try:
        from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME
        from streamlit.web.server.starlette.starlette_websocket import _get_signed_cookie_with_chunks
    except ImportError:
        log.error("Streamlit's cookie of an account cannot be read: no account comes in")
        return None
    return lambda cookies: _get_signed_cookie_with_chunks(dict(cookies), USER_COOKIE_NAME)


def sign_out_endpoint() -> Callable[[Request], Awaitable[Response]] | None:
    """Return Streamlit's own sign-out; None where Streamlit has changed.

    Streamlit offers it at an address of its own only. Parley ends the account's session in the same request.
    """
    try:
        from streamlit.web.server.starlette.starlette_auth_routes import create_auth_routes

        [route] = [entry for entry in create_auth_routes("") if isinstance(entry, Route) and entry.path == SIGN_OUT]
    except (ImportError, ValueError):
        log.error("Streamlit's sign-out has moved: the account's cookie stays in the browser, without its session")
        return None
    return cast(Callable[[Request], Awaitable[Response]], route.endpoint)


class SessionGuard:
    """A guard that lets a connection resume only sessions of its own browser.

    Streamlit resumes any session that a connection names in the third entry of its websocket protocol. In case a
    version looks elsewhere, a connection that names another browser's session anywhere is refused as well.
    """

    def __init__(self) -> None:
        self._browsers: Recent[str, str | None] = Recent(SESSIONS)
        self._third = True

    def check(self) -> None:
        """Check that Streamlit still takes the session from the third protocol entry; otherwise no connection resumes
        any session."""
        self._third = _session_is_third()
        if not self._third:
            log.error("Streamlit's websocket protocol has changed: a page that reconnects begins a new session")

    def remember(self, session_id: str, visitor_id: str | None) -> None:
        """Note the browser of a session: its visitor's id, None for a browser without a cookie."""
        self._browsers[session_id] = visitor_id

    def admit(self, scope: Scope, visitor_id: str | None) -> Scope | None:
        """Return the connection without a foreign session; None where it must be refused."""
        entries = [entry.strip() for entry in Headers(scope=scope).get(PROTOCOLS.decode(), "").split(",")]
        own = self._third and len(entries) == 3 and self._browsers.get(entries[2], "") == visitor_id
        admitted = entries if own else entries[:2]
        headers = [(name, value) for name, value in scope["headers"] if name.lower() != PROTOCOLS]
        if any(
            self._browsers.get(session_id, visitor_id) != visitor_id for session_id in _ids(scope, headers, admitted)
        ):
            return None
        protocols = [(PROTOCOLS, ", ".join(admitted).encode("latin-1"))] if any(admitted) else []
        return {**scope, "headers": [*headers, *protocols]}


def _ids(scope: Scope, headers: list[tuple[bytes, bytes]], entries: list[str]) -> Iterator[str]:
    """Yield every text of a connection that could be the id of a session."""
    for text in (*entries, scope["path"], scope.get("query_string", b"").decode("latin-1")):
        yield from ID_LIKE.findall(text)
    for _, value in headers:
        yield from ID_LIKE.findall(value.decode("latin-1"))


def _session_is_third() -> bool:
    try:
        from streamlit.web.server.starlette import starlette_websocket

        parse: Any = starlette_websocket._parse_subprotocols
        return bool(
            parse(Headers({PROTOCOLS.decode(): "streamlit, token, session"})) == ("streamlit", "token", "session")
        )
    except Exception:  # whatever changed, refuse
        return False


def keep_the_peer() -> bool:
    """Keep the connection's own address in every request; True where that was possible.

    For peers on this machine, uvicorn replaces address and scheme by those of the forwarding headers. Then nothing
    could tell a claim from a connection. Only proxies in `PARLEY_TRUSTED_PROXIES` are believed.
    """
    if not hasattr(uvicorn.config, "ProxyHeadersMiddleware"):
        log.warning("uvicorn may believe forwarding headers of this machine: it is not the version that is known")
        return False

    def unchanged(app: ASGIApp, trusted_hosts: object = None) -> ASGIApp:
        return app

    uvicorn.config.ProxyHeadersMiddleware = unchanged
    return True


def log_through_ours() -> bool:
    """Send Streamlit's and uvicorn's log lines to the one handler that escapes and cuts them; True where possible.

    Their own handlers would write a client's text as it is, with line breaks and tracebacks.
    """
    from streamlit import logger

    if not hasattr(logger, "setup_formatter") or not hasattr(logger, "_loggers"):
        log.warning("Streamlit writes log lines of its own: it is not the version that is known")
        return False

    def plain(logger_of_library: logging.Logger) -> None:
        logger_of_library.handlers[:] = []
        logger_of_library.propagate = logger_of_library.name != "uvicorn.access"  # no line for each request

    vars(logger)["setup_formatter"] = plain
    for logger_of_library in logger._loggers.values():
        plain(logger_of_library)
    for name, settings in uvicorn.config.LOGGING_CONFIG["loggers"].items():
        settings |= {"handlers": [], "propagate": name != "uvicorn.access"}
    return True


def keep_address_unknown() -> bool:
    """Keep Streamlit from requesting this machine's address from the internet; True where that was possible.

    Streamlit requests it for a page of another origin, on the event loop, which blocks all pages meanwhile.
    """
    if not hasattr(net_util, "get_external_ip"):
        log.warning("Streamlit may ask the internet for its address: it is not the version that is known")
        return False
    net_util.get_external_ip = lambda: None
    return True


guard = SessionGuard()
"""The guard of this process's sessions."""
