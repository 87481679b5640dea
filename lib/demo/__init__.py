"""What makes Parley work with nothing set up: an OpenAI-compatible model server, and simulated visitors.

`server` is the wire and the pace, `knowledge` is what its models say (out of `answers.md` and the README).
"""
