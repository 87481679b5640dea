"""The operator's tool: `python -m lib COMMAND`. Defines the commands, their arguments and exit codes; each command is a
module of `lib.commands`, imported when it runs.

Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 the answer is no, 2 usage.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lib import __version__
from lib.commands import arguments as takes
from lib.commands.errors import DONE, INTERRUPTED, NO, CommandError, UsageError, exit_code
from lib.commands.experiment_arguments import takes as experiment_takes

if TYPE_CHECKING:
    from lib.settings import Settings

Arguments = argparse.Namespace


@dataclass(frozen=True)
class Command:
    """One command. `run` returns the exit code."""

    name: str
    does: str
    takes: Callable[[argparse.ArgumentParser], None]
    run: Callable[["Settings", Arguments], int]


def check(settings: "Settings", arguments: Arguments) -> int:
    """Report the state of each part, one line each."""
    from lib.commands.check import findings
    from lib.settings import origins

    well = True
    for finding in findings(settings, origins(arguments.from_file), send_alert=arguments.alerts):
        print(finding, flush=True)
        well = well and finding.ok
    return DONE if well else NO


def export(settings: "Settings", arguments: Arguments) -> int:
    """Write the events to standard output."""
    if arguments.format == "parquet" and sys.stdout.isatty():
        raise UsageError("Parquet is not for a terminal: send it into a file, … > events.parquet")
    from lib.commands.export import write
    from lib.commands.operator import log_command
    from lib.store import Store

    with closing(Store.open(settings.database_url)) as store:
        lines = store.events.export(arguments.since, arguments.text)
        if arguments.text:
            log_command(store, "read texts", "export", {"since_ms": arguments.since})
        write(lines, arguments.format, sys.stdout.buffer, text=arguments.text)
    return DONE


def readout(settings: "Settings", arguments: Arguments) -> int:
    """Print the readout: which group is better, with its interval."""
    import json

    from lib.commands.readout import from_file, from_store, lines
    from lib.readout.report import as_json

    if arguments.events is None:
        report = from_store(settings, arguments.experiment, arguments.of_run)
    else:
        report = from_file(settings, arguments.experiment or settings.experiment, arguments.events, arguments.of_run)
    for note in report.notes:
        print(note, file=sys.stderr)
    if arguments.json:
        print(json.dumps(as_json(report.readout), indent=1, allow_nan=False))
    else:
        print(*lines(report), sep="\n")
    return DONE if report.reliable else NO


def plan(settings: "Settings", arguments: Arguments) -> int:
    """Print how many testers, and how long, each way needs."""
    from lib.commands.plan import planned

    values = {name: getattr(arguments, name) for name in takes.PLAN_VALUES}
    print(*planned(settings, arguments.experiment, **values), sep="\n")
    return DONE


def invite(settings: "Settings", arguments: Arguments) -> int:
    """Make an invitation, list all, or end one."""
    from lib.commands.invite import end, listed, make
    from lib.commands.operator import log_command
    from lib.domain.invitations import Terms
    from lib.store import Store

    limits = (arguments.days, arguments.sessions, arguments.group, arguments.usd, arguments.compare or None)
    if arguments.name is None and set(limits) != {None}:
        raise UsageError("--days, --sessions, --group, --usd and --compare belong to a new link: give it a --name")
    with closing(Store.open(settings.database_url)) as store:
        if arguments.list:
            print(*listed(settings, store), sep="\n")
        elif arguments.revoke is not None:
            print(end(store, arguments.revoke), file=sys.stderr)
            log_command(store, "revoke", arguments.revoke)
        else:
            values = {name: getattr(arguments, name) for name in takes.INVITATION_TERMS}
            terms = Terms(**{name: value for name, value in values.items() if value is not None})
            link = make(settings, store, arguments.name, terms)
            log_command(store, "invite", arguments.name, {"name": arguments.name, **values})
            print(link.url, flush=True)
            print(*link.notes, sep="\n", file=sys.stderr)
    return DONE


def move(settings: "Settings", arguments: Arguments) -> int:
    """Copy the whole record to another database and compare the row counts."""
    from lib.commands import move as moving

    whole = True
    for copied in moving.move(settings, arguments.to):
        state = "ok" if copied.whole else "NO"
        print(f"{state:<3} {copied.table:<14} {copied.target} of {copied.source} rows", flush=True)
        whole = whole and copied.whole
    if not whole:
        raise CommandError("The databases differ. Is Parley stopped, and was the other database empty before?")
    print(*moving.next_steps(settings, arguments.to), sep="\n")
    return DONE


def erase(settings: "Settings", arguments: Arguments) -> int:
    """Delete everything of a unit and print the request that deletes the rest at Statsig."""
    from lib.commands.erase import facts, report
    from lib.commands.operator import log_command
    from lib.experiments.book import digest
    from lib.store import Store

    with closing(Store.open(settings.database_url)) as store:
        erased = store.erase(arguments.user)
        log_command(store, "erase", f"unit {digest(arguments.user)}", facts(erased))
        print(*report(erased, arguments.user, statsig=settings.statsig_secret_key is not None), sep="\n")
    return NO if erased.nothing or erased.running else DONE


def purge(settings: "Settings", arguments: Arguments) -> int:
    """Delete old events, or count those that would be deleted."""
    from lib.commands.purge import purge_old_events
    from lib.store import Store

    def report_progress(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    with closing(Store.open(settings.database_url)) as store:
        print(*purge_old_events(store, arguments.before, arguments.yes, report_progress), sep="\n")
    return DONE


def simulate(settings: "Settings", arguments: Arguments) -> int:
    """Play simulated visitors, or measure the readout's error rate and power with them."""
    from lib.commands.simulate import soundness, visits

    if arguments.check:
        summary = soundness(settings, arguments.users, arguments.seed, arguments.lift, arguments.check)
    else:
        summary = visits(settings, arguments.users, arguments.seed, arguments.lift or 0.0)
    print(*summary.lines, sep="\n")
    return DONE if summary.well else NO


def experiment(settings: "Settings", arguments: Arguments) -> int:
    """Show an experiment, or change it as an operator may."""
    from lib.commands.experiment import perform

    for line in perform(settings, arguments):
        print(line, flush=True)
    return DONE


def history(settings: "Settings", arguments: Arguments) -> int:
    """Print runs and decisions, newest first."""
    from lib.commands.history import history

    for line in history(settings, markdown=arguments.markdown, pictures=arguments.pictures):
        print(line, flush=True)
    return DONE


def audit(settings: "Settings", arguments: Arguments) -> int:
    """Print what operators did, newest first."""
    from lib.commands.audit import entries, formatted
    from lib.store import Store

    with closing(Store.open(settings.database_url)) as store:
        acts = entries(store, arguments.operator, arguments.act)
    for line in formatted(acts, arguments.format):
        print(line)
    return DONE


def statsig_setup(settings: "Settings", arguments: Arguments) -> int:
    """Create the experiment and its metrics in a Statsig project, or print the requests."""
    from lib.commands.definitions import find_definition
    from lib.commands.statsig_setup import address_of, create_all, read_key, requests_of
    from lib.experiments.console import Console

    definition = find_definition(settings, settings.experiment)
    if arguments.dry_run:
        print(*requests_of(definition, address_of(settings)), sep="\n")
    else:
        create_all(definition, Console(read_key(), address_of(settings)), lambda line: print(line, flush=True))
    return DONE


COMMANDS = (
    Command("check", "report the state of each part, and what to do about problems", takes.check, check),
    Command("export", "write the events to standard output", takes.export, export),
    Command("readout", "print which group is better, with its interval", takes.readout, readout),
    Command("plan", "print the testers and the time that each way needs", takes.plan, plan),
    Command("simulate", "play visitors, or check the readout with them", takes.simulate, simulate),
    Command("invite", "make an invitation link, list the links, or end one", takes.invite, invite),
    Command(
        "statsig-setup",
        "create the experiment and its metrics in a Statsig project",
        takes.statsig_setup,
        statsig_setup,
    ),
    Command("experiment", "start, ramp, pause, end or decide an experiment", experiment_takes, experiment),
    Command("history", "print runs and decisions", takes.history, history),
    Command("audit", "print what operators did", takes.audit, audit),
    Command("erase", "delete everything of one user", takes.erase, erase),
    Command("move", "copy the whole record to another database and compare the row counts", takes.move, move),
    Command("purge", "delete old events, or count them", takes.purge, purge),
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lib", description="Parley's tool for operators.")
    parser.add_argument("--version", action="version", version=f"parley {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        words = commands.add_parser(command.name, help=command.does, description=command.does.capitalize() + ".")
        command.takes(words)
        words.add_argument(
            "--env-file", type=Path, metavar="FILE", help="settings instead of those of this environment"
        )
        words.set_defaults(run=command.run)
    return parser


def _run(arguments: Arguments) -> int:
    """Run the command and return its exit code. An error for the operator becomes a sentence on standard error."""
    try:
        code: int = arguments.run(_settings(arguments), arguments)
    except Exception as error:
        failure = exit_code(error)
        if failure is None:
            raise
        print(error, file=sys.stderr)
        code = failure
    sys.stdout.flush()
    return code


def _settings(arguments: Arguments) -> "Settings":
    """Load the settings and configure the log. Raises SettingsError."""
    from lib import logs
    from lib.commands.env_file import take
    from lib.domain.proxies import keep_loopback_direct
    from lib.settings import load

    arguments.from_file = {arguments.env_file: take(arguments.env_file)} if arguments.env_file else {}
    keep_loopback_direct(os.environ)
    settings = load()
    if arguments.command != "check":
        _refuse_to_make_files(settings)
    logs.configure(settings.log, settings.log_level, settings.secrets())
    return settings


def _refuse_to_make_files(settings: "Settings") -> None:
    """Raise SettingsError where a command would create files that the user of the service could not open."""
    from lib.access import data_folder
    from lib.settings import SettingsError

    file = settings.database_file
    if file is not None and not file.exists() and (owner := data_folder.foreign_owner(file)):
        raise SettingsError(
            [f"DATABASE_URL: {file} is not there yet, and its folder belongs to {owner}: run this as {owner}"]
        )


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        return _run(_parser().parse_args(words))
    except BrokenPipeError:  # the reader has closed its end, so buffered output has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
