"""HTTP beside the pages: the server's start and end, its own addresses, and the middleware around every request.

Owns headers, cookies, limits, health and metrics, Streamlit's own files, and every undocumented part of Streamlit that
Parley relies on (`patches`, `click_order`, `tabs`). Holds the running app of the process. Knows no page's content.
"""

__all__ = ["accounts", "failed_page", "patches", "running", "server", "start", "tabs"]
