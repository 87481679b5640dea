"""Text that every server, database and page can carry."""

import re

_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def clean(text: str) -> str:
    """Return text that every server, database and page can carry: without control characters and lone surrogates.

    Two halves that belong together become their character; a lone one becomes U+FFFD.

    >>> clean("a\\x00b\\ud83d\\ude00c\\ud83dd\\n") == "ab\\U0001f600c\\ufffdd\\n"
    True
    """
    if not _UNSAFE.search(text):
        return text
    return _CONTROL.sub("", text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))


def one_line(text: str, most: int) -> str:
    """Return the beginning of a foreign text for a name or a line, without line breaks, control characters and marks
    that change the direction of text.

    >>> one_line("a\\x1b]0;b\\n c\\x9b\\u202e\\ud83d", 80), one_line("abc", 2)
    ('a]0;b c', 'ab')
    """
    return "".join(filter(str.isprintable, " ".join(text.split())))[:most]
