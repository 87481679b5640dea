"""Two answers to one question on the chat page: how they are drawn, followed and voted on, without a word of whose
they are."""

from pages.compare.sides import draw, draw_end, follow

__all__ = ["draw", "draw_end", "follow"]
