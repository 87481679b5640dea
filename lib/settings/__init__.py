"""The settings, from the environment and `.streamlit/secrets.toml`. No other room knows the name of a setting.

`table` lists the settings, `accepted` has the types of their values, and `reading` gives one frozen `Settings`, or
raises `SettingsError` with every problem at once. Knows neither Streamlit nor any service, and uses no network.
"""

from lib.settings.accepted import unquoted
from lib.settings.reading import SECRETS_FILE, SettingsError, load, origins
from lib.settings.table import FIELDS, Settings

__all__ = ["FIELDS", "SECRETS_FILE", "Settings", "SettingsError", "load", "origins", "unquoted"]
