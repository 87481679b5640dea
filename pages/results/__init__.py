"""The Results page, for operators: the verdict, its charts and the sections below."""
