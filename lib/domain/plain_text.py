"""Text files that people edit: UTF-8, with or without the byte order mark of Windows editors. Opens no file."""

NOT_UTF8 = "not UTF-8 text"


def decode(data: bytes) -> str:
    """Return the text of a file, without a byte order mark and with plain line ends.

    Raises ValueError for another encoding. A NUL byte means UTF-16 without its mark.

    >>> decode(b"\\xef\\xbb\\xbfa = 1\\r\\n")
    'a = 1\\n'
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(NOT_UTF8) from None
    if "\0" in text:
        raise ValueError(NOT_UTF8)
    return text.replace("\r\n", "\n")
