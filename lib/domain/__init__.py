"""Values that every room shares: visitors, assignments, questions, completions and events. Imports no other room."""
