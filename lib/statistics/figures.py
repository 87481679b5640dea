"""Numbers as text, with as many digits as their uncertainty allows. Owns digits and signs; knows no verdict.

An interval's width decides its digits, but no end is ever rounded onto a value that it does not have: an interval that
excludes 0, or reaches past the difference that matters, is never written as if it ended there.
"""

import math
from collections.abc import Callable, Iterable, Sequence

MAX_DIGITS = 12


def differences(scale: float, low: float, high: float, *others: float, apart: Iterable[float] = ()) -> list[str]:
    """Return differences times `scale`, signed: the ends of an interval and other values beside them.

    The ends stay apart from 0 and from the values in `apart`.

    >>> differences(100, 0.0712, 0.2188, 0.1449)
    ['+7', '+22', '+14']
    >>> differences(1, -0.2688, 0.4016, 0.0664)
    ['−0.27', '+0.40', '+0.07']
    >>> differences(100, 0.0031, 0.1951, 0.0991), differences(100, -0.0714, 0.0996, 0.01, apart=(0.1, -0.1))
    (['+0.3', '+20', '+10'], ['−7', '+9.96', '+1'])
    """
    avoided = [0.0, *(value * scale for value in apart)]
    return _written([low * scale, high * scale], [value * scale for value in others], _signed, avoided)


def levels(scale: float, low: float, high: float, *others: float) -> list[str]:
    """Return values times `scale`, with the digits that the width from `low` to `high` allows.

    No level is below 0: not a share, a time, a count or a price. Where few users let an interval reach below, it is
    written from 0 on.

    >>> levels(1, -0.42, 2.31, 0.94)
    ['0.0', '2.3', '0.9']
    >>> levels(100, 0.634, 0.702, 0.669), levels(1, 0.000254, 0.000262, 0.000258), levels(100, 2e-5, 0.59, 0.005)
    (['63.4', '70.2', '66.9'], ['0.0002540', '0.0002620', '0.0002580'], ['0.002', '59', '0.5'])
    """
    return _written([max(0.0, low) * scale, high * scale], [value * scale for value in others], _unsigned, [0.0])


def significant(value: float, digits: int = 3) -> str:
    """Return a value with this many significant digits, never in scientific notation.

    >>> significant(0.000258), significant(123_456), significant(0.15, 2), significant(0)
    ('0.000258', '123,456', '0.15', '0')
    """
    if not value or not math.isfinite(value):
        return f"{value:,.0f}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    written = f"{value:,.{places}f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def _written(
    ends: Sequence[float], others: Sequence[float], write: Callable[[float, int], str], avoided: Sequence[float]
) -> list[str]:
    width = abs(ends[1] - ends[0])
    if width > 0:
        digits = max(0, -math.floor(math.log10(width / 10)))
    else:  # as many as show the value
        digits = max(2, 2 - math.floor(math.log10(abs(ends[0]) or 1)))
    inside = [write(value, _apart(value, digits, [0.0])) for value in others]
    return [*(write(end, _apart(end, digits, avoided)) for end in ends), *inside]


def _apart(value: float, digits: int, avoided: Iterable[float]) -> int:
    """Return the number of digits at which rounding moves the value onto none of these."""
    for avoided_value in avoided:
        if math.isclose(value, avoided_value, rel_tol=1e-9, abs_tol=1e-12):
            continue
        while digits < MAX_DIGITS and round(value, digits) == round(avoided_value, digits):
            digits += 1
    return digits


def _unsigned(value: float, digits: int) -> str:
    written = f"{abs(value):,.{digits}f}"
    return f"−{written}" if value < 0 and written.strip("0.,") else written


def _signed(value: float, digits: int) -> str:
    written = _unsigned(value, digits)
    return f"+{written}" if value > 0 and written.strip("0.,") else written


def many(n: int, noun: str) -> str:
    """Return a number and a noun.

    >>> many(1, "user"), many(1200, "more user")
    ('1 user', '1,200 more users')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def rounded_up(users: float) -> int:
    """Round a number of users up to two digits, because an estimate has no more.

    >>> rounded_up(128.4), rounded_up(3.2), rounded_up(27_655)
    (130, 4, 28000)
    """
    step = int(10 ** max(0, math.floor(math.log10(max(users, 1))) - 1))
    return math.ceil(users / step) * step
