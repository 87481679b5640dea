"""The acts of operators on experiments: new versions, start, ramp, pause, end, groups switched off, decisions.

Every act is one transaction, is written to the audit log, and changes nothing where it is refused or the store is away.
The rules are in `rules`. Knows neither SQL nor a page.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lib.domain.clock import now_ms
from lib.domain.ids import new_id
from lib.domain.operations import FILE, PARLEY, Act, Decision, Entry, Version
from lib.experiments import rules
from lib.experiments.book import Book, changed_since, read_book, read_recorded
from lib.experiments.change import ActError, Change, Conflict
from lib.experiments.console import ID
from lib.experiments.experiment import Definition
from lib.experiments.rules import Facts
from lib.experiments.versions import canonical, digest, read_version
from lib.experiments.watched_file import WatchedFile
from lib.store import Connection, Store, StoreError, audit, states

__all__ = ["ActError", "Acts", "Conflict"]

WITHIN_S = 20.0
"""Seconds that the record may take to write an act. A commit that a busy disk delays succeeds in the end. A shorter
limit would report a failure of an act that then happens."""
HOUR_MS = 3_600_000
STATSIG = "Statsig"
"""The author of changes that Parley noticed at Statsig."""
Do = Callable[[Change], Facts]


class Acts:
    """The acts of one process. `changed` is called with the new book after each, before the act returns.

    `served`: Statsig decides the groups, so that only local settings can be changed here. `file` is watched for
    changes. An act raises ActError where it is refused and StoreError where the record cannot be written.
    """

    def __init__(
        self,
        store: Store,
        providers: Collection[str] | None = None,
        changed: Callable[[Book], object] | None = None,
        *,
        served: bool = False,
        file: Path | None = None,
    ) -> None:
        self._store, self._providers, self._served = store, providers, served
        self._watched = None if file is None else WatchedFile(file)
        self._changed = changed or (lambda book: None)
        self._tables: Mapping[str, Definition] = {}
        self._file: Mapping[str, str] = {}
        self._setting = ""
        self._revisions: states.Revisions | None = None
        self.book: Book = {}

    def seed(self, file: Mapping[str, Definition], setting: str) -> None:
        """Store new and changed tables of the experiments file as versions in the record.

        Make the experiment of PARLEY_EXPERIMENT the live one at the first start and whenever the setting has changed.
        """
        self.attach(file, setting)
        for name, definition in file.items():
            recorded = self.book.get(name)
            if recorded is None or changed_since(recorded, self._file[name]):
                self._try(name, FILE, "version", partial(rules.take_file, new=definition))
        live = next((recorded.state for recorded in self.book.values() if recorded.state.live), None)
        if live is None or live.setting != setting:
            self._try(setting, FILE, "choose", rules.choose)

    def attach(self, file: Mapping[str, Definition], setting: str) -> None:
        """Read the book beside the experiments file and PARLEY_EXPERIMENT; change nothing."""
        self._tables = dict(file)
        self._file = {name: canonical(definition) for name, definition in file.items()}
        self._setting = setting
        self.refresh()

    def look_at_file(self) -> None:
        """Read a file that changed while the process runs. A new table becomes a draft; an operator decides about the
        others."""
        if self._watched and (file := self._watched.changed()) is not None:
            self.attach(file, self._setting)
        for name, definition in self._tables.items():
            if name not in self.book:
                self._try(name, FILE, "version", partial(rules.take_file, new=definition))

    @property
    def file_problem(self) -> str | None:
        """The reason why the file that changed cannot be read; None where it can."""
        return self._watched.problem if self._watched else None

    def pending(self, name: str) -> Definition | None:
        """Return the file's definition of an experiment where it changed since the newest version, else None."""
        recorded, table = self.book.get(name), self._tables.get(name)
        if recorded is None or recorded.version is None or table is None:
            return None
        return table if changed_since(recorded, self._file[name]) else None

    def refresh(self) -> bool:
        """Read the record's book where it changed; False where it did not."""
        with self._store.read() as connection:
            newest = states.revisions(connection)
            if newest == self._revisions:
                return False
            book = read_book(connection)
        self._revisions, self.book = newest, book
        self._changed(book)
        return True

    def earlier(self, name: str, number: int) -> Version | None:
        """Return an earlier version of an experiment; None where there is none or the record cannot be read."""
        try:
            with self._store.read() as connection:
                return states.version(connection, name, number)
        except StoreError:
            return None

    def check(self, name: str, text: str) -> Definition:
        """Return the definition in this TOML. Raises DefinitionError with all problems.

        Statsig's groups, which no act changes, may have names, weights and providers that a table of ours may not.
        """
        return read_version(name, text, None if self._served else self._providers, served=self._served)

    def create(self, name: str, text: str, author: str, reason: str) -> None:
        """Keep the first version of a new experiment, a draft. Raises DefinitionError, too."""
        if not ID.fullmatch(name) or len(name) > 64:
            raise ActError("A new experiment's name is at most 64 letters, digits, _ and -, as Statsig takes them.")
        if name in self.book and self.book[name].version is not None:
            raise ActError(f"There is an experiment {name} already.")
        self.save(name, text, 0, author, reason)

    def save(self, name: str, text: str, base: int, author: str, reason: str) -> None:
        """Keep a new version, made from version `base`. A change that breaks comparability begins a new run where the
        experiment runs. Raises Conflict where another version came first, and DefinitionError."""
        new = self.check(name, text)
        self._act(name, author, "version", partial(rules.save, new=new, base=base, reason=reason))

    def keep(self, name: str, author: str) -> None:
        """Keep the newest version although the file changed: the next start does not take the file either."""
        self._act(name, author, "version", rules.keep)

    def start(self, name: str, author: str, reason: str = "", percent: float | None = None) -> None:
        """Make this the live experiment and let units take part: a new run, or the paused one again."""
        self._act(name, author, "start", partial(rules.start, percent=percent, reason=reason))

    def ramp(self, name: str, percent: float, author: str, reason: str = "") -> None:
        """Let more units take part, in the same run."""
        self._act(name, author, "ramp", partial(rules.ramp, percent=percent, reason=reason))

    def pause(self, name: str, author: str, reason: str = "") -> None:
        """Let no new unit take part; conversations continue, and the run stays open."""
        self._act(name, author, "pause", partial(rules.pause, reason=reason))

    def end(self, name: str, author: str, reason: str = "") -> None:
        """End the run: every unit gets the default from the next conversation on."""
        self._act(name, author, "end", partial(rules.end, reason=reason))

    def disable(self, name: str, group: str, author: str, reason: str = "", facts: Facts | None = None) -> None:
        """Switch a group off at once: its units get the default from their next question on, its data stay."""
        act: Act = "guardrail" if author == PARLEY else "disable"
        self._act(name, author, act, partial(rules.disable, group=group, reason=reason, facts=facts or {}))

    def enable(self, name: str, group: str, author: str, reason: str = "") -> None:
        """Switch a group on again: a new run begins."""
        self._act(name, author, "enable", partial(rules.enable, group=group, reason=reason))

    def schedule(self, name: str, start_ms: int | None, end_ms: int | None, author: str) -> None:
        """Schedule the start and the end of an experiment; None: not scheduled."""
        self._act(name, author, "schedule", partial(rules.schedule, start_ms=start_ms, end_ms=end_ms))

    def keep_schedule(self) -> None:
        """Start and end the experiments that are due. Every replica may call this; one of them does it."""
        now = now_ms()
        for name, recorded in dict(self.book).items():
            if (act := rules.due(recorded.state, now)) is not None:
                self._try(name, PARLEY, act, rules.keep_schedule)

    def decide(self, name: str, group: str | None, readout: Mapping[str, Any], author: str, reason: str) -> Decision:
        """End the run with a decision: this group's parameters become the default (None: the default stays). `readout`
        is kept as it stands. To undo a decision, decide again."""
        if not reason.strip():
            raise ActError("Say in a sentence why: the history shows it beside the decision.")
        decisions: list[Decision] = []

        def do(change: Change) -> Facts:
            decisions[:] = [rules.decide(change, group, readout, reason)]
            return {"group": group, "run": decisions[0].run, "reason": reason, "default": dict(decisions[0].parameters)}

        self._act(name, author, "decide", do)
        return decisions[0]

    def note(self, name: str, definition: Definition, reason: str) -> None:
        """Record the definition that Statsig serves. `reason` says what happened at Statsig to an experiment that no
        longer runs."""
        recorded = self.book.get(name)
        if recorded is None or not rules.as_served(recorded, definition):
            self._try(name, STATSIG, "new run", partial(rules.note, definition=definition, why=reason))

    def log(self, operator: str, act: Act, subject: str, details: Facts | None = None) -> None:
        """Write a line of the audit log that changes no experiment. Never waits, never raises."""
        entry = Entry(new_id(), now_ms(), operator, act, subject, details or {})
        self._store.write(lambda connection: audit.log_act(connection, entry))

    def log_texts_read(self, operator: str, page: str, conversations: Iterable[str]) -> None:
        """Log that an operator was shown testers' texts: one line an hour for each operator, page and conversation.

        The number of texts, tabs and replicas does not matter. Never waits, never raises.
        """
        now = now_ms()
        hour = now // HOUR_MS
        lines = [
            Entry(
                digest(["read texts", operator, page, conversation_id, hour]),
                now,
                operator,
                "read texts",
                conversation_id,
                {"page": page},
            )
            for conversation_id in conversations
        ]

        def fact(connection: Connection) -> None:
            for line in lines:
                audit.log_act(connection, line)

        if lines:
            self._store.write(fact)

    def _try(self, name: str, author: str, act: Act, do: Do) -> None:
        """Do an act that another replica may have done already."""
        try:
            self._act(name, author, act, do)
        except ActError:
            self.refresh()

    def _act(self, name: str, author: str, act: Act, do: Do) -> None:
        """Do an act in one transaction, with its line in the audit log."""
        entry = Entry(new_id(), now_ms(), author, act, name)
        file, setting = self._file.get(name, ""), self._setting

        def fact(connection: Connection) -> ActError | None:
            if audit.is_logged(connection, entry.id):
                return None  # an attempt whose confirmation was lost
            try:
                with connection.begin_nested():
                    recorded = read_recorded(connection, states.locked_state(connection, name))
                    change = Change(connection, recorded, entry.time_ms, author, file, setting, self._served)
                    details = do(change)
                    states.put_state(connection, change.state)
                    audit.log_act(connection, replace(entry, details=details))
            except ActError as refused:
                return refused
            return None

        refused = self._store.attempt(fact, WITHIN_S)
        self.refresh()
        if refused is not None:
            raise refused
