"""One line of `python -m lib check`: the part, its state, and what to do about it."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warn", "NO"]
"""`warn`: works, but needs attention. `NO`: does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One part and its state. `says` is the operator's line: that it works, or the problem and its remedy."""

    about: str
    verdict: Verdict
    says: str

    @property
    def ok(self) -> bool:
        """False where something does not work."""
        return self.verdict != "NO"

    def __str__(self) -> str:
        return f"{self.verdict:<4} {self.about:<12} {' '.join(self.says.split())}"


def finding(about: str, ok: bool, says: str) -> Finding:
    """Return a finding that is either `ok` or not."""
    return Finding(about, "ok" if ok else "NO", says)
