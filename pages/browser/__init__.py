"""Components for what only the browser can do: their JavaScript files and their Python face."""

from pages.browser.comparison import keep_comparisons
from pages.browser.component import BoxState, keep_browser, tell_browser
from pages.browser.tables import keep_tables

__all__ = ["BoxState", "keep_browser", "keep_comparisons", "keep_tables", "tell_browser"]
