"""The addresses that answer, and the methods that each accepts.

Streamlit serves more than Parley uses: uploads, custom components, an agent API, an app's static files. Addresses below
its own folders that are not listed here answer 404.
"""

import re

MACHINES = frozenset({"/healthz", "/readyz", "/metrics", "/_stcore/health", "/_stcore/metrics"})
"""Addresses for machines, under any host name."""
NUMBERS = frozenset({"/metrics", "/_stcore/metrics"})
"""Addresses of measurements, for this machine and for operators."""
STREAM = "/_stcore/stream"
"""The websocket of every page."""
SIGN_OUT = "/auth/logout"
"""The address of Streamlit's own sign-out; the form there is ours."""
SIGN_IN = frozenset({"/auth/login", "/oauth2callback"})
"""The two steps of a sign-in. A browser opens both as pages, never as a part of one."""
PAGES = frozenset({"/", "/chat", "/sign-in"})
"""Streamlit's pages that every visitor may open. `pages/frame.py` registers them."""
OPERATOR_PAGES = frozenset({"/results", "/experiment", "/events", "/history"})
"""Streamlit's pages for operators. For other visitors they do not exist."""
FILES = "/media/"
"""The beginning of the addresses of downloads, which only operators' pages have."""
_USED = frozenset({"/_stcore/health", "/_stcore/metrics", "/_stcore/host-config", STREAM})
_CLOSED = re.compile(r"/+(_stcore|component|app/static)(/|$)", re.IGNORECASE)
_FORMS = re.compile(r"/operator|/auth/logout|/invite/[^/]*")
_BESIDE = re.compile(
    r"/(healthz|readyz|metrics|favicon\.png|manifest\.json|operator|oauth2callback|auth/login|auth/logout)"
    r"|/invite/[^/]+|/(static|media|_stcore)/.*"
)
_NO_PAGE = ("/_stcore/", "/static/", FILES)


def exists(path: str) -> bool:
    """Return False for parts of Streamlit that Parley does not use.

    >>> [exists(path) for path in ("/", "/_stcore/health", "/_stcore/upload_file/a/b", "/component/x", "/app/static/x")]
    [True, True, False, False, False]
    """
    return path in _USED or not _CLOSED.match(path)


def takes(method: str, path: str) -> bool:
    """Return True where this method is allowed: everything can be read, and only forms can be sent.

    >>> takes("GET", "/chat"), takes("POST", "/chat"), takes("POST", "/operator"), takes("PUT", "/operator")
    (True, False, True, False)
    """
    return method in ("GET", "HEAD") or (method == "POST" and _FORMS.fullmatch(path) is not None)


def is_page(path: str) -> bool:
    """Return True for addresses that a browser opens as a page. They give a new visitor the cookie.

    >>> [is_page(path) for path in ("/", "/chat", "/static/js/a.js", "/healthz", "/operator")]
    [True, True, False, False, True]
    """
    return path not in MACHINES and path != "/favicon.png" and not path.startswith(_NO_PAGE)


def leads_nowhere(path: str, *, operator: bool) -> bool:
    """Return True where Streamlit has no page; it would answer with its shell, and put a dialog over the first page.

    >>> [leads_nowhere(path, operator=False) for path in ("/", "/chat/", "/results", "/nowhere", "/static/a.js")]
    [False, False, True, True, False]
    >>> leads_nowhere("/results", operator=True), leads_nowhere("/results/deeper", operator=True)
    (False, True)
    """
    page = path.rstrip("/") or "/"
    return page not in PAGES and not (operator and page in OPERATOR_PAGES) and not _BESIDE.fullmatch(path)
