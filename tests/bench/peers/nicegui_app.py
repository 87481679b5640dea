"""NiceGUI's documented chat example with an OpenAI stream. It renders the whole Markdown again at each token."""

import os

from nicegui import ui
from openai import AsyncOpenAI

client = AsyncOpenAI()


@ui.page("/")
def page():
    history = []

    async def send():
        question, text.value = text.value, ""
        history.append({"role": "user", "content": question})
        with messages:
            ui.chat_message(text=question, name="You", sent=True)
            with ui.chat_message(name="Bot"):
                reply = ui.markdown()
                with ui.row():
                    ui.button(icon="thumb_up").props("flat dense")
                    ui.button(icon="thumb_down").props("flat dense")
        answer = ""
        async for part in await client.chat.completions.create(model="large-model", messages=history, stream=True):
            if part.choices and part.choices[0].delta.content:
                answer += part.choices[0].delta.content
                reply.set_content(answer)
        history.append({"role": "assistant", "content": answer})

    messages = ui.column().classes("w-full")
    with ui.footer().classes("bg-white"):
        text = ui.input(placeholder="message").classes("w-full").on("keydown.enter", send)


ui.run(host="127.0.0.1", port=int(os.environ["PORT"]), show=False, reload=False)
