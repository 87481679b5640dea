"""Syntax trees of the project's files."""

import ast
import gc
from functools import cache
from pathlib import Path


@cache
def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a file.

    Python 3.11 raises SystemError where the garbage collector runs a finalizer while a tree is built, so it waits.
    """
    gc.disable()
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    finally:
        gc.enable()
