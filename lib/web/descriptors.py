"""File descriptors: as many as the system allows, and no new pages when few are left.

Every open page holds four. A process without any can neither accept a connection nor open its database, so new pages
are refused while the open ones still have what they need.
"""

import functools
import os
import time
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from lib.web import plain

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

UNLIMITED = 1 << 20
"""The limit requested where the system has none."""
FALLBACK = 10_240
"""The limit requested where the system refuses its own, as macOS does."""
COUNT_S = 0.25
"""Seconds for which a count of open descriptors is reused, far from the limit."""


def raise_limit() -> int | None:
    """Raise this process's soft limit to its hard one; return the limit, None where the system has none."""
    if resource is None:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for requested in (UNLIMITED if hard == resource.RLIM_INFINITY else min(hard, UNLIMITED), FALLBACK):
        if soft != resource.RLIM_INFINITY and requested > soft:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (requested, hard))
                break
            except (ValueError, OSError):
                continue
    return limit()


def limit() -> int | None:
    """Return how many descriptors this process may have; None without a limit."""
    if resource is None:
        return None
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def reserve(descriptors: int) -> int:
    """Return the number of descriptors reserved for open pages.

    >>> reserve(256), reserve(1024), reserve(1 << 20)
    (32, 128, 512)
    """
    return min(max(descriptors // 8, 32), 512)


def scarce() -> bool:
    """Return True when few descriptors are left. Near the limit every question counts anew."""
    descriptors = limit()
    if descriptors is None:
        return False
    room = descriptors - reserve(descriptors)
    return _counted_lately(int(time.monotonic() / COUNT_S)) > room - reserve(descriptors) and _count() > room


@functools.lru_cache(maxsize=1)
def _counted_lately(_moment: int) -> int:
    return _count()


def _count() -> int:
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return 0


class Room:
    """Middleware that refuses new pages and connections with a friendly page when few descriptors are left."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        if scope["type"] == "websocket" and scarce():
            return await send({"type": "websocket.close", "code": 1013})
        if scope["type"] == "http" and _is_page(scope) and scarce():
            page = plain.page(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Parley is full right now",
                "Please try again in a minute. Open conversations continue.",
            )
            page.headers["retry-after"] = "60"
            return await page(scope, receive, send)
        return await self._app(scope, receive, send)


def _is_page(scope: Scope) -> bool:
    accepted = b"".join(value for name, value in scope["headers"] if name == b"accept")
    return scope["method"] == "GET" and b"text/html" in accepted
