"""The chat page: its script, the turns that it draws, the sidebar, and one tab's state."""
