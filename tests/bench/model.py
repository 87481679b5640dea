"""A stand-in for an OpenAI server that takes little processor time and records when it sent each answer.

    python -m tests.bench.model PORT

The question describes the answer: `id=17 n=500 r=100 d=200` asks for 500 tokens, 100 a second (0: as fast as the socket
takes them), the first 200 ms after the question. The answer begins with ALPHA17 and ends with OMEGA17, and
`GET /stamps?id=17` returns its times. This module knows no client and plays no failure; `openai_server` plays failures.
"""

import asyncio
import contextlib
import json
import re
import sys
import time
from dataclasses import dataclass
from typing import Any

TEXT = (
    "the model streams a few plain words about nothing in particular while we look at how soon each of them reaches "
    "the page and how much work that takes on both sides of the wire"
)
WORDS = TEXT.split()
PERIOD = 250
"""Tokens after which the sequence repeats: text, a table, text, a list, text, a block of code, text."""
TABLE, LIST, CODE = range(60, 89), range(120, 150), range(200, 240)
PLAIN_END, ROOM = 8, 60
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Wish:
    """The shape of a requested answer."""

    ident: str
    tokens: int
    rate: float
    delay_ms: float


def wish(question: str) -> Wish:
    """Return the shape of the answer that a question requests.

    >>> wish("please answer id=17 n=500 r=100 d=200")
    Wish(ident='17', tokens=500, rate=100.0, delay_ms=200.0)
    """
    told = dict(re.findall(r"\b(id|n|r|d)=([\w.]+)", question))
    return Wish(told.get("id", "x"), int(told.get("n", 100)), float(told.get("r", 50)), float(told.get("d", 200)))


def tokens(count: int, ident: str) -> list[str]:
    """Return the answer, one string a token: Markdown as models write it.

    >>> tokens(3, "17")
    ['ALPHA17', '\\n\\nmodel', ' OMEGA17']
    """
    middle = (_token(number, count) for number in range(1, count - 1))
    return [f"ALPHA{ident}", *middle, *([f" OMEGA{ident}"] if count > 1 else [])]


def _token(number: int, count: int) -> str:
    word, at = WORDS[number % len(WORDS)], number % PERIOD
    room = number - at + CODE.stop <= count - ROOM  # begin no block that would still be open at the end
    if number > count - PLAIN_END:
        return ("\n\n" if number == max(1, count - PLAIN_END + 1) else " ") + word
    if at in TABLE and room:
        return _cell(at - TABLE.start, word)
    if at in LIST:
        return ("\n\n- " if at == LIST.start else "\n- " if at % 6 == 0 else " ") + word
    if at in CODE and room:
        return _line(at, word)
    if at % 50 == 0:
        return "\n\n" + word
    return f" **{word}**" if number % 17 == 0 else " " + word


def _cell(step: int, word: str) -> str:
    if step == 0:
        return "\n\n| what | how many |\n|---|---|\n|"
    end = " |\n\n" if step == len(TABLE) - 1 else " |\n|"
    return (end, f" {word}", " |", f" {step}")[step % 4]


def _line(at: int, word: str) -> str:
    if at == CODE.start:
        return "\n\n```python\n"
    if at == CODE.stop - 1:
        return "\n```\n\n"
    return (f"x{at} = {at}\n", "# ok\n", f"print({word!r})\n", "# ok\n")[at % 4]


class Model:
    """The server. `stamps` maps an answer's id to times in nanoseconds since 1970: `recv` (the server read the
    question), `first` and `last` (it handed that token to the socket)."""

    def __init__(self) -> None:
        self.stamps: dict[str, dict[str, int]] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until the client closes it."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                size = re.search(r"(?i)content-length: *(\d+)", head)
                body = await reader.readexactly(int(size[1])) if size else b""
                path = head.split(" ", 2)[1]
                if path.endswith("/chat/completions"):
                    await self._answer(json.loads(body), writer)
                else:
                    _reply(writer, self.stamps.get(path.partition("/stamps?id=")[2]))
                await writer.drain()
        writer.close()

    async def _answer(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        received_ns, began = time.time_ns(), time.perf_counter()
        wanted = wish(_question(body))
        stamp = self.stamps[wanted.ident] = {"recv": received_ns}
        pieces = [_event(body, {"content": piece}) for piece in tokens(wanted.tokens, wanted.ident)]
        writer.write(HEAD + _event(body, {"role": "assistant", "content": ""}))
        await asyncio.sleep(max(0.0, began + wanted.delay_ms / 1000 - time.perf_counter()))
        stamp["first"], began = time.time_ns(), time.perf_counter()
        for number, piece in enumerate(pieces):
            if wanted.rate and (wait := began + number / wanted.rate - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if writer.is_closing():  # the client went away
                return
            stamp["last"] = time.time_ns()
            writer.write(piece)
            if not wanted.rate:
                await writer.drain()
        writer.write(_event(body, {}, "stop") + _usage(body, len(pieces)) + _frame(b"data: [DONE]\n\n") + b"0\r\n\r\n")


def _question(body: dict[str, Any]) -> str:
    content = next((m["content"] for m in reversed(body["messages"]) if m["role"] == "user"), "")
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def _event(body: dict[str, Any], delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _chunk(body, {"choices": [choice]})


def _usage(body: dict[str, Any], count: int) -> bytes:
    if not (body.get("stream_options") or {}).get("include_usage"):
        return b""
    asked = len(json.dumps(body["messages"])) // 4
    usage = {"prompt_tokens": asked, "completion_tokens": count, "total_tokens": asked + count}
    return _chunk(body, {"choices": [], "usage": usage})


def _chunk(body: dict[str, Any], rest: dict[str, Any]) -> bytes:
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body.get("model")} | rest
    return _frame(b"data: " + json.dumps(chunk).encode() + b"\n\n")


def _frame(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _reply(writer: asyncio.StreamWriter, known: dict[str, int] | None) -> None:
    data = json.dumps(known or {}).encode()
    status = b"200 OK" if known else b"404 Not Found"
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(data))
    writer.write(head + data)


async def main() -> None:
    server = await asyncio.start_server(Model().serve, "127.0.0.1", int(sys.argv[1]), limit=2**26)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
