"""Parley's exposures at Statsig, compared with those that the installed SDK sends for the same evaluations."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from statsig import StatsigOptions, StatsigServer, StatsigUser

from lib.domain.events import exposure
from lib.domain.visitor import Visitor
from lib.experiments.delivery import Dispatcher
from lib.experiments.evaluator import Experiments
from lib.metrics.counters import Metrics
from lib.store import Store
from lib.store.schema import event, outbox
from tests.support.statsig_server import Statsig, serve
from tests.support.statsig_specs import NAME, NAMED
from tests.support.waiting import ENOUGH_S

KEY = "secret-Ab12_cd-34"
TRAVELS_LATER = ("event_id", "serverTime")
"""The only fields of an exposure's metadata that may differ: Parley's event id, and the time of the evaluation,
which the SDK reads from the clock again. Outside the metadata only `time` may differ."""
LOCALES, DEVICES = ("de-DE", "en-US", "de-AT", "fr-FR"), ("phone", "desktop")


def visitors(number: int) -> list[Visitor]:
    names = ["op1", "op2", *(f"u{each}" for each in range(number))]
    return [
        Visitor(
            f"{name}-visitor", name, f"{name}-stable", f"{name}-session",
            {"locale": LOCALES[each % 4], "device": DEVICES[each % 2], "timezone": "Europe/Berlin", "invitation": "a1"},
        )
        for each, name in enumerate(names)
    ]  # fmt: skip


@contextmanager
def theirs(statsig: Statsig, tier: str) -> Iterator[StatsigServer]:
    """Yield the SDK with its default options, started as its documentation describes."""
    server = StatsigServer()
    server.initialize(KEY, StatsigOptions(tier=tier, api=statsig.url, disable_diagnostics=True))
    try:
        yield server
    finally:
        server.shutdown()


def ask(server: StatsigServer, visitor: Visitor, name: str) -> None:
    custom_ids = {"stableID": visitor.stable_id, "sessionID": visitor.session_id}
    user = StatsigUser(
        visitor.user_id, custom_ids=custom_ids, custom=dict(visitor.custom), private_attributes={"email": "a@b.c"}
    )
    if name != "chat_layer":
        server.get_experiment(user, name)
        return
    layer = server.get_layer(user, name)
    layer.get("temperature" if layer.allocated_experiment == "exp_temp" else "model")


def sent_by_the_sdk(statsig: Statsig, many: list[Visitor], name: str, tier: str) -> dict[str, Any]:
    with theirs(statsig, tier) as server:
        for each in many:
            ask(server, each, name)
        server.flush()
    return arrived(statsig)


def sent_by_parley(statsig: Statsig, many: list[Visitor], name: str, tier: str, folder: Path) -> dict[str, Any]:
    file = folder / "experiments.toml"
    file.write_text("")
    with (
        closing(Store.open(f"sqlite:///{folder}/parley.db", deliver=True)) as store,
        closing(Experiments.open(file, key=KEY, api_url=statsig.url, tier=tier)) as experiments,
    ):
        exposures = [exposure(experiments.assign(each, name), each.session_id) for each in many]
        store.events.record(exposures).wait(ENOUGH_S)
        with closing(Dispatcher(store.outbox, experiments, Metrics())):
            wanted = {each.event_id for each in exposures if not each.withheld}
            statsig.wait(lambda: wanted <= statsig.counts().keys())
    return arrived(statsig)


def arrived(statsig: Statsig) -> dict[str, Any]:
    exposures = [one for one in statsig.events if one["eventName"].endswith("_exposure")]
    by_unit = {one["user"]["userID"]: one for one in exposures}
    assert len(by_unit) == len(exposures)
    statsig.events.clear()
    return by_unit


def plain(one: dict[str, Any]) -> dict[str, Any]:
    """Return an exposure without the fields that differ."""
    metadata = {key: value for key, value in one["metadata"].items() if key not in TRAVELS_LATER}
    return {key: value for key, value in one.items() if key != "time"} | {"metadata": metadata}


@pytest.mark.parametrize(
    ("shape", "tier"),
    [*((shape, "production") for shape in NAMED), ("targeted", "development"), ("sampled", "development"),
     ("layer_two of which nothing is known", "production")],
)  # fmt: skip
def test_an_exposure_is_the_one_that_the_sdk_sends(shape: str, tier: str, tmp_path: Path) -> None:
    name = "chat_layer" if shape.startswith("layer_two") else NAME
    many = visitors(150)
    with serve(NAMED[shape.partition(" ")[0]]()) as statsig:
        if "nothing" in shape:
            statsig.specs["layers"] = {}
        own, ours = sent_by_the_sdk(statsig, many, name, tier), sent_by_parley(statsig, many, name, tier, tmp_path)
    assert ours.keys() == own.keys()
    for user, one in own.items():
        assert plain(ours[user]) == plain(one)
        assert ours[user]["metadata"].keys() - one["metadata"].keys() == {"event_id"}
    assert "a@b.c" not in json.dumps(own | ours)


def test_the_comparison_meets_every_field() -> None:
    """Check that the compared shapes together make the SDK fill in every field that it knows."""
    fields: Counter[str] = Counter()
    for shape in NAMED:
        with serve(NAMED[shape]()) as statsig:
            name = "chat_layer" if shape == "layer_two" else NAME
            for one in sent_by_the_sdk(statsig, visitors(150), name, "production").values():
                passed, rule = one["metadata"].get("rulePassed"), one["metadata"]["ruleID"]
                fields.update(one["metadata"].keys() | one["statsigMetadata"].keys())
                fields[f"passed {passed}"] += 1
                fields["secondary"] += bool(one["secondaryExposures"])
                fields["a rule that half of the units pass"] += passed == "false" and rule == "tester"
    wanted = {
        "configVersion", "reason", "configSyncTime", "initTime", "serverTime", "overrideConfigName", "rulePassed",
        "allocatedExperiment", "parameterName", "isExplicitParameter", "samplingMode", "samplingRate", "shadowLogged",
        "secondary", "passed true", "passed false", "a rule that half of the units pass",
    }  # fmt: skip
    assert wanted <= {name for name, times in fields.items() if times}


@pytest.mark.parametrize(("shape", "name"), [("running", NAME), ("layer_two", "chat_layer"), ("holdout", NAME)])
def test_a_forced_group_is_exposed_as_the_sdk_exposes_an_override(shape: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / "experiments.toml"
    file.write_text("")
    many = visitors(20)
    with serve(NAMED[shape]()) as statsig:
        with theirs(statsig, "development") as server:
            server.override_experiment(name, {"model": "large-model", "temperature": 1})
            server.override_layer(name, {"model": "large-model", "temperature": 1})
            for each in many:
                if name == "chat_layer":
                    user = StatsigUser(each.user_id, custom_ids=dict(list(each.ids().items())[1:]), custom=each.custom)
                    server.get_layer(user, name).get("model")
                else:
                    ask(server, each, name)
            server.flush()
        own = arrived(statsig)
        with closing(Experiments.open(file, key=KEY, api_url=statsig.url)) as experiments:
            for each in many:
                experiments.assign(each, name)
                definition = experiments.definition(name)
                assert definition is not None
                forced = experiments.force(each, name, definition.groups[0].name)
                sent, theirs_own = forced.sent or {}, plain(own[each.user_id])
                metadata = {key: value for key, value in sent["metadata"].items() if key not in TRAVELS_LATER}
                parameter = {"parameterName": "model"} if name == "chat_layer" else {}
                assert metadata | parameter == theirs_own["metadata"]
                assert sent["secondaryExposures"] == theirs_own["secondaryExposures"]
                assert sent["statsigMetadata"] == theirs_own["statsigMetadata"]


def test_exposures_that_the_sdk_samples_out_are_stored_and_not_sent(tmp_path: Path) -> None:
    many = visitors(150)
    with serve(NAMED["sampled"]()) as statsig:
        ours = sent_by_parley(statsig, many, NAME, "production", tmp_path)
    with closing(Store.open(f"sqlite:///{tmp_path}/parley.db")) as store, store.read() as connection:
        assert len(ours) < len(many) == connection.scalar(select(func.count()).select_from(event))
        assert not connection.scalar(select(func.count()).select_from(outbox))
