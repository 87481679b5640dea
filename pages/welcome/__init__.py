"""The pages that a visitor without access sees."""
