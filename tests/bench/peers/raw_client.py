"""The limit without a browser: the OpenAI client alone, in a plain loop.

A question a line on standard input; a line of JSON for each: `submit`, `first`, `last` (nanoseconds since 1970), and
`cpu`, the process's seconds for it.
"""

import json
import sys
import time

from openai import OpenAI

client = OpenAI()
for line in sys.stdin:
    cpu, submit, first, last = time.process_time(), time.time_ns(), 0, 0
    pieces = []
    for chunk in client.chat.completions.create(
        model="large-model", stream=True, stream_options={"include_usage": True},
        messages=[{"role": "user", "content": line.strip()}],
    ):  # fmt: skip
        if chunk.choices and (piece := chunk.choices[0].delta.content):
            last = time.time_ns()
            first = first or last
            pieces.append(piece)
    told = {"submit": submit, "first": first, "last": last, "cpu": time.process_time() - cpu}
    print(json.dumps(told), flush=True)
