"""The operator's tool, one file for each command of `python -m lib`.

Each command returns lines or rows; `lib/__main__.py` parses arguments and prints. `export` and `spreadsheet` also make
the downloads of the pages.
"""

__all__ = ["export", "spreadsheet"]
