"""Chainlit's documented OpenAI streaming example, with the chat kept in the user session."""

import chainlit as cl
from openai import AsyncOpenAI

client = AsyncOpenAI()


@cl.on_chat_start
async def start():
    cl.user_session.set("history", [])


@cl.on_message
async def main(message: cl.Message):
    history = cl.user_session.get("history")
    history.append({"role": "user", "content": message.content})
    msg = cl.Message(content="")
    stream = await client.chat.completions.create(model="large-model", messages=history, stream=True)
    async for part in stream:
        if part.choices and (token := part.choices[0].delta.content):
            await msg.stream_token(token)
    history.append({"role": "assistant", "content": msg.content})
    await msg.update()
