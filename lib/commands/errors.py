"""The errors that end a command with a sentence on standard error, and the exit code of each."""

DONE, NO, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: done, the answer is no, wrong usage or settings, interrupted from the keyboard."""


class CommandError(Exception):
    """The command could not do its work; the message says why."""

    exit_code = NO


class UsageError(CommandError):
    """The command cannot be carried out as it was called; the message says why."""

    exit_code = USAGE


def exit_code(error: Exception) -> int | None:
    """Return the exit code of an error whose message is written for operators, None of any other error."""
    from lib.demo.visitors import Unplayable  # these load every room, which a command that succeeds need not do
    from lib.experiments.acts import ActError
    from lib.experiments.console import ConsoleError
    from lib.experiments.definitions import DefinitionError
    from lib.planning.plans import PlanError
    from lib.settings import SettingsError
    from lib.store import StoreError

    if isinstance(error, CommandError):
        return error.exit_code
    if isinstance(error, (ActError, ConsoleError, StoreError)):
        return NO
    return USAGE if isinstance(error, (DefinitionError, PlanError, SettingsError, Unplayable)) else None
