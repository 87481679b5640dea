"""The readouts of the pages, cached for a minute for all readers, and the sample data that may replace them.

Knows the open app and Streamlit's cache. What is gathered is `results`.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import streamlit as st

from lib.app import App
from lib.domain.clock import now_ms
from lib.domain.operations import Run
from lib.experiments.book import of_run
from lib.experiments.definitions import Definition
from lib.readout.results import Days, Details, History, Results, Window, gather, gather_days, gather_details, midnight
from lib.readout.results import history as history_of
from lib.readout.results import tiers as gather_tiers
from lib.store import StoreError, states
from lib.web import running

T = TypeVar("T")

KEPT_S = 60.0
"""Seconds after which a readout is computed again."""
PAST_S = 3_600.0
"""Seconds after which past days are computed again. They change only by an erasure or a changed thumb."""


def experiments() -> list[str]:
    """Return the names of the experiments that have a readout, the running one first."""
    app = running.app()
    return list(dict.fromkeys([app.experiment, *app.experiments.definitions]))


def definition(window: Window) -> Definition | None:
    """Return what the current run compares, or the run that the window names. Raises Unready."""
    app = running.app()
    if window.run is None:
        return app.experiments.definition(window.experiment)
    try:
        with app.store.read() as connection:
            return of_run(connection, window.experiment, window.run)
    except StoreError as error:
        raise running.Unready(str(error)) from error


def runs(experiment: str) -> list[Run]:
    """Return the runs of an experiment, the newest first; none while they cannot be read."""
    try:
        with running.app().store.read() as connection:
            return states.runs(connection, experiment)
    except StoreError:
        return []


def results(window: Window) -> Results | None:
    """Return the first part of the Results page, at most two minutes old; None for an unknown experiment.

    Raises Unready where the store cannot be read.
    """
    return _cached(_results, window)


def details(window: Window) -> Details | None:
    """Return the sections below that. Raises Unready."""
    return _cached(_details, window)


def history(window: Window, results: Results) -> History:
    """Return the primary metric at the end of each day and as of these results. Raises Unready."""
    known = definition(window)
    if known is None:
        return []
    days = _cached(lambda *more: _days(*more, known.primary, midnight(window, now_ms())), window) or []
    return history_of(days, results, known)


def tiers(experiment: str) -> list[str]:
    """Return the tiers of the exposures. Raises Unready."""
    return _cached(_tiers, Window(experiment)) or []


def forget() -> None:
    """Clear the cache."""
    for cache in (_results, _details, _days, _tiers):
        cache.clear()


def has_sample() -> bool:
    """Return True where there is simulated data. Raises Unready."""
    try:
        return running.sample().is_in(running.app().store)
    except StoreError as error:
        raise running.Unready(str(error)) from error


def remove_sample() -> None:
    """Delete the simulated data. Raises Unready."""
    try:
        running.sample().remove(running.app().store)
    except StoreError as error:
        raise running.Unready(str(error)) from error
    finally:
        forget()


def _cached(what: Callable[..., T], window: Window) -> T | None:
    app, known = running.app(), definition(window)
    if known is None:
        return None
    try:
        return what(app, known, f"{app.store.owner} {known!r}", window)  # another version is another readout
    except StoreError as error:
        raise running.Unready(str(error)) from error


# No reader waits for a newer readout: the cached one is shown meanwhile.
_keep = partial(st.cache_resource, max_entries=50, show_spinner=False, refresh_mode="background")


@_keep(ttl=KEPT_S)
def _results(_app: App, _definition: Definition, owner: str, window: Window) -> Results:
    return gather(_app.store, _definition, window, now_ms())


@_keep(ttl=KEPT_S)
def _details(_app: App, _definition: Definition, owner: str, window: Window) -> Details:
    return gather_details(_app.store.read, _definition, window)


@_keep(ttl=PAST_S)
def _days(_app: App, _definition: Definition, owner: str, window: Window, primary: str, midnight_ms: int) -> Days:
    return gather_days(_app.store.read, _definition, window, midnight_ms)


@_keep(ttl=KEPT_S)
def _tiers(_app: App, _definition: Definition, owner: str, window: Window) -> list[str]:
    return gather_tiers(_app.store.read, _definition)
