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


def toml_problem(text: str, error: ValueError) -> str:
    """Return the message about broken TOML, with the line where tomllib names the end of the document.

    >>> import tomllib
    >>> try:
    ...     tomllib.loads("a = 1\\nb = [")
    ... except tomllib.TOMLDecodeError as error:
    ...     toml_problem("a = 1\\nb = [", error)
    'not valid TOML: Invalid value (at line 2, where the file ends)'
    """
    end = f"at line {text.count(chr(10)) + 1}, where the file ends"
    return f"not valid TOML: {error}".replace("at end of document", end)
