"""The launcher: `streamlit run streamlit_app.py`. Reads and checks the settings before anything else."""

import streamlit as st

from lib.web.failed_page import on_script_error
from lib.web.server import Server
from lib.web.start import prepare

server = Server(prepare())
app = st.App(
    "pages/frame.py",
    lifespan=server.lifespan,
    routes=server.routes(),
    middleware=server.middleware(),
    on_script_error=on_script_error,
)
