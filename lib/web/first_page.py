"""Streamlit's page with one script of ours in its head, which works before the page has a connection."""

import functools
import hashlib
import json
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from lib.web import paths
from lib.web.static import STATIC

_HERE = Path(__file__)


@functools.cache
def html() -> bytes:
    """Return the page. The security policy allows its scripts by their hashes (`policy`)."""
    style = json.dumps(_HERE.with_suffix(".css").read_text(encoding="utf-8"))
    script = _HERE.with_suffix(".js").read_text(encoding="utf-8").replace("STYLE", style, 1)
    page = (STATIC / "index.html").read_bytes()
    return page.replace(b"</head>", b"<script>" + script.encode() + b"</script></head>", 1)


async def send_page(scope: Scope, send: Send) -> bool:
    """Answer a request for a page; False for any other, which Streamlit answers, and nothing was sent."""
    if scope["path"] not in paths.PAGES | paths.OPERATOR_PAGES or scope["method"] not in ("GET", "HEAD"):
        return False
    tag, known = _tag(), [value for name, value in scope["headers"] if name == b"if-none-match"]
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-cache"), (b"etag", tag)]
    if known == [tag]:
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return True
    headers.append((b"content-length", str(len(html())).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": html() if scope["method"] == "GET" else b""})
    return True


class FirstPage:
    """Middleware that answers requests for pages itself. It comes after `Room`, which refuses pages at the limit."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        if scope["type"] != "http" or not await send_page(scope, send):
            await self._app(scope, receive, send)


@functools.cache
def _tag() -> bytes:
    return f'"{hashlib.sha256(html()).hexdigest()[:32]}"'.encode()
