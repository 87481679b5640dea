"""Streamlit's own scripts, styles and fonts, read in one go: what a page waits for before it can do anything.

A page asks for some 80 of them at once. Streamlit hands every piece of every file to a thread and back (2.2 ms of
processor time a file, 0.4 ms this way), on the processor that the browser of a machine with two wants as well.
"""

import functools
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from starlette.responses import FileResponse
from starlette.types import Scope, Send

STATIC = Path(getattr(find_spec("streamlit"), "origin", None) or "").parent / "static"
"""Where Streamlit's page and all that it asks for lies."""
AT_ONCE = 1_000_000
"""Bytes of a file that are read without a thread; who is larger would hold everybody up."""
CONDITIONS = (b"range", b"if-range", b"if-none-match", b"if-modified-since")
"""Headers of a request that is for less than a whole file, or perhaps for none."""
FOR_GOOD = "public, immutable, max-age=31536000"
"""As Streamlit says: a file's name changes with what is in it."""


async def send_file(scope: Scope, send: Send) -> bool:
    """Answer a plain request for one of these files; False where it is anything else, and nothing was sent."""
    path = _files().get(scope["path"])
    if path is None or scope["method"] != "GET" or any(name in CONDITIONS for name, _ in scope["headers"]):
        return False
    try:
        headers, body = _headers(path), path.read_bytes()
    except OSError:
        return False
    await send({"type": "http.response.start", "status": 200, "headers": [*headers]})
    await send({"type": "http.response.body", "body": body})
    return True


@functools.cache
def _files() -> Mapping[str, Path]:
    """By the path of its address, each file that is not too large."""
    found = [path for path in (STATIC / "static").rglob("*") if path.is_file() and path.stat().st_size <= AT_ONCE]
    return {f"/{path.relative_to(STATIC).as_posix()}": path for path in found}


@functools.cache
def _headers(path: Path) -> list[tuple[bytes, bytes]]:
    """What Streamlit would send with it."""
    answer = FileResponse(path, stat_result=path.stat(), headers={"cache-control": FOR_GOOD})
    return answer.raw_headers
