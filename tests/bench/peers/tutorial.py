"""Streamlit's own tutorial chat ("Build a ChatGPT-like app"), with `st.feedback` thumbs as its docs show them."""

import streamlit as st
from openai import OpenAI

client = OpenAI()

if "messages" not in st.session_state:
    st.session_state.messages = []

for number, message in enumerate(st.session_state.messages):
    with st.chat_message(message["role"]):
        st.markdown(message["content"])
        if message["role"] == "assistant":
            st.feedback("thumbs", key=f"feedback_{number}")

if prompt := st.chat_input("What is up?", key="chat"):
    st.session_state.messages.append({"role": "user", "content": prompt})
    with st.chat_message("user"):
        st.markdown(prompt)
    with st.chat_message("assistant"):
        stream = client.chat.completions.create(
            model="large-model", stream=True,
            messages=[{"role": m["role"], "content": m["content"]} for m in st.session_state.messages],
        )  # fmt: skip
        response = st.write_stream(stream)
        st.feedback("thumbs", key=f"feedback_{len(st.session_state.messages)}")
    st.session_state.messages.append({"role": "assistant", "content": response})
