"""Syntax trees of the project's files."""

import ast
import gc
from functools import cache
from pathlib import Path


@cache
def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a file.

    The garbage collector is off meanwhile: Python 3.11 raises SystemError if a finalizer runs while a tree is built.
    """
    gc.disable()
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    finally:
        gc.enable()
