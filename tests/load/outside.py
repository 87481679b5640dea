"""The servers around Parley under load: the stand-in model server and the stand-in Statsig, in one process of their
own. It prints their addresses as one JSON line and ends when its standard input does.

    python -m tests.load.outside DELAY_S TOKENS TOKENS_PER_S
"""

import json
import sys
from collections.abc import Iterator

from lib.experiments.evaluator import compile_definitions
from tests.support import app_process, openai_server, statsig_server
from tests.support.openai_server import DONE, Pause, Reply, Step, chunk, finish, usage

WORDS = ["Set", "the", "address", "of", "your", "own", "server", "and", "start", "the", "app", "again"]
PARAGRAPH = 40


def reply(request: openai_server.Request, delay_s: float, tokens: int, per_s: float) -> Reply:
    """Return an answer that begins and ends with the question's first word."""
    return Reply(_steps(str(request.body["messages"][-1]["content"]).partition(" ")[0], delay_s, tokens, per_s))


def _steps(tag: str, delay_s: float, tokens: int, per_s: float) -> Iterator[Step]:
    yield Pause(delay_s)
    yield chunk({"role": "assistant", "content": f"{tag} "})
    for number in range(1, tokens - 1):
        yield Pause(1 / per_s)
        yield chunk({"content": WORDS[number % len(WORDS)] + (" " if number % PARAGRAPH else "\n\n")})
    yield Pause(1 / per_s)
    yield chunk({"content": f"end-{tag}"})
    yield finish()
    yield usage(120, tokens)
    yield DONE


def main() -> None:
    delay_s, tokens, per_s = float(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    text = (app_process.ROOT / ".streamlit" / "experiments.toml").read_text(encoding="utf-8")
    specs = compile_definitions(text)[0] | {"time": 5}
    with openai_server.serve() as model, statsig_server.serve(specs) as statsig:
        model.script(otherwise=lambda request: reply(request, delay_s, tokens, per_s))
        print(json.dumps({"model": model.base_url, "statsig": statsig.url}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
