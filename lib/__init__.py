"""Parley without its pages, one subject a room.

`settings` knows every setting and `domain` holds the values that all rooms share. `experiments` knows Statsig, `models`
the model servers, `store` SQL, `access` who may do what; `chat` runs conversations on them. `statistics` is arithmetic
on sums, `readout` makes verdicts and sentences of it. `app` wires the rooms together; `web` (HTTP beside the pages),
the pages and `__main__` (the operator's tool) open that app.
"""

__version__ = "0.1.0"
