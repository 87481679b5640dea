"""Streamlit's sign-in beyond its page API: the session of an account, and its end.

Uses Streamlit's functions for signed cookies and sign-out. Knows no access rule.
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
    """Return the name of one sign-in: the same for its cookie and every page, different for the next sign-in.

    >>> first, second = session({"sub": "a", "nonce": "1", "is_logged_in": True}), session({"sub": "a", "nonce": "2"})
    >>> first == session({"nonce": "1", "sub": "a"}), first == second, len(first)
    (True, False, 40)
    """
    named_claims = {name: value for name, value in claims.items() if name not in _NOT_CLAIMS}
    return "account." + hashlib.sha256(json.dumps(named_claims, sort_keys=True, default=str).encode()).hexdigest()[:32]


def session_of(cookies: Mapping[str, str]) -> str | None:
    """Return the sign-in in a browser's cookies; None without one."""
    claims = claims_of(cookies)
    return session(claims) if claims else None


def claims_of(cookies: Mapping[str, str]) -> Mapping[str, Any] | None:
    """Return the claims of the account in a browser's cookies, which may have been signed out; None without one."""
    try:
        cookie = _get_signed_cookie_with_chunks(dict(cookies), USER_COOKIE_NAME)
        return dict(json.loads(cookie)) if cookie else None
    except Exception:  # whatever the cookie holds, it is not a sign-in
        return None


async def sign_out(request: Request) -> tuple[str | None, list[str]]:
    """Return the provider's sign-out address, if it has one, and the headers that remove the cookies."""
    [route] = [entry for entry in create_auth_routes("") if isinstance(entry, Route) and entry.path == SIGN_OUT]
    answer = await route.endpoint(request)
    location = str(answer.headers.get("location", ""))
    cookies = [value.decode("latin-1") for name, value in answer.raw_headers if name == b"set-cookie"]
    return (location if location.startswith(("http://", "https://")) else None), cookies
