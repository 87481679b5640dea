"""Prompts as a tester types them: the characters that are removed, and the texts that are refused."""

import re
import unicodedata


def clean_text(text: str) -> str:
    """Return typed text without characters that break servers, databases and pages: control characters and lone
    surrogates.

    Newlines, tabs and visible characters stay.

    >>> clean_text("a\\r\\nb\\x00\\tc\\ud83d")
    'a\\nb\\tc'
    """
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return _CONTROL.sub("", whole.replace("\r\n", "\n").replace("\r", "\n"))


def check_prompt(text: str, max_chars: int) -> str | None:
    """Return the sentence that refuses a prompt, for the tester; None for a valid prompt.

    >>> check_prompt(" \\n", 10), check_prompt("Why?", 10)
    ('Please write a question first.', None)
    """
    if all(unicodedata.category(char) in _BLANK for char in text):
        return "Please write a question first."
    if len(text) > max_chars:
        return f"This is too long: {len(text):,} characters, and at most {max_chars:,} can be asked. Please shorten it."
    return None


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_BLANK = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf"})
