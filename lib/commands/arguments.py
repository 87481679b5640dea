"""The arguments of each command of `python -m lib`, one function each. Loads nothing but argparse."""

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path

PLAN_VALUES = ("baseline", "lift", "testers_per_day", "votes_per_tester")
"""The arguments of `plan` that are values of the plan."""
INVITATION_TERMS = ("days", "sessions", "group", "usd", "compare")
"""The arguments of `invite` that are terms of a new link."""

SIMULATE = """Play N visitors through the real path into the chosen database: the Statsig SDK assigns them, the demo
model answers over HTTP, and exposures, answers, ratings and reasons are stored, each marked as simulated and never sent
to Statsig. With --check, nothing is stored: R experiments without a difference and R with one are played in memory, at
50/50, 90/10 and 95/5, and watched while visitors come. Visitors are drawn like those who are stored, with errors and
rare answers of a minute; no answer is generated, chance alone draws the groups, and no SQL is run.
Exit code 1 when too many experiments without a difference name a winner."""

PLAN = """Print the testers and the time that each way needs to find a difference with 80 % power: the A/B test, the A/B
test with planned users, and comparisons. Values that are not given come from the experiment's table and from its
readout, where that has enough data. Changes nothing."""

STATSIG_SETUP = """Create the experiment of PARLEY_EXPERIMENT, as defined in the local experiments file, and the metrics
of docs/set-up.md in a Statsig project. An experiment or metric that exists is reported and not changed. The console key
comes from STATSIG_CONSOLE_KEY or is typed at the terminal; it is not stored."""

PURGE = """Delete events from before a day, also while Parley runs. Events that still wait for Statsig stay, and the
readout does not change; the Events page and exports no longer have the purged events. Without --yes nothing is deleted.
To finish an interrupted purge, run it again."""

MOVE = """Copy the whole record from the database of the settings into another one, and compare the row counts.
Stop Parley first, so that nothing is written meanwhile. To finish an interrupted copy, run it again.
Exit code 1 when the counts differ."""


def check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--alerts", action="store_true", help="send a test message to every receiver of PARLEY_ALERTS")


def export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("jsonl", "csv", "parquet"), required=True)
    parser.add_argument("--since", type=_since, metavar="DATE", help="from this day on (UTC), such as 2026-11-01")
    parser.add_argument("--text", action="store_true", help="include prompts, answers and comments")


def readout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--experiment", metavar="NAME", help="instead of PARLEY_EXPERIMENT")
    parser.add_argument(
        "--run", type=_number, metavar="N", dest="of_run", help="an earlier run instead of the current one"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--events", type=Path, metavar="FILE", help="an export (JSON lines) instead of the store")


def simulate(parser: argparse.ArgumentParser) -> None:
    parser.description = SIMULATE
    parser.add_argument(
        "--users", type=_number, required=True, metavar="N", help="number of visitors, with --check of each experiment"
    )
    parser.add_argument("--seed", type=int, required=True, metavar="S", help="the same seed draws the same visitors")
    parser.add_argument(
        "--lift",
        type=float,
        metavar="X",
        help="difference in satisfaction of the first treatment, such as 0.1 for ten points (default: 0; with --check "
        "the smallest difference that matters)",
    )
    parser.add_argument(
        "--check",
        type=_number,
        metavar="R",
        help="check the readout in R experiments without a difference and R with one",
    )


def plan(parser: argparse.ArgumentParser) -> None:
    parser.description = PLAN
    parser.add_argument("--experiment", metavar="NAME", help="instead of PARLEY_EXPERIMENT")
    parser.add_argument(
        "--baseline", type=float, metavar="P", help="control's share of thumbs up (default: as measured, else 0.65)"
    )
    parser.add_argument(
        "--lift", type=float, metavar="X", help="difference to find (default: the smallest that matters)"
    )
    parser.add_argument("--testers-per-day", type=float, metavar="N", help="new testers a day (default: 20)")
    parser.add_argument(
        "--votes-per-tester", type=float, metavar="N", help="votes of a tester who compares (default: 10)"
    )


def invite(parser: argparse.ArgumentParser) -> None:
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--name", metavar="TEXT", help="make a link with this name, which testers never see")
    action.add_argument("--list", action="store_true", help="list all links with their use")
    action.add_argument("--revoke", metavar="TEXT", help="end the link of this name or id at once")
    parser.add_argument("--days", type=int, metavar="N", help="lifetime of the link in days (default: 30)")
    parser.add_argument("--sessions", type=int, metavar="N", help="browsers that it admits (default: any number)")
    parser.add_argument("--group", metavar="NAME", help="group of all guests, who are left out of the readout")
    parser.add_argument("--usd", type=float, metavar="X", help="limit on the cost of all guests' answers")
    parser.add_argument("--compare", action="store_true", help="guests compare two answers, outside of the A/B test")


def statsig_setup(parser: argparse.ArgumentParser) -> None:
    parser.description = STATSIG_SETUP
    parser.add_argument(
        "--dry-run", action="store_true", help="print the requests instead of sending them; needs no key"
    )


def erase(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", type=_unit, required=True, metavar="ID", help="user_id of its events")


def purge(parser: argparse.ArgumentParser) -> None:
    parser.description = PURGE
    parser.add_argument("--before", type=_past, required=True, metavar="DATE", help="such as 2026-11-01 (UTC)")
    parser.add_argument("--yes", action="store_true", help="delete the events instead of counting them")


def move(parser: argparse.ArgumentParser) -> None:
    parser.description = MOVE
    parser.add_argument("--to", required=True, metavar="URL", help="the other database, as in DATABASE_URL")


def history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="FOLDER",
        help="print Markdown, and write the readout of each decision into this folder as an SVG file",
    )


def audit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--operator", metavar="NAME", help="only the acts of this operator")
    parser.add_argument("--act", metavar="ACT", help="only this act, such as version, ramp, disable or invite")
    parser.add_argument("--format", choices=("text", "csv", "jsonl"), default="text")


def _number(text: str) -> int:
    """
    >>> _number("300")
    300
    """
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number above 0, not {text!r}")
    return int(text)


def _past(text: str) -> int:
    moment = _since(text)
    if moment > time.time() * 1_000:
        raise argparse.ArgumentTypeError(f"{text!r} lies in the future")
    return moment


def _unit(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text.strip()


def _since(text: str) -> int:
    """
    >>> _since("2026-11-01"), _since("2026-11-01T02:00+02:00")
    (1793491200000, 1793491200000)
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a date such as 2026-11-01, not {text!r}") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)
