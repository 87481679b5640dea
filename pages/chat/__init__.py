"""The chat page: its script, the turns that it draws, the sidebar, and what one tab keeps."""
