"""A server's own words, separated from what it repeats of the question.

Servers quote prompts in their errors: whole, as JSON spells them, or shortened. No such repetition may decide
what an error means or reach a log. Pure.
"""

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise
from urllib.parse import unquote

LONGEST = 20_000
"""Characters of an error that are examined."""
ELLIPSIS = "[…]"
_RUN = 4
"""Consecutive words that count as a repetition."""
_EDGE = 3
"""Consecutive words that count as a repetition at the beginning and the end of a text, where servers shorten it."""
_FEW = 3
"""Words of a text so short that each of them counts as a repetition."""
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|(?:(?![{_CJK}])\w)+")
_IDENTIFYING = 4
"""Letters of a word that identifies a question by itself."""
_SQUEEZED = 8
"""Consecutive letters, ignoring everything between them, that count as a repetition."""
_UNSEEN = re.compile("[\x00\u0300-\u036f\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
_ENCODED = re.compile(r"(?=[A-Za-z+=]*\d)[A-Za-z0-9+=]{16,}")
"""Letters and digits without a space, such as text in base64 or in hexadecimal digits."""
_ESCAPE = re.compile(r"""\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([nrt"'/\\]))""")
_QUOTED = re.compile(
    r"""(?<!\w)(?:(["'`])(?=\S)(?:.+?)(?<=\S)\1(?!\w)|“.+?”|«.+?»|‘.+?’|["'`“«‘](?=\S).*\Z)""", re.DOTALL
)
"""Text between two quotation marks, or after one that is never closed because the rest was cut off."""
_RAISED = re.compile(r"""raise_exception\(\s*(["'])(.*?)\1""")
_ONE_WORD = re.compile(r"[\w.:/@\[\]-]{1,100}")


def without_echoes(text: str, sent: Iterable[str]) -> str:
    """Return the text without repetitions of the texts that were `sent`.

    >>> without_echoes("No: 'What is quota, and why?'", ["What is quota,\\nand why?"])
    "No: '[…]?'"
    >>> without_echoes('bad input "What is \\\\"quota\\\\" an..."', ['What is "quota" and why?'])
    'bad input "[…]" an..."'
    """
    text = unescape(text[:LONGEST])
    words = list(_WORD.finditer(text.lower()))
    if len(text.lower()) != len(text):  # a letter whose lower case is two letters would shift every position
        words = list(_WORD.finditer(text))
    runs = _runs(sent)
    repeated = [False] * len(words)
    spelt = [word[0].lower() for word in words]
    for length in sorted({len(run) for run in runs}):
        for at in range(len(words) - length + 1):
            if tuple(spelt[at : at + length]) in runs:
                repeated[at : at + length] = [True] * length
    return _without(text, words, repeated)


def without_traces(text: str, sent: Iterable[str]) -> str:
    """Return the text without any two words in a row of the texts that were `sent`, and without those of short ones.

    Stricter than `without_echoes`: the rest of a sentence may become unreadable. Also undoes the escapes of an address
    or a page, and removes every longer word of the sent texts, their letters however they are joined or spaced, and
    text that may be encoded.

    >>> without_traces("Prompt: my+knee%20hu... is refused (knee)", ["My knee hurts a lot today", "Knee"])
    'Prompt: […]... is refused ([…])'
    >>> echoes = ("no my_knee_hurts", "no MyKneeHurts", "no m y k n e e h u", "no hurts", "no TXkga25lZSBodXJ0cyBh")
    >>> {without_traces(echo, ["My knee hurts a lot today"]) for echo in echoes}
    {'no […]'}
    """
    sent, text = list(sent), _plain(unescape(unescape(html.unescape(unquote(text[:LONGEST])))))
    text = _ENCODED.sub(ELLIPSIS, text)
    words = list(_WORD.finditer(text))
    words_sent = [[word.lower() for word in _WORD.findall(_plain(text_sent))] for text_sent in sent]
    pairs = {pair for text_sent in words_sent for pair in pairwise(text_sent)}
    few = {
        word for text_sent in words_sent for word in text_sent if len(text_sent) <= _FEW or len(word) >= _IDENTIFYING
    }
    spelt = [word[0].lower() for word in words]
    letters = {run for text_sent in sent for run in _squeezed(_plain(text_sent[:LONGEST]))}
    repeated = [not few.isdisjoint(word.split("_")) or not letters.isdisjoint(_squeezed(word)) for word in spelt]
    for at in range(len(words) - _SQUEEZED + 1):
        if "".join(spelt[at : at + _SQUEEZED]) in letters:  # one letter each
            repeated[at : at + _SQUEEZED] = [True] * _SQUEEZED
    for at, pair in enumerate(pairwise(spelt)):
        if pair in pairs or any(pair[0] == first and second.startswith(pair[1]) for first, second in pairs):
            repeated[at : at + 2] = [True, True]
    return _without(text, words, repeated)


def own_words(text: str) -> str:
    """Return the text without its quotations; a single quoted word, such as a parameter's name, stays, and so does the
    error of a chat template.

    >>> own_words("Unsupported parameter: 'top_p' in 'so, my temperature' (the model's limit)")
    "Unsupported parameter: 'top_p' in […] (the model's limit)"
    >>> own_words("cannot parse 'why is my quota gone and")
    'cannot parse […]'
    """
    text = _RAISED.sub(r"raise_exception(\2", text)
    return _QUOTED.sub(lambda quoted: quoted[0] if _ONE_WORD.fullmatch(quoted[0][1:-1]) else ELLIPSIS, text)


def words_of(texts: Iterable[str]) -> set[str]:
    """Return every word of the texts, in lower case."""
    return {word for text in texts for word in _WORD.findall(text.lower())}


def unescape(text: str) -> str:
    r"""Return the text with the escapes of JSON and Python undone.

    >>> unescape('say \\"no\\"\\nnow')
    'say "no"\nnow'
    """
    if "\\" not in text:
        return text
    plain = {"n": "\n", "r": "\r", "t": "\t"}

    def unescaped(mark: re.Match[str]) -> str:
        return chr(int(mark[1] or mark[2], 16)) if mark[1] or mark[2] else plain.get(mark[3], mark[3])

    return _ESCAPE.sub(unescaped, text)


def _plain(text: str) -> str:
    """Return the text in the usual form of its letters, without accents and invisible characters."""
    parts = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFC", "".join(char for char in parts if not _UNSEEN.match(char)))


def _squeezed(text: str) -> set[str]:
    """Return every run of letters and digits of a text, whatever stands between them."""
    bare = "".join(filter(str.isalnum, text.lower()))
    return {bare[at : at + _SQUEEZED] for at in range(len(bare) - _SQUEEZED + 1)}


def _runs(sent: Iterable[str]) -> set[tuple[str, ...]]:
    """Return the runs of words that identify a repetition. A text of one word has none: it is too common."""
    runs: set[tuple[str, ...]] = set()
    for text in sent:
        words = [word.lower() for word in _WORD.findall(text)]
        runs |= {tuple(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1)}
        runs |= {tuple(edge) for edge in (words[:_EDGE], words[-_EDGE:]) if len(edge) > 1}
    return runs


def _without(text: str, words: Sequence[re.Match[str]], repeated: Sequence[bool]) -> str:
    parts, copied_to, at = [], 0, 0
    while at < len(words):
        if not repeated[at]:
            at += 1
            continue
        start = words[at].start()
        while at < len(words) and repeated[at]:
            at += 1
        parts += [text[copied_to:start], ELLIPSIS]
        copied_to = words[at - 1].end()
    return "".join([*parts, text[copied_to:]])
