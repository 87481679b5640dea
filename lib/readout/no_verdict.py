"""The reason why a readout judges no group, as a sentence: a broken split, changed weights, no data."""

from datetime import UTC, datetime, timedelta

from lib.readout.verdicts import MAX_CROSSOVER, Readout
from lib.readout.words import written_day


def reason_without_verdict(readout: Readout) -> str | None:
    """Return the reason why no group is judged, None where groups are."""
    if _crossed(readout):
        units = readout.crossover + sum(readout.counts.values()) + sum(readout.unknown.values())
        return (
            f"Broken: over {100 * MAX_CROSSOVER:.0f} % of the users met two groups ({readout.crossover:,} of "
            f"{units:,}). Winners are not shown."
        )
    if readout.split.broken:
        total = sum(readout.counts.values())
        parts = (
            f"{n:,} in {group} where {total * readout.shares[group]:,.0f} were meant"
            for group, n in readout.counts.items()
        )
        return f"The split is broken: {', '.join(parts)}. Chance does not do that. Winners are not shown."
    if readout.changed_ms is not None:
        changed = f"The weights changed while it ran ({written_day(readout.changed_ms)})"
        return f"{changed}: users from before and after cannot be compared. {set_since(readout)}"
    if readout.stretches:
        stretches = "; ".join(_stretch(readout, place) for place in range(len(readout.stretches)))
        return (
            f"The weights changed while it ran ({stretches}): users from before and after cannot be compared. "
            f"{set_since(readout)}"
        )
    if not any(readout.counts.values()):
        return "Not enough data yet: nobody has met this experiment."
    return None


def _stretch(readout: Readout, place: int) -> str:
    stretch = readout.stretches[place]
    total = sum(stretch.counts.values())
    shares = " : ".join(f"{100 * n / total:.0f}" for n in stretch.counts.values())
    last = place == len(readout.stretches) - 1
    when = f"since {written_day(stretch.from_ms)}" if last else f"until {written_day(stretch.until_ms - 1)}"
    return f"{shares} {when}"


def _crossed(readout: Readout) -> bool:
    return (readout.crossover_share or 0) > MAX_CROSSOVER


def set_since(readout: Readout) -> str:
    """Return the remedy for changed weights."""
    changed_ms = readout.stretches[-1].from_ms if readout.stretches else readout.changed_ms
    assert changed_ms is not None
    if readout.held is not None:
        return "End this run and start a new one on the Experiment page: users who come then are counted by themselves."
    after = datetime.fromtimestamp(changed_ms / 1_000, UTC).date() + timedelta(days=1)
    return f'Set since = "{after.isoformat()}" in its table, or give the experiment a new name.'
