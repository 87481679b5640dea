"""One ended answer of a model: its text, finish reason, times and tokens."""

from dataclasses import dataclass
from typing import Literal

FinishReason = Literal[
    "stop", "length", "content_filter", "tool_calls", "refusal", "stopped", "interrupted", "error", "limited"
]
"""The finish reason. `stopped`: by the tester; `interrupted`: the stream broke; `error`: no answer came; `limited`: a
budget was met and no model was asked. The others are the model server's."""
Limit = Literal["day", "visitor", "invitation", "address", "busy"]
"""The limit that was met: everyone's spend of a day, a visitor's answers of a day, an invitation's spend, the rate of a
network, concurrent answers."""
UsageSource = Literal["server", "estimated", "none"]
NO_MODEL = "The model is not available."
"""A tester's sentence about a model that its provider lacks."""
TELL_OPERATORS = "Please tell the person who invited you."
"""The end of a tester's sentence about a failure that only operators can end."""
OPERATORS_KNOW = "The operators have been told."
"""The end of that sentence once an alert about the failure has reached an operator."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the model server counted them or as we estimated them; `none`: unknown."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    source: UsageSource = "none"
    cache_write_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """The facts of one ended answer. Times in seconds on a monotonic clock, from the moment the question was sent.

    `provider` is the last one asked, None where none was. `error` is the class of the error (never its message),
    `message` the sentence for the tester. `limit` is the budget of a `limited` answer. `reasoning` is the model's
    thinking as far as the server sent it, `reasoning_time` its duration. `renamed_parameters` were sent under their
    other name.
    """

    text: str
    finish_reason: FinishReason
    response_time: float
    time_to_first_token: float | None = None
    usage: Usage = Usage()
    served_model: str | None = None
    provider: str | None = None
    error: str | None = None
    message: str | None = None
    retries: int = 0
    dropped_parameters: tuple[str, ...] = ()
    renamed_parameters: tuple[str, ...] = ()
    parameter_error: str | None = None
    cost_usd: float | None = None
    limit: Limit | None = None
    reasoning: str | None = None
    reasoning_time: float | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens per second between the first token and the end; None where unknown."""
        if self.usage.completion_tokens is None or self.time_to_first_token is None:
            return None
        streamed = self.response_time - self.time_to_first_token
        tokens = self.usage.completion_tokens - (self.usage.reasoning_tokens or 0)
        return tokens / streamed if streamed > 0 and tokens >= 0 else None
