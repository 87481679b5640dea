"""The arguments of `python -m lib experiment`. Loads nothing but argparse."""

import argparse
from datetime import datetime
from typing import Any, TypeAlias

EPILOG = """The audit log has every act under the name of this machine's user. Times are in this machine's zone
unless they name one, such as 2026-12-01T09:00+01:00."""


def takes(parser: argparse.ArgumentParser) -> None:
    """Add the words that follow `experiment`."""
    parser.epilog = EPILOG
    words = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    words.add_parser("list", help="print every experiment with its state")
    _add_command(words, "show", "print its state, groups, runs and versions")
    _add_command(words, "export", "print the version in force as TOML").add_argument(
        "--version", type=int, metavar="N", dest="number", help="an earlier version instead"
    )
    create = _act(words, "create", "make a new experiment, a draft")
    create.add_argument("--like", metavar="OTHER", help="copy this experiment (default: two identical groups)")
    start = _act(words, "start", "let units take part: in a new run, or in the one that is paused")
    start.add_argument("--percent", type=float, metavar="P", help="allocation to start with")
    start.add_argument("--at", type=moment, metavar="TIME", help="at this time instead of now")
    _act(words, "pause", "let no new unit take part; conversations continue")
    ramp = _act(words, "ramp", "let more units take part, in the same run")
    ramp.add_argument("percent", type=float, metavar="PERCENT")
    for word, does in (("disable", "switch a group off at once"), ("enable", "switch a group on again: a new run")):
        _act(words, word, does).add_argument("group", metavar="GROUP")
    end = _act(words, "end", "end the run: all units get the default")
    end.add_argument("--at", type=moment, metavar="TIME", help="at this time instead of now")
    decide = _act(words, "decide", "end the run with a decision, which the history keeps with its readout")
    which = decide.add_mutually_exclusive_group(required=True)
    which.add_argument("--group", metavar="GROUP", help="its parameters become the default")
    which.add_argument("--keep-default", action="store_true", help="the default stays as it is")
    apply = _act(words, "apply", "save a new version from a file with the experiment's table")
    apply.add_argument("file", metavar="FILE", help="TOML; - for standard input")


Words: TypeAlias = Any
"""The subparsers of argparse, whose type has no public name."""


def _add_command(words: Words, word: str, does: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = words.add_parser(word, help=does, description=does.capitalize() + ".")
    parser.add_argument("name", metavar="NAME", help="the experiment")
    return parser


def _act(words: Words, word: str, does: str) -> argparse.ArgumentParser:
    parser = _add_command(words, word, does)
    parser.add_argument("--reason", default="", metavar="TEXT", help="reason for the history")
    return parser


def moment(text: str) -> int:
    """
    >>> moment("2026-12-01T09:00+01:00")
    1796112000000
    """
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1_000)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a time such as 2026-12-01T09:00, not {text!r}") from None
