"""The security headers, one set for every response.

The Content-Security-Policy allows the page's inline scripts, Streamlit's and ours, by their hashes, and images by their
addresses: a model's answer must not make a browser request anything from our own server.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache

from lib.web.first_page import html

ICON = "/favicon.png"
"""The one image that a page requests from the server. All others are embedded."""
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?")


def _inline_scripts() -> str:
    scripts = re.findall(rb"<script>(.*?)</script>", html(), re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts)


_SCRIPTS = _inline_scripts()


@lru_cache(64)
def headers(host: str) -> Mapping[str, str]:
    """Return the headers for a page that was requested under this host name.

    Streamlit needs inline styles and, for charts and components, eval and blobs. No image, font or request of another
    host is allowed. A host that a policy cannot name (an IPv6 address) gets no icon.
    """
    icon = f" {host}{ICON}" if _HOST.fullmatch(host) else ""
    return {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
        "cross-origin-opener-policy": "same-origin",
        "content-security-policy": (
            f"default-src 'self'; script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval' blob: {_SCRIPTS}; "
            f"style-src 'self' 'unsafe-inline'; img-src data: blob:{icon}; font-src 'self' data:; "
            "connect-src 'self' data: blob:; media-src data: blob:; worker-src 'self' blob:; frame-src 'none'; "
            "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
        ),
    }
