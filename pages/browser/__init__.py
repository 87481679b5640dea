"""Components for what only the browser can do: their JavaScript files and the functions that mount them."""

from pages.browser.any_page import keep_page
from pages.browser.comparison import keep_comparisons
from pages.browser.component import BoxState, keep_browser, tell_browser

__all__ = ["BoxState", "keep_browser", "keep_comparisons", "keep_page", "tell_browser"]
