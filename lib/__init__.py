"""Parley's inside, one noun a file.

`settings` knows every setting. `events` says what can happen, as plain values, and imports nothing of ours. Around it
stand the adapters, each the only one to know its neighbour: `experiment` knows Statsig, `completion` OpenAI, `store`
SQL, `delivery` the way from the store to Statsig, `generation` the answers that go on without a page, `access` who may
do what. `analysis` is arithmetic on sums, `readout` turns it into sentences. `app` wires the parts together; `server`
(HTTP beside the pages), `resources` (the pages' way in) and `__main__` (the operator's tool) open that app.
"""

__version__ = "0.1.0"
