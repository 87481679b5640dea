"""Pieces of an answer's text on the way from the model server to the page: strings, in the order of arrival."""


class Anew(str):
    """A piece that replaces all text before it, which turned out not to be the answer."""

    __slots__ = ()


def joined(first: str, second: str) -> str:
    """Return two pieces as one.

    >>> joined("a", "b"), joined("a", Anew("b")), joined(Anew("a"), "b")
    ('ab', 'b', 'ab')
    >>> [isinstance(piece, Anew) for piece in (joined("a", "b"), joined("a", Anew("b")), joined(Anew("a"), "b"))]
    [False, True, True]
    """
    if isinstance(second, Anew):
        return second
    return Anew(first + second) if isinstance(first, Anew) else first + second
