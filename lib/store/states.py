"""Experiments in the record: their states, versions, runs and decisions. Knows the tables; judges no definition.

Reads and writes inside a transaction that the caller opened. A state is locked before it changes, so that of two
operators the second one finds what the first one did.
"""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from lib.domain.operations import Decision, ExperimentState, Run, Version
from lib.store.facts import add
from lib.store.rows import fit
from lib.store.schema import decision, experiment_run, experiment_state, experiment_version

Revisions = frozenset[tuple[str, int]]
"""The revision of every experiment: another value means that something changed."""


def revisions(connection: Connection) -> Revisions:
    """Return the revisions that replicas compare to notice a change."""
    rows = connection.execute(select(experiment_state.c.experiment, experiment_state.c.revision))
    return frozenset((row.experiment, row.revision) for row in rows)


def states(connection: Connection) -> dict[str, ExperimentState]:
    """Return every experiment of the record by name."""
    rows = connection.execute(select(experiment_state).order_by(experiment_state.c.experiment))
    return {row.experiment: _state(row) for row in rows}


def locked_state(connection: Connection, experiment: str) -> ExperimentState:
    """Lock and return the state of an experiment, which is made if missing. No other process changes it meanwhile."""
    empty = {
        "experiment": experiment,
        "stage": "draft",
        "revision": 0,
        "live": False,
        "setting": "",
        "version": 0,
        "run": 0,
        "disabled": "{}",
    }
    add(connection, experiment_state, empty)
    query = select(experiment_state).where(experiment_state.c.experiment == experiment).with_for_update()
    return _state(connection.execute(query).one())


def put_state(connection: Connection, state: ExperimentState) -> None:
    """Write a state, with the next revision."""
    values = {
        "stage": state.stage,
        "revision": experiment_state.c.revision + 1,
        "live": state.live,
        "setting": state.setting,
        "version": state.version,
        "run": state.run,
        "disabled": json.dumps(dict(state.disabled)),
        "start_ms": state.start_ms,
        "end_ms": state.end_ms,
    }
    connection.execute(update(experiment_state).where(experiment_state.c.experiment == state.experiment).values(values))


def make_live(connection: Connection, experiment: str, setting: str) -> None:
    """Make this the experiment that testers get, and no other."""
    c = experiment_state.c
    others = update(experiment_state).where(c.live, c.experiment != experiment)
    connection.execute(others.values(live=False, revision=c.revision + 1))
    chosen = update(experiment_state).where(c.experiment == experiment)
    connection.execute(chosen.values(live=True, setting=setting, revision=c.revision + 1))


def version(connection: Connection, experiment: str, number: int) -> Version | None:
    """Return one version of an experiment."""
    c = experiment_version.c
    row = connection.execute(
        select(experiment_version).where(c.experiment == experiment, c.number == number)
    ).one_or_none()
    return None if row is None else Version(**row._mapping)


def versions(connection: Connection, experiment: str) -> list[Version]:
    """Return all versions of an experiment, the newest first."""
    c = experiment_version.c
    rows = connection.execute(select(experiment_version).where(c.experiment == experiment).order_by(c.number.desc()))
    return [Version(**row._mapping) for row in rows]


def add_version(connection: Connection, new: Version) -> None:
    """Keep a version for good."""
    values = {name: getattr(new, name) for name in Version.__dataclass_fields__}
    connection.execute(insert(experiment_version), fit(experiment_version, values))


def run(connection: Connection, experiment: str, number: int) -> Run | None:
    """Return one run of an experiment."""
    c = experiment_run.c
    row = connection.execute(select(experiment_run).where(c.experiment == experiment, c.number == number)).one_or_none()
    return None if row is None else _run(row)


def runs(connection: Connection, experiment: str | None = None) -> list[Run]:
    """Return the runs of an experiment or of all, the newest first."""
    c = experiment_run.c
    query = select(experiment_run).order_by(c.begun_ms.desc(), c.number.desc())
    return [
        _run(row)
        for row in connection.execute(query if experiment is None else query.where(c.experiment == experiment))
    ]


def add_run(connection: Connection, new: Run) -> None:
    """Insert a run that begins."""
    values = {name: getattr(new, name) for name in Run.__dataclass_fields__ if name != "key"} | {"run_key": new.key}
    connection.execute(insert(experiment_run), fit(experiment_run, values))


def renew_run(connection: Connection, experiment: str, number: int, version: int) -> None:
    """Put a newer version into force in the same run."""
    c = experiment_run.c
    connection.execute(
        update(experiment_run).where(c.experiment == experiment, c.number == number).values(version=version)
    )


def end_run(connection: Connection, experiment: str, number: int, ended_ms: int, author: str, reason: str) -> None:
    """End an open run; one that has ended stays unchanged."""
    c = experiment_run.c
    values = {"ended_ms": ended_ms, "end_author": author, "end_reason": reason}
    open_one = update(experiment_run).where(c.experiment == experiment, c.number == number, c.ended_ms.is_(None))
    connection.execute(open_one.values(fit(experiment_run, values)))


def decisions(connection: Connection, experiment: str | None = None) -> list[Decision]:
    """Return the decisions about an experiment or about all, the newest first."""
    query = select(decision).order_by(decision.c.time_ms.desc(), decision.c.id)
    if experiment is not None:
        query = query.where(decision.c.experiment == experiment)
    return [_decision(row) for row in connection.execute(query)]


def add_decision(connection: Connection, new: Decision) -> None:
    """Keep a decision for good."""
    values: dict[str, Any] = {
        "id": new.id,
        "experiment": new.experiment,
        "run": new.run,
        "time_ms": new.time_ms,
        "author": new.author,
        "reason": new.reason,
        "grp": new.group,
        "parameters": _json(new.parameters),
        "readout": _json(new.readout),
    }
    connection.execute(insert(decision), fit(decision, values))


def _state(row: Row[Any]) -> ExperimentState:
    return ExperimentState(
        row.experiment,
        row.stage,
        row.revision,
        row.live,
        row.setting,
        row.version,
        row.run,
        json.loads(row.disabled),
        row.start_ms,
        row.end_ms,
    )


def _run(row: Row[Any]) -> Run:
    values = dict(row._mapping)
    return Run(key=values.pop("run_key"), **values)


def _decision(row: Row[Any]) -> Decision:
    return Decision(
        row.id,
        row.experiment,
        row.run,
        row.time_ms,
        row.author,
        row.reason,
        row.grp,
        json.loads(row.parameters),
        json.loads(row.readout),
    )


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), ensure_ascii=False, default=str)
