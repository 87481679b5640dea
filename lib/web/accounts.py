"""Streamlit's sign-in beyond its page API: the session of an account, and its end.

Reads Streamlit's signed cookie of an account by `patches.py`. Knows no access rule.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from lib.web import patches

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
        cookie = patches.account_cookie(cookies)
        return dict(json.loads(cookie)) if cookie else None
    except Exception:  # whatever the cookie holds, it is not a sign-in
        return None


async def sign_out(request: Request) -> tuple[str | None, list[str]]:
    """Return the provider's sign-out address, if it has one, and the headers that remove the cookies.

    Both are missing where Streamlit has changed; the session itself is ended by its name (`session_of`).
    """
    leave = patches.sign_out_endpoint()
    if leave is None:
        return None, []
    answer = await leave(request)
    location = str(answer.headers.get("location", ""))
    cookies = [value.decode("latin-1") for name, value in answer.raw_headers if name == b"set-cookie"]
    return (location if location.startswith(("http://", "https://")) else None), cookies
