"""The least that a chat in a browser needs: no framework, no Markdown, text appended to one node once a frame."""

import os
from collections.abc import AsyncIterator

import uvicorn
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, StreamingResponse
from starlette.routing import Route

client = AsyncOpenAI()
PAGE = """<!doctype html><meta charset=utf-8><title>bare</title>
<div id=log style="white-space:pre-wrap;padding-bottom:4rem"></div>
<textarea id=q placeholder="message" style="position:fixed;bottom:0;width:100%"></textarea>
<script>
const messages = [], q = document.getElementById("q"), log = document.getElementById("log");
const say = (text) => log.appendChild(document.createElement("p")).appendChild(document.createTextNode(text));
q.addEventListener("keydown", async (e) => {
  if (e.key !== "Enter") return;
  e.preventDefault();
  const text = q.value; q.value = ""; say(text);
  messages.push({role: "user", content: text});
  const r = await fetch("/ask", {method: "POST", body: JSON.stringify(messages)});
  const node = say(""), reader = r.body.getReader(), utf8 = new TextDecoder();
  let waiting = "", due = false;
  const paint = () => { node.appendData(waiting); waiting = ""; due = false; window.scrollTo(0, 1e9); };
  for (let step; !(step = await reader.read()).done;) {
    waiting += utf8.decode(step.value, {stream: true});
    if (!due) { due = true; requestAnimationFrame(paint); } }
  paint();
  messages.push({role: "assistant", content: node.data});
});
</script>"""


async def ask(request: Request) -> StreamingResponse:
    stream = await client.chat.completions.create(model="large-model", messages=await request.json(), stream=True)

    async def texts() -> AsyncIterator[str]:
        async for part in stream:
            if part.choices and part.choices[0].delta.content:
                yield part.choices[0].delta.content

    return StreamingResponse(texts(), media_type="text/plain")


async def page(_request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


app = Starlette(routes=[Route("/", page), Route("/ask", ask, methods=["POST"])])
if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
