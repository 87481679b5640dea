"""The addresses that answer, and the methods that each of them takes.

Streamlit serves more than Parley uses: uploads, custom components, an agent API, an app's static files. Everything
below its own folders that is not named here does not exist.
"""

import re

MACHINES = frozenset({"/healthz", "/readyz", "/metrics", "/_stcore/health", "/_stcore/metrics"})
"""Addresses that machines ask for, under any host name."""
NUMBERS = frozenset({"/metrics", "/_stcore/metrics"})
"""Addresses that show measurements, to this machine and to operators."""
STREAM = "/_stcore/stream"
"""The websocket of every page."""
SIGN_OUT = "/auth/logout"
"""The address to which Streamlit's own sign-out leads; the form there is ours."""
SIGN_IN = frozenset({"/auth/login", "/oauth2callback"})
"""The two steps of a sign-in. Both are pages that a browser opens, never a part of one."""
_USED = frozenset({"/_stcore/health", "/_stcore/metrics", "/_stcore/host-config", STREAM})
_CLOSED = re.compile(r"/+(_stcore|component|app/static)(/|$)", re.IGNORECASE)
_FORMS = re.compile(r"/operator|/auth/logout|/invite/[^/]*")
_NO_PAGE = ("/_stcore/", "/static/", "/media/")


def exists(path: str) -> bool:
    """Return False for what Parley does not use of Streamlit.

    >>> [exists(path) for path in ("/", "/_stcore/health", "/_stcore/upload_file/a/b", "/component/x", "/app/static/x")]
    [True, True, False, False, False]
    """
    return path in _USED or not _CLOSED.match(path)


def takes(method: str, path: str) -> bool:
    """Return True where this method may be used: everything can be read, and forms alone can be sent.

    >>> takes("GET", "/chat"), takes("POST", "/chat"), takes("POST", "/operator"), takes("PUT", "/operator")
    (True, False, True, False)
    """
    return method in ("GET", "HEAD") or (method == "POST" and _FORMS.fullmatch(path) is not None)


def is_page(path: str) -> bool:
    """Return True for what a browser opens as a page, and with which a new visitor begins.

    >>> [is_page(path) for path in ("/", "/chat", "/static/js/a.js", "/healthz", "/operator")]
    [True, True, False, False, True]
    """
    return path not in MACHINES and path != "/favicon.png" and not path.startswith(_NO_PAGE)
