"""Parley without its pages, one package for each subject.

A package of `lib` is called a room. `settings` reads every setting and `domain` holds the values that all rooms share.
`experiments` evaluates Statsig's experiments, `models` asks model servers, `store` speaks SQL, `access` holds the rules
of access, `metrics` counts, and `chat` runs conversations on top of them. `statistics` computes on sums; `readout`
turns its numbers into verdicts and sentences. `planning` computes how many testers an experiment needs, and `alerts`
sends news to operators. `app` opens all of them. `web` (HTTP beside the pages), the pages and `__main__` (the
operator's tool, with the commands of `commands`) use that one open app; `demo` is the built-in model server.
"""

__version__ = "0.1.0"
