"""The operator's tool, one file for each command of `python -m lib`.

Each command reads what the other rooms know and returns lines or rows; `lib/__main__.py` reads arguments and prints.
Two of its files, the export and its cells, also make the downloads of the pages.
"""

__all__ = ["export", "spreadsheet"]
