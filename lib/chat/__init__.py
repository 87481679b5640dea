"""The chat: a question becomes an answer that outlives its page, and all of it is recorded.

Owns conversations, comparisons, running answers, what is written of them, and how an answer's Markdown is cut into
blocks. Asks `experiments` for the group, `access` for the budget, `models` for the words and `store` for the record.
Knows neither Streamlit nor the operator's pages.
"""

__all__ = [
    "comparisons",
    "conversations",
    "generation",
    "markdown",
    "recorder",
    "rescue",
    "standings",
    "trials",
]
