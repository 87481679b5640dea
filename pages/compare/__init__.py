"""Two answers to one question on the chat page: drawing, following and voting, blind."""

from pages.compare.sides import draw, draw_end, follow

__all__ = ["draw", "draw_end", "follow"]
