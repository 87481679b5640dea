"""What a tester makes of an answer: the thumb, its reason, and the signals that nobody gives on purpose."""

from typing import Literal, get_args

Rating = Literal["satisfaction", "dissatisfaction"]
Reason = Literal["wrong", "incomplete", "too_long", "too_slow", "off_tone", "unsafe", "other"]
Signal = Literal["regenerated", "copied", "abandoned"]

RATINGS: tuple[Rating, ...] = get_args(Rating)
REASONS: tuple[Reason, ...] = get_args(Reason)
SIGNALS: tuple[Signal, ...] = get_args(Signal)
