"""A failure of a model server as a value: the tester's sentence, the operator's line, and whether a repeat may help.

Owns the sentences and the retry rules. Knows no client: `client.translate` turns its exceptions into faults.
"""

import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime

from lib.domain.completion import NO_MODEL, TELL_OPERATORS
from lib.domain.text import one_line
from lib.logs import cut
from lib.models.dialects import Meaning, meaning_of
from lib.models.echoes import own_words, without_echoes, without_traces, words_of
from lib.models.reports import at_most_a_day, read_report
from lib.models.spellings import is_about, named_by, named_in, without_request

MAX_CAUSE = 300
RETRIES = 2
"""Automatic repeats of one question, all before the first token."""
RETRY_WITHIN = 10.0
"""Seconds from the question within which a repeat must begin, and the longest `Retry-After` that is obeyed."""
REPORT_WITHIN = 15.0
"""Seconds within which the tester gets the error of a server that cannot be reached, even if it fails slowly."""
LOADING_EVERY = 2.0
"""Seconds between two requests to a server that is loading the model."""

FILTERED = "The model's content filter stopped this question. Please ask in another way."
_SET_UP = f"The assistant is not set up correctly. {TELL_OPERATORS}"
_KEY_LIKE = re.compile(r"\b(?:sk|secret)-[\w*.…-]{3,}|(?<=Bearer )\S+", re.IGNORECASE)
_SHORTEST_SECRET = 4
"""Characters: removing a shorter key would make the words unreadable and hide nothing."""
_CODE = re.compile(r"[\w.-]{1,40}")
_SOON_S = 3_600.0
"""Seconds: a limit that ends within them passes by itself."""
_KINDS: Mapping[int, str] = {
    400: "BadRequestError", 401: "AuthenticationError", 403: "PermissionDeniedError", 404: "NotFoundError",
    422: "UnprocessableEntityError", 429: "RateLimitError",
}  # fmt: skip
"""The class of an error inside a stream: the one that it would have had as an HTTP status."""
_PASSING = (408, 409, 424, 425)
"""Statuses below 500 after which the same request may succeed: 424 is TGI's and Bedrock's word for 500."""
_ABOUT_A_VALUE = re.compile(
    r"too (?:large|big|small|high|low|long)|at (?:most|least)|(?:must|should|ha(?:ve|s) to) be"
    r"|(?:less|greater|more) (?:than|or)|exceed|\brange\b|maximum|minimum|between"
    r"|invalid[ _](?:value|type)|unsupported value|only the default"
    r"|does not support [\"'`]?-?\d|_value\b|\bexpected\b|\bvalid (?:int|number|float|bool|str|decimal)|\bof type\b",
    re.IGNORECASE,
)
_LIMIT = re.compile(r"max_(?:completion_|new_)?tokens|(?:completion|output) tokens|(?:in the|or) completion", re.I)


class Fault(Exception):
    """One failure. `kind` is its class, as events name it; `status` the HTTP status, if any.

    `codes`, `param` and `text` are the server's own words, `note` is Parley's words before them, `retry_after` the
    seconds that it asked to wait, `daily` True for a day's limit. Once scrubbed, `line` is for the log and `str()` for
    an operator.
    """

    def __init__(
        self,
        kind: str,
        *,
        status: int | None = None,
        codes: tuple[str, ...] = (),
        param: str | None = None,
        text: str = "",
        note: str = "",
        retry_after: float | None = None,
        daily: bool = False,
    ) -> None:
        super().__init__(kind)
        self.kind, self.status, self.codes, self.param = kind, status, codes, param
        self.text, self.note, self.retry_after, self.daily = text, note, retry_after, daily
        self._sent: tuple[str, ...] = ()
        self._own: str | None = None
        self._cut = ""

    @classmethod
    def reported(cls, error: object, kind: str = "APIError", status: int | None = None) -> "Fault":
        """Return the fault of a server's `error` object, or of any other data that it sends as an error.

        Without an HTTP status (the error came inside a stream) it has the one that its code stands for.

        >>> fault = Fault.reported({"message": "no", "code": 7, "param": "seed"}, "BadRequestError", 400)
        >>> fault.codes, fault.param, str(fault)
        (('7',), 'seed', 'BadRequestError (HTTP 400): no')
        >>> inside = Fault.reported({"message": "slow down", "code": 429})
        >>> inside.kind, inside.status
        ('RateLimitError', 429)
        """
        report = read_report(error)
        if status is None and report.status is not None:
            status = report.status
            kind = _KINDS.get(status, "InternalServerError" if status >= 500 else kind)
        return cls(
            kind,
            status=status,
            codes=report.codes,
            param=report.param,
            text=report.text,
            retry_after=report.retry_after,
            daily=report.daily,
        )

    def __str__(self) -> str:
        status = f" (HTTP {self.status})" if self.status else ""
        return one_line(f"{self.kind}{status}: {_joined(self.note, self.text)}".rstrip(": "), MAX_CAUSE)

    @property
    def line(self) -> str:
        """The fault's line for the log: class, status, code, and a cut of the words, without quotations.

        >>> fault = Fault("BadRequestError", status=400, codes=("bad",), text="Refused: my knee hurts. Ask 'why'")
        >>> fault.scrub([], ["My knee hurts"])
        >>> fault.line
        'BadRequestError (HTTP 400, bad): Refused: […]. Ask […]'
        """
        words_sent = words_of(self._sent)
        codes = [code for code in self.codes if _CODE.fullmatch(code) and not (words_sent & words_of([code]))]
        about = ", ".join([*([f"HTTP {self.status}"] if self.status else []), *codes[:2]])
        words = _joined(self.note, cut(" ".join(self._cut.split())))
        return f"{self.kind}{f' ({about})' if about else ''}: {words}".rstrip(": ")

    def scrub(self, secrets: Iterable[str], sent: Iterable[str] = ()) -> None:
        """Remove known secrets, key-shaped texts, and repetitions of the texts that were `sent`."""
        self._sent = tuple(sent)
        text, traceless = without_echoes(self.text, self._sent), without_traces(self.text, self._sent)
        self._own = own_words(text)  # before a key such as "model" is removed
        for secret in secrets:
            if len(secret) >= _SHORTEST_SECRET:
                text, traceless = text.replace(secret, "[secret]"), traceless.replace(secret, "[secret]")
        self.text, self._cut = _KEY_LIKE.sub("[secret]", text), _KEY_LIKE.sub("[secret]", traceless)

    @property
    def own(self) -> str:
        """The server's own words: no repetition of the question, no quotation."""
        return own_words(self.text) if self._own is None else self._own

    @property
    def meaning(self) -> Meaning | None:
        """The fault's meaning by its dialect, else by its status."""
        meaning = meaning_of(self.status, self.codes, self.own)
        if meaning == "limit":
            soon = self.retry_after is not None and self.retry_after < _SOON_S
            return "busy" if soon and not self.daily else "quota"
        if meaning is None and self.param == "model" and self.status in (400, 422):
            return "no_model"
        meaning = meaning or _BY_STATUS.get(self.status or 0)
        return "quota" if meaning == "busy" and self.daily and self.retry_after is None else meaning

    @property
    def transient(self) -> bool:
        """True where the same question may succeed a moment later."""
        if self.status is None:
            return self.kind in ("APIConnectionError", "APITimeoutError") or self.meaning == "busy"
        if self.meaning in ("busy", "loading"):
            return True
        return self.meaning is None and (self.status in _PASSING or self.status >= 500)

    @property
    def about_limit(self) -> bool:
        """True where the words name the longest answer that was asked for."""
        return bool(_LIMIT.search(self.own))

    @property
    def about_value(self) -> bool:
        """True where a parameter was refused for its value, so that another value may be accepted."""
        return bool(_ABOUT_A_VALUE.search(" ".join([self.own, *self.codes])))

    def refused_parameter(self, sent: Iterable[str]) -> str | None:
        """Return the sent parameter that a refusal is about: the one in `param`, else the first in the text.

        A word that the question has, too, counts only where the sentence is about a parameter of that name, and so does
        every word of an error that has no status of a refusal: servers raise it as a 500, or inside a stream.

        >>> Fault("BadRequestError", status=400, param="stream_options.include_usage").refused_parameter(
        ...     ["seed", "stream_options"])
        'stream_options'
        >>> Fault("BadRequestError", status=400, text="'top_p' and seed: no").refused_parameter(["seed", "top_p"])
        'top_p'
        >>> Fault("BadRequestError", status=400, param="messages", text="seed").refused_parameter(["seed"])
        """
        refused = self.status in (400, 422)
        if not (refused or self.status in (None, 500, 501)) or self.meaning not in (None, "parameter"):
            return None
        names = set(sent)
        if self.param:
            return named_by(self.param, names)
        words_sent, text = words_of(self._sent), without_request(self.own)
        for word, name in named_in(text, names):
            common = not refused or word.lower() in words_sent
            if not common or is_about(word, text):
                return name
        return None

    def pause(self, retries: int, elapsed: float, took: float, backoff: float) -> float | None:
        """Return the seconds to wait before the same question is asked again, or None when it is not.

        `elapsed` seconds have passed since the question was sent, `took` of them in the last attempt.

        >>> busy = Fault("RateLimitError", status=429, retry_after=4.0)
        >>> [busy.pause(0, 0.1, 0.1, 0.5), busy.pause(1, 4.2, 0.1, 0.5), busy.pause(2, 8.3, 0.1, 0.5)]
        [4.0, 4.0, None]
        >>> Fault("RateLimitError", status=429, retry_after=10.2).pause(0, 0.1, 0.1, 0.5)
        """
        if self.meaning == "loading":
            return LOADING_EVERY * min(1.0, backoff / 0.5)
        if not self.transient or retries >= RETRIES:
            return None
        pause = max(backoff * (retries + 1), self.retry_after or 0.0)
        begins = elapsed + pause
        if pause > RETRY_WITHIN or begins > RETRY_WITHIN + backoff or begins + took > REPORT_WITHIN:
            return None
        return pause

    def message(self, begun: bool) -> str:
        """Return one sentence for the tester, with one thing to do. `begun`: a part of the answer is on the page."""
        if begun:
            cause = "The model went silent" if self.kind == "APITimeoutError" else "The connection to the model broke"
            return f"{cause} before the answer was complete. Please try again."
        meaning = self.meaning
        if meaning == "busy":
            return f"The model is busy. Please try again {_in(self.retry_after)}."
        return _BY_MEANING.get(meaning or "parameter") or _BY_KIND.get(self.kind) or _by_status(self.status)


_BY_STATUS: Mapping[int, Meaning] = {401: "bad_key", 403: "bad_key", 404: "no_model", 407: "bad_key", 429: "busy"}
"""The meaning of an error that no dialect matches."""
_BY_MEANING: Mapping[Meaning, str] = {
    "quota": f"The assistant's quota is used up. {TELL_OPERATORS}",
    "bad_key": _SET_UP,
    "no_model": f"{NO_MODEL} {TELL_OPERATORS}",
    "context_full": "The conversation is too long for the model. Please start a new one.",
    "filtered": FILTERED,
    "loading": "The model is still being loaded. Please try again in a minute.",
}
_BY_KIND: Mapping[str, str] = {
    "NoAnswer": "No answer came back. Please try again.",
    "OtherAPI": "No answer came back. Please try again.",
    "EmptyAnswer": "The model used up its tokens while thinking. Please try again.",
    "APIConnectionError": "The model cannot be reached. Please try again.",
    "APITimeoutError": "The model did not answer in time. Please try again.",
}


def _joined(note: str, words: str) -> str:
    return f"{note}: {words}" if note and words else note or words


def _by_status(status: int | None) -> str:
    if status is not None and status < 400:  # a redirect
        return _SET_UP
    if status is not None and status < 500:
        return f"The model refused the question. {TELL_OPERATORS}"
    return "The model has a problem. Please try again."


def _in(seconds: float | None) -> str:
    """
    >>> [_in(None), _in(12.2), _in(300), _in(86_400)]
    ['in a moment', 'in 13 seconds', 'in 5 minutes', 'later']
    """
    if not seconds:
        return "in a moment"
    if seconds < 100:
        return f"in {-int(-seconds // 1)} seconds"
    return f"in {-int(-seconds // 60)} minutes" if seconds <= _SOON_S else "later"


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that a server asks to wait: `retry-after-ms`, or `Retry-After` as seconds or as a date. `now`
    counts since 1970.

    >>> retry_after({"retry-after": "7"}, 0), retry_after({"retry-after-ms": "250"}, 0), retry_after({}, 0)
    (7.0, 0.25, None)
    >>> retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, 50), retry_after({"retry-after-ms": "inf"}, 0)
    (10.0, 86400.0)
    """
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return at_most_a_day(float(milliseconds) / 1000)
        value = headers.get("retry-after")
        if not value:
            return None
        if value.replace(".", "", 1).isdigit():
            return at_most_a_day(float(value))
        return at_most_a_day(parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None
