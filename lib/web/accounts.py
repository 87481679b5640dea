"""Streamlit's sign-in, as far as its pages do not show it: one session of an account, and how it is ended.

Touches Streamlit's own functions for signed cookies and for its sign-out. Knows no rule of who may do what.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.routing import Route
from streamlit.web.server.starlette.starlette_auth_routes import create_auth_routes
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME
from streamlit.web.server.starlette.starlette_websocket import _get_signed_cookie_with_chunks

from lib.web.paths import SIGN_OUT

log = logging.getLogger("parley.access")

_NOT_CLAIMS = ("is_logged_in", "origin", "tokens")


def session(claims: Mapping[str, Any]) -> str:
    """Return the name of one sign-in: the same for its cookie and for every page, another for the next sign-in.

    >>> first, second = session({"sub": "a", "nonce": "1", "is_logged_in": True}), session({"sub": "a", "nonce": "2"})
    >>> first == session({"nonce": "1", "sub": "a"}), first == second, len(first)
    (True, False, 40)
    """
    told = {name: value for name, value in claims.items() if name not in _NOT_CLAIMS}
    return "account." + hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:32]


def session_of(cookies: Mapping[str, str]) -> str | None:
    """Return the sign-in that a browser's cookies hold; None where they hold none."""
    try:
        found = _get_signed_cookie_with_chunks(dict(cookies), USER_COOKIE_NAME)
        return session(json.loads(found)) if found else None
    except Exception:  # whatever a cookie may hold, it is no sign-in then
        return None


async def sign_out(request: Request) -> tuple[str | None, list[str]]:
    """Return where the provider ends its own session, if it does, and the headers that take the cookies away."""
    [route] = [one for one in create_auth_routes("") if isinstance(one, Route) and one.path == SIGN_OUT]
    answer = await route.endpoint(request)
    where = str(answer.headers.get("location", ""))
    cookies = [value.decode("latin-1") for name, value in answer.raw_headers if name == b"set-cookie"]
    return (where if where.startswith(("http://", "https://")) else None), cookies
