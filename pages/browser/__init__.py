"""What only the browser can do, as one component: its JavaScript files and their Python face."""

from pages.browser.component import BoxState, keep_browser, tell_browser

__all__ = ["BoxState", "keep_browser", "tell_browser"]
