"""What makes Parley work with nothing set up: an OpenAI-compatible model server, and simulated visitors.

`server` is the port and the pace, `wire` the format, `knowledge` what its models say (out of `answers.md` and the
README and the manual). The visitors ask and rate through the real app. Knows no page.
"""

from lib.demo.server import Demo, serve

__all__ = ["Demo", "behaviour", "sample", "serve", "soundness", "visitors"]
