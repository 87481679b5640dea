"""What went wrong between us and a model server, as a value: what the tester reads, what the operator reads, what may
be tried again.

Owns the words and the rules of failure. Knows no client: `completion` translates what the client raises, once.
"""

import json
import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

MAX_CAUSE = 300
RETRIES = 2
"""Automatic repeats of one question, all of them before the first token."""
RETRY_WITHIN = 10.0
"""Seconds from the question within which a repeat must begin, and the longest `Retry-After` that is obeyed."""
TOLD_WITHIN = 15.0
"""Seconds within which a tester hears of a server that cannot be reached, even if it fails as slowly as it just did."""

_SET_UP = "The assistant is not set up correctly. The operator has been told."
_KEY_LIKE = re.compile(r"\b(?:sk|secret)-[\w*.…-]{3,}|(?<=Bearer )\S+", re.IGNORECASE)
_QUOTA = re.compile(r"quota|billing", re.IGNORECASE)


class Fault(Exception):
    """One failure. `kind` is its class, as events name it; `status` that of HTTP, if it came so far.

    `code`, `param` and `text` are the server's own words, `retry_after` the seconds that it asked to wait. `str()` is
    the operator's line, once `scrubbed`.
    """

    def __init__(
        self, kind: str, *, status: int | None = None, code: str | None = None, param: str | None = None,
        text: str = "", retry_after: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(kind)
        self.kind, self.status, self.code, self.param = kind, status, code, param
        self.text, self.retry_after = text, retry_after

    @classmethod
    def reported(cls, error: object, kind: str = "APIError", status: int | None = None) -> "Fault":
        """What a server says in an `error` object, or in whatever else it sends for one.

        >>> fault = Fault.reported({"message": "no", "code": 7, "param": "seed"}, "BadRequestError", 400)
        >>> fault.code, fault.param, str(fault)
        ('7', 'seed', 'BadRequestError (HTTP 400): no')
        """
        if not isinstance(error, Mapping):
            return cls(kind, status=status, text=_words(error))
        code = error.get("code") or error.get("type")
        param = error.get("param")
        words = error.get("message") or error.get("detail") or error
        return cls(kind, status=status, code=str(code) if code else None,
                   param=param if isinstance(param, str) and param else None, text=_words(words))  # fmt: skip

    def __str__(self) -> str:
        status = f" (HTTP {self.status})" if self.status else ""
        return " ".join(f"{self.kind}{status}: {self.text}".split()).rstrip(": ")[:MAX_CAUSE]

    def scrub(self, secrets: Iterable[str]) -> None:
        """Take known secrets, and whatever looks like a key, out of what the server said."""
        for secret in secrets:
            if secret:
                self.text = self.text.replace(secret, "[secret]")
        self.text = _KEY_LIKE.sub("[secret]", self.text)

    @property
    def quota(self) -> bool:
        """Whether the account has run dry, which no repeat will change."""
        return self.status == 402 or bool(_QUOTA.search(self.code or "")) or "current quota" in self.text

    @property
    def transient(self) -> bool:
        """Whether the same question may well be answered a moment later."""
        if self.status is None:
            return self.kind in ("APIConnectionError", "APITimeoutError")
        return (self.status in (408, 409, 429) or self.status >= 500) and not self.quota

    @property
    def no_such_model(self) -> bool:
        """Whether the server does not have the model that was asked for."""
        return self.status == 404 or (self.status in (400, 403) and self.code == "model_not_found")

    def refused_parameter(self, sent: Iterable[str]) -> str | None:
        """Which of the sent parameters a 400 is about: the one in `param`, or where that is null, named in the text.

        >>> Fault("BadRequestError", status=400, param="stream_options.include_usage").refused_parameter(
        ...     ["seed", "stream_options"])
        'stream_options'
        >>> Fault("BadRequestError", status=400, text="'top_p' and seed: no").refused_parameter(["seed", "top_p"])
        'top_p'
        >>> Fault("BadRequestError", status=400, param="messages", text="seed").refused_parameter(["seed"])
        """
        if self.status not in (400, 422):
            return None
        names = set(sent)
        words = re.split(r"[.\[]", self.param)[:1] if self.param else re.findall(r"\w+", self.text)
        return next((word for word in words if word in names), None)

    def pause(self, retries: int, elapsed: float, took: float, backoff: float) -> float | None:
        """Seconds to wait before the same question is asked again, or None when it is not.

        `elapsed` since the question left, `took` of that for the last attempt.

        >>> busy = Fault("RateLimitError", status=429, retry_after=4.0)
        >>> [busy.pause(0, 0.1, 0.1, 0.5), busy.pause(1, 4.2, 0.1, 0.5), busy.pause(2, 8.3, 0.1, 0.5)]
        [4.0, 4.0, None]
        >>> Fault("RateLimitError", status=429, retry_after=10.2).pause(0, 0.1, 0.1, 0.5)
        """
        if not self.transient or retries >= RETRIES:
            return None
        pause = max(backoff * (retries + 1), self.retry_after or 0.0)
        begins = elapsed + pause
        if pause > RETRY_WITHIN or begins > RETRY_WITHIN + backoff or begins + took > TOLD_WITHIN:
            return None
        return pause

    def message(self, begun: bool) -> str:
        """One sentence for the tester, and one thing to do. `begun`: some of the answer is on the page."""
        if begun:
            what = "The model went silent" if self.kind == "APITimeoutError" else "The connection to the model broke"
            return f"{what} before the answer was complete. Please try again."
        if self.quota:
            return "The assistant's quota is used up. The operator has been told."
        if self.status in (401, 403):
            return _SET_UP
        if self.no_such_model:
            return "The model is not available. The operator has been told."
        if self.status == 413 or self.code == "context_length_exceeded":
            return "The conversation is too long for the model. Please start a new one."
        if self.status == 429:
            return f"The model is busy. Please try again {_in(self.retry_after)}."
        return _BY_KIND.get(self.kind) or _by_status(self.status)


_BY_KIND: Mapping[str, str] = {
    "NoAnswer": "No answer came back. Please try again.",
    "APIConnectionError": "The model cannot be reached. Please try again.",
    "APITimeoutError": "The model did not answer in time. Please try again.",
}


def _by_status(status: int | None) -> str:
    if status is not None and status < 500:
        return "The model refused the question. The operator has been told."
    return "The model has a problem. Please try again."


def _in(seconds: float | None) -> str:
    """
    >>> [_in(None), _in(12.2), _in(300)]
    ['in a moment', 'in 13 seconds', 'in 5 minutes']
    """
    if not seconds:
        return "in a moment"
    if seconds < 100:
        return f"in {-int(-seconds // 1)} seconds"
    return f"in {-int(-seconds // 60)} minutes"


def _words(said: Any) -> str:
    return said if isinstance(said, str) else json.dumps(said, ensure_ascii=False, default=str)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a server asks to wait: `retry-after-ms`, or `Retry-After` as seconds or as a date. `now` since 1970.

    >>> retry_after({"retry-after": "7"}, 0), retry_after({"retry-after-ms": "250"}, 0), retry_after({}, 0)
    (7.0, 0.25, None)
    >>> retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, 50)
    10.0
    """
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        said = headers.get("retry-after")
        if not said:
            return None
        if said.replace(".", "", 1).isdigit():
            return float(said)
        return max(0.0, parsedate_to_datetime(said).timestamp() - now)
    except ValueError:
        return None
