"""Parley without its pages, one subject a room.

`settings` reads every setting and `domain` holds the values that all rooms share. `experiments` evaluates Statsig's
experiments, `models` asks model servers, `store` speaks SQL, `access` decides who may do what, `metrics` counts, and
`chat` runs conversations on top of them. `statistics` computes on sums; `readout` turns its numbers into verdicts and
sentences. `app` opens all of them. `web` (HTTP beside the pages), the pages and `__main__` (the operator's tool) use
that one open app; `demo` is the built-in model server.

"""

__version__ = "0.1.0"
