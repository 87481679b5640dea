"""The look of the plain pages beside Streamlit: no script, nothing loaded, everything escaped."""

import base64
import hashlib
import html
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse, RedirectResponse, Response

from lib.settings import Settings

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0; padding-top: 6rem; display: grid; justify-items: center;
  color: light-dark(#1d2433, #e6e9f0); background: light-dark(#ffffff, #14171f); }
main { box-sizing: border-box; width: min(30rem, 100vw - 2rem); padding: 1.5rem 1.5rem .5rem; border-radius: .6rem;
  border: 1px solid light-dark(#dfe2ea, #303646); }
p { margin: 0 0 1rem; overflow-wrap: anywhere; }
.app { margin: 0 0 .5rem; font-size: .875rem; color: light-dark(#5a6376, #a7b0c2); }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .75rem; }
label, input, button { display: block; box-sizing: border-box; width: 100%; font: inherit; }
input, button { margin: .5rem 0 1rem; padding: .6rem .8rem; border-radius: .6rem; border: 1px solid; }
input { color: inherit; background: transparent; border-color: light-dark(#8089a0, #7b849b); }
button { color: #ffffff; background: #2f5bd8; border-color: #2f5bd8; cursor: pointer; }
a { color: light-dark(#2f5bd8, #9db4ff); }
input:focus-visible, button:focus-visible { outline: 3px solid light-dark(#2f5bd8, #7c9bff); outline-offset: 2px; }
"""
HEADERS = {
    "cache-control": "no-store",
    # Browsers send a form's origin only with a referrer policy that allows it. This one leaves out the path, which is
    # a key in the case of an invitation: proxies log the page that a request came from.
    "referrer-policy": "strict-origin",
    "content-security-policy": (
        "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; "
        f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
    ),
}


def home(settings: Settings) -> str:
    """Return the address of the chat on this host."""
    return urlsplit(settings.public_url).path.rstrip("/") + "/"


def name_for_strangers(settings: Settings) -> str:
    """Return the app's name, or nothing where only guests may learn it."""
    return "" if settings.access == "invite" else settings.title


def page(status: HTTPStatus, title: str, *paragraphs: str, app: str = "") -> Response:
    """Return a page with a text. `app` is the name of the app."""
    return whole(status, title, "".join(f"<p>{html.escape(text)}</p>" for text in paragraphs), app=app)


def form(status: HTTPStatus, title: str, text: str, button: str, *, app: str = "") -> Response:
    """Return a page with one button that sends a form to the page's own address."""
    inside = f'<p>{html.escape(text)}</p><form method="post"><button autofocus>{html.escape(button)}</button></form>'
    return whole(status, title, inside, app=app)


def nowhere(settings: Settings, accept: str = "text/html") -> Response:
    """Return the answer to a wrong address: a page with the way back, or one line where HTML is not accepted."""
    if "text/html" not in accept:
        return Response("Not Found", HTTPStatus.NOT_FOUND, {"cache-control": "no-store"}, "text/plain")
    text = "<p>The address may be old, or a part of it may be missing.</p>"
    back = f'<p><a href="{html.escape(home(settings))}">Go to the chat</a></p>'
    return whole(HTTPStatus.NOT_FOUND, "There is no page here", text + back, app=name_for_strangers(settings))


def whole(
    status: HTTPStatus,
    title: str,
    inside: str,
    *,
    app: str = "",
    head: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a page around `inside` and `head`, which are HTML already."""
    title, name = html.escape(title), f'<p class="app">{html.escape(app)}</p>' if app else ""
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="robots" content="noindex">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{head}<title>{title}</title>'
        f"<style>{STYLE}</style></head><body><main>{name}<h1>{title}</h1>{inside}</main></body></html>",
        status,
        headers=HEADERS | dict(headers or {}),
    )


def to(address: str, *cookies: str) -> Response:
    """Return a redirect to another of our pages, with these cookies."""
    response = RedirectResponse(address, HTTPStatus.SEE_OTHER, headers={"cache-control": "no-store"})
    for cookie in cookies:
        response.headers.append("set-cookie", cookie)
    return response
