"""The least that a question needs without a browser: the OpenAI client alone, in a plain loop.

Each line of standard input is a question. Each line of output is JSON: `submit`, `first`, `last` (nanoseconds since
1970) and `cpu` (seconds of processor time).
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
