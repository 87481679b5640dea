"""The checks before the server serves, run while `streamlit_app.py` is imported.

A mistake ends the process with one line and exit code 2; later it would be a traceback of the server.
"""

import codecs
import os
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import streamlit as st

from lib.access import data_folder
from lib.access.signing_key import signing_key
from lib.alerts.receivers import Receivers
from lib.domain.plain_text import decode
from lib.domain.proxies import keep_loopback_direct
from lib.experiments.definitions import DefinitionError, read_definitions_file
from lib.models.prices import PriceError, Prices
from lib.settings import SECRETS_FILE, Settings, SettingsError, load, unquoted
from lib.web import click_order, patches
from lib.web.descriptors import raise_limit


def prepare() -> Settings:
    """Return the settings and prepare the process, or exit with one line for every problem.

    Reads the environment before Streamlit writes its secrets into it.
    """
    keep_loopback_direct(os.environ)
    raise_limit()
    patches.log_through_ours()
    patches.keep_the_peer()
    patches.keep_address_unknown()
    click_order.act_in_order()
    try:
        settings = load()
        read_definitions_file(settings.experiments_file, settings.provider_names)
        Prices.load()
        problems = list(_problems(settings))
        if settings.alerts:
            Receivers(settings.alerts)
    except (SettingsError, DefinitionError, PriceError) as error:
        problems = list(error.problems)
    if problems:
        print("Parley cannot start:", *problems, sep="\n  ", file=sys.stderr)  # noqa: T201
        raise SystemExit(2)
    _hand_over(SECRETS_FILE)
    return settings


def _hand_over(file: Path) -> None:
    """Give Streamlit the tables of a secrets file with a byte order mark, which it cannot read itself; [auth] is one of
    them.

    Top-level values are left out: Streamlit would write them into the environment.
    """
    data = file.read_bytes() if file.is_file() else b""
    if data.startswith(codecs.BOM_UTF8):
        tables = {name: table for name, table in tomllib.loads(decode(data)).items() if isinstance(table, dict)}
        st.secrets.merge_programmatic_secrets(tables)


def _problems(settings: Settings) -> Iterator[str]:
    for name, value in os.environ.items():
        if name.startswith("STREAMLIT_") and unquoted(value) != value.strip():
            yield f"{name}: must be written without quotes around it, which Streamlit takes for a part of the value"
    if str(st.get_option("server.baseUrlPath") or "").strip("/ "):
        yield (
            "server.baseUrlPath: must be empty, because Parley answers at the root of its host alone; give it a host "
            "name of its own, such as parley.example.org"
        )
    try:
        if settings.database_file is not None:
            data_folder.prepare(settings.database_file)
        signing_key(settings)
    except SettingsError as error:
        yield from error.problems
