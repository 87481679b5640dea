"""The news of an experiment: each message with its sentence, and the key by which it is sent once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lib.chat.standings import GroupModel
from lib.domain.operations import Entry
from lib.readout.sentences import headline, sentence
from lib.readout.side_by_side import comparison_heading, preference_sentence
from lib.readout.verdicts import Readout

STUCK_S = 600.0
"""Seconds after which waiting events count as stuck."""
FAILING_S = 300.0
"""Seconds over which the share of failed answers is taken."""
FAILING_SHARE, FEWEST_ANSWERS = 0.2, 10
"""Share of failed answers that is worth a message, and the fewest answers from which a share is computed."""
BUDGET_PARTS = (100, 80)
"""Percentages of a day's budget that are worth a message, the highest first."""
ANSWERS = "errors:"
"""The prefix of the keys of news about failed answers."""
KINDS_AT_ONCE, KIND_LENGTH = 3, 50
"""Kinds of failure that one message names, and characters of each, so that they fit into its key."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One message, sent once for each `key`. `page` is the page with the details."""

    key: str
    title: str
    text: str
    page: str = "results"


def of_readout(readout: Readout, title: str = "") -> Iterator[Alert]:
    """Yield the news of a readout: a verdict, a harmed guardrail, a broken split. `title` is the experiment's name."""
    name, about = f"{readout.experiment}:{readout.run}", title or readout.experiment
    if readout.split.broken:
        yield Alert(f"split:{name}", f"{about}: the split is broken", sentence(readout))
        return
    if readout.verdict in ("better", "worse", "equivalent"):
        yield Alert(f"verdict:{name}:{readout.verdict}", f"{about}: {headline(readout)}", sentence(readout))
    if (comparisons := readout.comparisons) is not None and comparisons.verdict in ("better", "worse", "equivalent"):
        text = preference_sentence(readout, comparisons)
        yield Alert(f"preference:{name}:{comparisons.verdict}", f"{about}: {comparison_heading(comparisons)}", text)
    for metric, reading in readout.metrics.items():
        for group, versus in reading.versus.items():
            if versus.guardrail == "harmed":
                text = f"{group} harms {metric.replace('_', ' ')}: its interval against {readout.control} excludes 0."
                yield Alert(f"harmed:{name}:{group}:{metric}", f"{about}: a guardrail is harmed", text)


def of_budget(spent_usd: float, budget_usd: float, day: str) -> Iterator[Alert]:
    """Yield the news of a day's budget: the highest part of it that is spent.

    >>> [alert.title for alert in of_budget(4.1, 5.0, "2026-11-27")]
    ["80 % of today's budget is spent"]
    >>> list(of_budget(3.9, 5.0, "2026-11-27"))
    []
    """
    for part in BUDGET_PARTS:
        if spent_usd >= budget_usd * part / 100:
            text = f"The answers of {day} (UTC) have cost ${spent_usd:,.2f} of ${budget_usd:,.2f}."
            if part == 100:
                text += " Testers get no further answers until the next day begins."
            yield Alert(f"budget:{day}:{part}", f"{part} % of today's budget is spent", text, "experiment")
            return


def of_delivery(pending: int, oldest_s: float, error: str | None, day: str) -> Iterator[Alert]:
    """Yield the news that events wait for Statsig, at most once a day."""
    if pending and oldest_s >= STUCK_S:
        why = f" Statsig says: {error}." if error else ""
        text = f"{pending:,} events wait, the oldest for {oldest_s / 60:,.0f} minutes.{why} Nothing is lost."
        yield Alert(f"delivery:{day}", "Events do not reach Statsig", text, "events")


def many_fail(answers: int, failed: int) -> bool:
    """Return True where the share of failed answers of the last minutes is worth a message.

    >>> many_fail(10, 3), many_fail(9, 9), many_fail(100, 20)
    (True, False, False)
    """
    return answers >= FEWEST_ANSWERS and failed / answers > FAILING_SHARE


def of_answers(answers: int, failed: int, kinds: Sequence[str], day: str) -> Iterator[Alert]:
    """Yield the news that many answers of the last minutes failed.

    `kinds` are the classes of their errors that no message has named today, the most frequent first.

    >>> [alert.text for alert in of_answers(10, 3, ["AuthenticationError", "APITimeoutError"], "2026-11-27")]
    ['3 of the last 10 answers failed within five minutes, with AuthenticationError, APITimeoutError.']
    >>> list(of_answers(10, 3, [], "2026-11-27"))
    []
    """
    if kinds:
        named = [kind[:KIND_LENGTH] for kind in kinds[:KINDS_AT_ONCE]]
        text = f"{failed:,} of the last {answers:,} answers failed within five minutes, with {', '.join(named)}."
        yield Alert(answers_key(day, named), "Many answers fail", text, "events")


def answers_key(day: str, kinds: Sequence[str] = ()) -> str:
    """Return the key of the news that answers of a day failed with errors of these classes.

    Without a class, return the prefix that all keys of the day share.

    >>> answers_key("2026-11-27", ["AuthenticationError", "APITimeoutError"])
    'errors:2026-11-27:AuthenticationError,APITimeoutError'
    """
    return f"{ANSWERS}{day}:{','.join(kinds)}"


def kinds_of(key: str) -> Sequence[str]:
    """Return the classes of errors that a key of `answers_key` names."""
    return key.rpartition(":")[2].split(",")


def model_key(provider: str, model: str, state: str) -> str:
    """Return the key of the news that a model is in a state such as `missing`."""
    return f"model:{provider}:{model}:{state}"


def of_models(models: Sequence[GroupModel]) -> Iterator[Alert]:
    """Yield the news of models that are shut down, or will be."""
    for model in models:
        if model.standing.state in ("ending", "gone", "missing"):
            key = model_key(model.standing.provider, model.standing.model, model.standing.state)
            yield Alert(key, f"{model.standing.model} needs a change", model.sentence(), "experiment")


def of_guards(acts: Iterable[Entry]) -> Iterator[Alert]:
    """Yield the news of guardrails that acted, from their lines of the audit log."""
    for act in acts:
        group, reason = act.details.get("group", "a group"), act.details.get("reason", "")
        yield Alert(f"acted:{act.id}", f"{act.subject}: {group} was switched off", str(reason), "history")


def day_of(time_ms: int) -> str:
    """Return the day (UTC) of a moment.

    >>> day_of(1_795_000_000_000)
    '2026-11-18'
    """
    return datetime.fromtimestamp(time_ms / 1_000, UTC).date().isoformat()
