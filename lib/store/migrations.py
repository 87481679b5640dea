"""The named migrations that give an older database the tables of `schema`."""

from collections.abc import Callable

from sqlalchemy import Connection

from lib.store import partitions, votes

_GUESTS = (
    "CREATE TABLE invitation (id VARCHAR(64) NOT NULL PRIMARY KEY, name VARCHAR(128) NOT NULL,"
    " created_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL, sessions INTEGER, grp VARCHAR(128), usd FLOAT,"
    " revoked_ms BIGINT)",
    "CREATE TABLE guest (invitation_id VARCHAR(64) NOT NULL, visitor_id VARCHAR(64) NOT NULL, since_ms BIGINT NOT NULL,"
    " PRIMARY KEY (invitation_id, visitor_id))",
    "CREATE INDEX guest_by_visitor ON guest (visitor_id)",
    "CREATE TABLE consent (visitor_id VARCHAR(64) NOT NULL, version VARCHAR(64) NOT NULL, time_ms BIGINT NOT NULL,"
    " PRIMARY KEY (visitor_id, version))",
)
_SPENDING = (
    "CREATE TABLE spending (day INTEGER NOT NULL, account VARCHAR(96) NOT NULL, usd FLOAT NOT NULL,"
    " answers INTEGER NOT NULL, PRIMARY KEY (day, account))",
    "CREATE TABLE reservation (answer_id VARCHAR(64) NOT NULL, day INTEGER NOT NULL, account VARCHAR(96) NOT NULL,"
    " usd FLOAT NOT NULL, since_ms BIGINT NOT NULL, PRIMARY KEY (answer_id, day, account))",
    "CREATE INDEX answer_by_time ON answer (time_ms, simulated, finish_reason, cost_usd, experiment, grp)",
)
_PURGED = (
    "CREATE TABLE purged (simulated BOOLEAN NOT NULL PRIMARY KEY, events BIGINT NOT NULL, acknowledged BIGINT NOT NULL)"
)
_LEDGER = (
    "ALTER TABLE event ADD COLUMN grp VARCHAR(128)",
    "UPDATE event SET grp = (SELECT answer.grp FROM answer WHERE answer.answer_id = event.answer_id)"
    " WHERE answer_id IS NOT NULL",
    "UPDATE event SET grp = (SELECT exposure.grp FROM exposure WHERE exposure.event_id = event.event_id)"
    " WHERE answer_id IS NULL",
    "DROP INDEX event_of_user",
    "CREATE INDEX event_of_user ON event (user_id, time_ms, event_id)",
    "CREATE INDEX event_by_name ON event (name, time_ms, event_id, grp)",
    "CREATE INDEX event_by_group ON event (grp, time_ms, event_id)",
    """CREATE INDEX event_failed ON event (time_ms, event_id) WHERE value IN ('"error"', '"interrupted"')""",
    "CREATE INDEX outbox_by_age ON outbox (created_ms, event_id)",
)
_ORIGIN = (
    "ALTER TABLE answer ADD COLUMN tier VARCHAR(64) DEFAULT '' NOT NULL",
    "ALTER TABLE exposure ADD COLUMN tier VARCHAR(64) DEFAULT '' NOT NULL",
    "ALTER TABLE exposure ADD COLUMN invitation VARCHAR(64)",
    "UPDATE exposure SET invitation = (SELECT min(guest.invitation_id) FROM guest"
    " WHERE guest.visitor_id = exposure.user_id) WHERE user_id IN (SELECT visitor_id FROM guest)",
    "DROP INDEX answer_sums",
    "CREATE INDEX answer_sums ON answer (experiment, simulated, user_id, time_ms, failed, liked, response_time,"
    " time_to_first_token, completion_tokens, cost_usd, grp, rated_ms, tier) WHERE failed IS NOT NULL",
    "DROP INDEX answer_times",
    "CREATE INDEX answer_times ON answer (experiment, simulated, grp, response_time, user_id, time_ms, tier)"
    " WHERE failed IS NOT NULL AND response_time IS NOT NULL",
    "DROP INDEX answer_disliked",
    "CREATE INDEX answer_disliked ON answer (experiment, simulated, rated_ms, reason, user_id, time_ms, tier)"
    " WHERE liked = 0",
    "DROP INDEX exposure_of_unit",
    "CREATE INDEX exposure_of_unit ON exposure (experiment, simulated, user_id, time_ms, grp, forced, event_id, tier)",
    "CREATE INDEX exposure_of_guest ON exposure (invitation, user_id) WHERE invitation IS NOT NULL",
)
_ENDED = (
    "CREATE TABLE sign_out (session VARCHAR(64) NOT NULL PRIMARY KEY, time_ms BIGINT NOT NULL)",
    "CREATE TABLE deletion (conversation_id VARCHAR(64) NOT NULL PRIMARY KEY, visitor_id VARCHAR(64) NOT NULL,"
    " time_ms BIGINT NOT NULL)",
    "CREATE INDEX deletion_by_time ON deletion (time_ms)",
)
_READOUT = (
    "DROP INDEX answer_times",
    "CREATE INDEX answer_times ON answer (experiment, simulated, grp, response_time, user_id, time_ms, tier)"
    " WHERE failed = 0 AND response_time IS NOT NULL",
    "CREATE INDEX answer_stopped ON answer (experiment, simulated, user_id, time_ms, tier)"
    " WHERE finish_reason = 'stopped'",
    "CREATE TABLE held (experiment VARCHAR(128) NOT NULL, simulated BOOLEAN NOT NULL, run VARCHAR(64) NOT NULL,"
    " metric VARCHAR(64) NOT NULL, grp VARCHAR(128) NOT NULL, low FLOAT NOT NULL, low_ms BIGINT NOT NULL,"
    " high FLOAT NOT NULL, high_ms BIGINT NOT NULL, PRIMARY KEY (experiment, simulated, run, metric, grp))",
)
_ALERTS = (
    "CREATE TABLE alert (key VARCHAR(200) NOT NULL PRIMARY KEY, title TEXT NOT NULL, text TEXT NOT NULL,"
    " page VARCHAR(32) NOT NULL, time_ms BIGINT NOT NULL, due_ms BIGINT NOT NULL, attempts INTEGER NOT NULL,"
    " reached VARCHAR(200) NOT NULL, sent_ms BIGINT)",
    "CREATE INDEX alert_by_time ON alert (time_ms)",
    "CREATE TABLE lease (name VARCHAR(64) NOT NULL PRIMARY KEY, owner VARCHAR(64) NOT NULL, until_ms BIGINT NOT NULL)",
)
_COMPARISONS = (
    "ALTER TABLE answer ADD COLUMN comparison_id VARCHAR(64)",
    "CREATE TABLE comparison (comparison_id VARCHAR(64) NOT NULL PRIMARY KEY, conversation_id VARCHAR(64) NOT NULL,"
    " experiment VARCHAR(128) NOT NULL, user_id VARCHAR(128) NOT NULL, simulated BOOLEAN NOT NULL,"
    " asked_ms BIGINT NOT NULL, left_answer_id VARCHAR(64) NOT NULL, right_answer_id VARCHAR(64) NOT NULL,"
    " drawn VARCHAR(8) NOT NULL, vote VARCHAR(16), voted_ms BIGINT)",
    "CREATE INDEX comparison_of_unit ON comparison (experiment, simulated, user_id)",
    "CREATE INDEX comparison_of_conversation ON comparison (conversation_id)",
)
_RUNS = (
    "CREATE TABLE experiment_version (experiment VARCHAR(128) NOT NULL, number INTEGER NOT NULL, text TEXT NOT NULL,"
    " author VARCHAR(128) NOT NULL, reason TEXT NOT NULL, time_ms BIGINT NOT NULL, file VARCHAR(64) NOT NULL,"
    " PRIMARY KEY (experiment, number))",
    "CREATE TABLE experiment_run (experiment VARCHAR(128) NOT NULL, number INTEGER NOT NULL, version INTEGER NOT NULL,"
    " run_key VARCHAR(64) NOT NULL, begun_ms BIGINT NOT NULL, author VARCHAR(128) NOT NULL, reason TEXT NOT NULL,"
    " ended_ms BIGINT, end_author VARCHAR(128) NOT NULL, end_reason TEXT NOT NULL, PRIMARY KEY (experiment, number))",
    "CREATE TABLE experiment_state (experiment VARCHAR(128) NOT NULL PRIMARY KEY, stage VARCHAR(16) NOT NULL,"
    " revision INTEGER NOT NULL, live BOOLEAN NOT NULL, setting VARCHAR(128) NOT NULL, version INTEGER NOT NULL,"
    " run INTEGER NOT NULL, disabled TEXT NOT NULL, start_ms BIGINT, end_ms BIGINT, guarded_ms BIGINT NOT NULL)",
    "CREATE TABLE decision (id VARCHAR(64) NOT NULL PRIMARY KEY, experiment VARCHAR(128) NOT NULL,"
    " run INTEGER NOT NULL, time_ms BIGINT NOT NULL, author VARCHAR(128) NOT NULL, reason TEXT NOT NULL,"
    " grp VARCHAR(128), parameters TEXT NOT NULL, readout TEXT NOT NULL)",
    "CREATE INDEX decision_by_time ON decision (time_ms)",
    "CREATE TABLE audit (id VARCHAR(64) NOT NULL PRIMARY KEY, time_ms BIGINT NOT NULL, operator VARCHAR(128) NOT NULL,"
    " act VARCHAR(32) NOT NULL, subject VARCHAR(128) NOT NULL, details TEXT NOT NULL)",
    "CREATE INDEX audit_by_time ON audit (time_ms, id)",
)
Step = str | Callable[[Connection], None]
"""A statement in SQL that SQLite and PostgreSQL share, or a function where they differ."""
MIGRATIONS: tuple[tuple[str, tuple[Step, ...]], ...] = (
    ("1 first tables", ()),
    ("2 guests", _GUESTS),
    ("3 spending", _SPENDING),
    ("4 ledger", _LEDGER),
    ("5 today", ("CREATE INDEX exposure_by_time ON exposure (time_ms, experiment, simulated, forced, grp, user_id)",)),
    ("6 origin", _ORIGIN),
    ("7 partitions", (_PURGED, partitions.convert)),
    ("8 evaluations", ("ALTER TABLE event ADD COLUMN sent TEXT",)),
    ("9 reasoning", ("ALTER TABLE message ADD COLUMN reasoning TEXT",)),
    ("10 sign-outs and deletions", _ENDED),
    ("11 readout", _READOUT),
    ("12 comparisons", _COMPARISONS),
    ("13 comparing guests", ("ALTER TABLE invitation ADD COLUMN compare BOOLEAN DEFAULT FALSE NOT NULL",)),
    ("14 votes", (votes.fill,)),
    ("15 runs", _RUNS),
    ("16 alerts", _ALERTS),
    ("17 one kind of turns", ("ALTER TABLE experiment_state DROP COLUMN guarded_ms",)),
)
"""Append-only: a name and its steps. A fresh database gets the tables of `schema` and counts as having all of them."""
