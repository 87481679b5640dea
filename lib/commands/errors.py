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
    """Return the exit code of an error whose message is written for operators, None for any other error."""
    from lib.domain.record import StoreError
    from lib.settings import SettingsError

    if isinstance(error, CommandError):
        return error.exit_code
    if isinstance(error, StoreError):
        return NO
    if isinstance(error, SettingsError):
        return USAGE
    from lib.experiments.acts import ActError  # these load nearly every room, which takes a second
    from lib.experiments.console import ConsoleError
    from lib.experiments.definitions import DefinitionError
    from lib.planning.plans import PlanError

    if isinstance(error, (ActError, ConsoleError)):
        return NO
    return USAGE if isinstance(error, (DefinitionError, PlanError)) else None
