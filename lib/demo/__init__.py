"""The demo: an OpenAI-compatible model server and simulated visitors, for a Parley without any settings.

`server` is the port and the pace, `wire` the format, `knowledge` what its models say (out of `answers.md` and the
README and the manual). The visitors ask and rate through the real app. Knows no page.
"""

from lib.demo.server import Demo, serve

__all__ = ["Demo", "behaviour", "comparers", "sample", "serve", "soundness", "visitors"]
