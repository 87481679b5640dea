"""A tester's reactions to answers: thumbs, their reasons, votes on two answers, implicit signals."""

from typing import Literal, get_args

Rating = Literal["satisfaction", "dissatisfaction"]
Reason = Literal["wrong", "incomplete", "too_long", "too_slow", "off_tone", "unsafe", "other"]
Signal = Literal["regenerated", "copied", "abandoned"]
Vote = Literal["left", "right", "tie", "both_bad"]
"""The vote on two answers: the better one by its place, or neither."""

RATINGS: tuple[Rating, ...] = get_args(Rating)
REASONS: tuple[Reason, ...] = get_args(Reason)
VOTES: tuple[Vote, ...] = get_args(Vote)
SIGNALS: tuple[Signal, ...] = get_args(Signal)
TIE, BOTH_BAD = "tie", "both_bad"
"""The votes on a comparison that prefer neither answer; the others are names of groups."""
