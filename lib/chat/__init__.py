"""The chat: conversations, answers that outlive their page, what is written of them, and an answer's Markdown."""
