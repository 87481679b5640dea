"""The JSON of a readout, as `readout --json` prints it: unrounded numbers, null where one cannot be computed.

Exports the functions that draw such an object as a picture, too.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from lib.domain.operations import Decision
from lib.readout.judgements import Metric, QuantileReading
from lib.readout.panels import panels
from lib.readout.picture import NARROW, WIDE, Look, described, draw
from lib.readout.preferences import Comparisons
from lib.readout.sentences import sentence
from lib.readout.side_by_side import preference_sentence
from lib.readout.verdicts import PlannedLook, Readout
from lib.statistics.formulas import Estimate

__all__ = ["NARROW", "WIDE", "Look", "as_json", "described", "draw", "file_name", "iso", "panels"]


def as_json(readout: Readout) -> dict[str, Any]:
    """Return the readout as JSON values."""
    return {
        "experiment": readout.experiment,
        "control": readout.control,
        "alpha_per_comparison": readout.alpha,
        "verdict": readout.verdict,
        "sentence": sentence(readout),
        "srm": _finite(asdict(readout.split)) | {"counts": dict(readout.counts)},
        "excluded": {"crossover": readout.crossover, "forced": readout.forced},
        "crossover_share": readout.crossover_share,
        "metrics": {name: _metric(metric) for name, metric in readout.metrics.items()},
        "quantiles": {"response_time": {name: _quantile(reading) for name, reading in readout.quantiles.items()}},
        "comparisons": _comparisons(readout.comparisons, readout),
        "run": readout.run,
        "planned": _planned(readout.planned),
        "held": _held(readout),
        "unreadable": readout.unreadable,
        "delivery": asdict(readout.delivery),
        "as_of": iso(readout.as_of_ms),
    }


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }


def _metric(metric: Metric) -> dict[str, Any]:
    versus = {}
    for group, pair in metric.versus.items():
        versus[group] = asdict(pair.numbers) | {"verdict": pair.verdict}
        if pair.guardrail is not None:
            versus[group]["guardrail"] = pair.guardrail
    groups = {group: sums._asdict() | _estimate(metric.groups[group]) for group, sums in metric.sums.items()}
    return {"role": metric.role, "direction": metric.direction, "groups": groups, "vs_control": versus}


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {key: getattr(estimate, key) for key in ("value", "se_delta", "se", "ci_low", "ci_high")}


def _quantile(reading: QuantileReading) -> dict[str, Any]:
    groups = {}
    for group, estimate in reading.groups.items():
        below = reading.counted[group].below
        counted = {"events": int(below.sy), "users": below.active}
        groups[group] = {key: getattr(estimate, key) for key in ("value", "ci_low", "ci_high", "se")} | counted
    shown = ("diff", "se", "df", "cs_low", "cs_high")
    versus = {
        group: {key: getattr(estimate.numbers, key) for key in shown} | {"verdict": estimate.verdict}
        for group, estimate in reading.versus.items()
    }
    return {"groups": groups, "vs_control": versus}


def _comparisons(comparisons: Comparisons | None, readout: Readout) -> dict[str, Any] | None:
    if comparisons is None:
        return None
    treatments = {
        name: asdict(reading.numbers) | {"verdict": reading.verdict} for name, reading in comparisons.treatments.items()
    }
    return {
        "verdict": comparisons.verdict,
        "sentence": preference_sentence(readout, comparisons),
        "treatments": treatments,
    }


def _planned(look: PlannedLook | None) -> dict[str, Any] | None:
    if look is None:
        return None
    shown = ("diff", "se", "df", "cs_low", "cs_high")
    versus = {
        group: {key: getattr(numbers, key) for key in shown} | {"verdict": verdict}
        for group, (numbers, verdict) in (look.versus or {}).items()
    }
    return {"users": look.users, "reached": look.reached, "at": iso(look.at_ms), "vs_control": versus}


def _held(readout: Readout) -> dict[str, Any] | None:
    """Return by metric and treatment the interval of all readouts of the run."""
    if readout.held is None:
        return None
    by_metric: dict[str, Any] = {}
    for (metric, group), interval in readout.held.items():
        by_metric.setdefault(metric, {})[group] = {
            "low": interval.low,
            "high": interval.high,
            "since": iso(interval.since_ms),
        }
    return by_metric


def iso(time_ms: int | None) -> str | None:
    """Return a time as ISO 8601, to the second, UTC.

    >>> iso(1_790_000_000_000), iso(None), iso(10**18)
    ('2026-09-21T14:13:20Z', None, None)
    """
    try:
        return None if time_ms is None else datetime.fromtimestamp(time_ms // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return None


def file_name(decision: Decision, suffix: str) -> str:
    """Return the name of a file of a decision: its picture or its readout.

    >>> file_name(Decision("d", "a b", 2, 1_790_000_000_000, "ann", "why", None, {}, {}), ".svg")
    'a_b-run-2-20260921T141320Z.svg'
    """
    moment = (iso(decision.time_ms) or "undated").replace("-", "").replace(":", "")
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', decision.experiment)}-run-{decision.run}-{moment}{suffix}"
