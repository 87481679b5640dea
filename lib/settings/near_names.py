"""The settings that a mistyped name may mean. Pure."""

from collections.abc import Iterable, Sequence
from functools import cache

PREFIX = "PARLEY_"
_FAR = 99
_MOST = 3
"""Most names that are suggested."""
_LONGEST = 64
"""Characters of a name that is compared."""


def near_names(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names that are nearest to a mistyped one, none where none is near.

    Names are compared word by word without the common prefix. A letter that is missing, added or wrong counts one, and
    so do two neighbouring letters in the wrong order and a word that was left out. Of names that are equally near, at
    most `_MOST` are returned.

    >>> known = ["PARLEY_BUDGET_USD", "PARLEY_BUDGET_ANSWERS", "PARLEY_UNIT", "PARLEY_TRUSTED_PROXIES", "DATABASE_URL"]
    >>> near_names("PARLEY_BUGDET", known), near_names("PARLEY_UNTI", known)
    (['PARLEY_BUDGET_USD', 'PARLEY_BUDGET_ANSWERS'], ['PARLEY_UNIT'])
    >>> near_names("PARLEY_PROXIES", known), near_names("PARLEY_DATABASEURL", known), near_names("PARLEY_FOO", known)
    (['PARLEY_TRUSTED_PROXIES'], ['DATABASE_URL'], [])
    """
    typed = name.upper().removeprefix(PREFIX)
    if len(typed) > _LONGEST:
        return []
    distances = {one: _distance(typed, one.removeprefix(PREFIX)) for one in known}
    nearest = min(distances.values(), default=_FAR)
    return [one for one, distance in distances.items() if distance == nearest < _FAR][:_MOST]


def _distance(typed: str, name: str) -> int:
    most = min(max(1, len(typed) // 3), len(typed) - 1)
    joined = _typos(typed.replace("_", ""), name.replace("_", ""))
    typos, left_out = _aligned(typed.split("_"), name.split("_"))
    distances = [joined] if joined <= most else []
    return min([*distances, *([typos + left_out] if typos <= most else [])], default=_FAR)


def _aligned(typed: Sequence[str], name: Sequence[str]) -> tuple[int, int]:
    """Return the typos of the typed words as words of the name, in their order, and the words that were left out."""
    if not typed:
        return 0, len(name)
    if len(typed) > len(name):
        return _FAR, 0
    typos, left_out = _aligned(typed[1:], name[1:])
    here = typos + _typos(typed[0], name[0]), left_out
    typos, left_out = _aligned(typed, name[1:])
    return min(here, (typos, left_out + 1), key=sum)


@cache
def _typos(first: str, second: str) -> int:
    """Return the number of letters to insert, remove, replace or exchange with their neighbour.

    >>> _typos("BUGDET", "BUDGET"), _typos("MODLE", "MODEL"), _typos("ACESS", "ACCESS"), _typos("LOG", "UNIT")
    (1, 1, 1, 4)
    """
    if not first or not second:
        return len(first) + len(second)
    if first[0] == second[0]:
        return _typos(first[1:], second[1:])
    options = [_typos(first[1:], second), _typos(first, second[1:]), _typos(first[1:], second[1:])]
    if first[:2] == second[1::-1] and len(first) > 1:
        options.append(_typos(first[2:], second[2:]))
    return 1 + min(options)
