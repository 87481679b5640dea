"""The launcher: `streamlit run streamlit_app.py`. Settings are read and checked while this file is imported."""

import streamlit as st

from lib.web import server, start

start.prepare(server.SETTINGS)
app = st.App(
    "pages/frame.py",
    lifespan=server.lifespan,
    routes=server.ROUTES,
    middleware=server.MIDDLEWARE,
    on_script_error=server.on_script_error,
)
