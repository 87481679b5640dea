"""The tables. Knows SQLAlchemy Core; knows no query. How an older database gets them is in `migrations`.

Text (`conversation.title`, `message`) is separate from numbers (`answer`, `exposure`, `event`), so that retention and
deletion remove text and keep numbers.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData()

alert = Table(  # news for operators; sent_ms is null while a receiver does not have it
    "alert",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("page", String(32), nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False),  # not sent before
    Column("attempts", Integer, nullable=False),
    Column("reached", String(200), nullable=False),  # places of the receivers that have it, spaces between
    Column("sent_ms", BigInteger),
    Index("alert_by_time", "time_ms"),
)

lease = Table(  # tasks that one process does at a time
    "lease",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("until_ms", BigInteger, nullable=False),
)

migration = Table(
    "migration",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("applied_ms", BigInteger, nullable=False),
)

conversation = Table(  # one assignment for its whole life
    "conversation",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("visitor_id", String(64), nullable=False),
    Column("title", Text),  # the first words of the first question; null where text is not kept
    Column("assignment", Text, nullable=False),  # JSON of an Assignment
    Column("simulated", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Index("conversation_of_visitor", "visitor_id", "updated_ms"),
    Index("conversation_by_age", "updated_ms"),
)

message = Table(  # the text of one turn; a row with nulls where text is not kept or was deleted
    "message",
    metadata,
    Column("answer_id", String(64), primary_key=True),
    Column("conversation_id", String(64), nullable=False),
    Column("turn", Integer, nullable=False),
    Column("asked_ms", BigInteger, nullable=False),
    Column("replaced", Boolean, nullable=False),  # another answer replaced it: kept, not shown
    Column("question", Text),
    Column("answer", Text),
    Column("comment", Text),
    Column("reasoning", Text),  # the model's thinking
    Index("message_of_conversation", "conversation_id", "turn", "asked_ms"),
    Index("message_by_age", "asked_ms"),
)

FAILED = "CASE WHEN finish_reason IN ('error', 'interrupted') THEN 1 WHEN finish_reason <> 'limited' THEN 0 END"
LIKED = "CASE rating WHEN 'satisfaction' THEN 1 WHEN 'dissatisfaction' THEN 0 END"

answer = Table(  # one row per answer; time_ms and what follows are null while it runs
    "answer",
    metadata,
    Column("answer_id", String(64), primary_key=True),
    Column("conversation_id", String(64), nullable=False),
    Column("session_id", String(64), nullable=False),
    Column("turn", Integer, nullable=False),
    Column("experiment", String(128), nullable=False),
    Column("grp", String(128)),
    Column("user_id", String(128), nullable=False),
    Column("model", String(128), nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("tier", String(64), nullable=False, server_default=""),  # tier of the process that asked; empty: unknown
    Column("comparison_id", String(64)),  # the comparison that it belongs to
    Column("owner", String(64)),  # the process that runs it
    Column("beat_ms", BigInteger),  # the last heartbeat of that process; a stale one means that the answer was cut off
    Column("time_ms", BigInteger),  # of its chat_completion
    Column("finish_reason", String(16)),
    Column("error", String(64)),
    Column("message", Text),  # the tester's text of a failure
    Column("response_time", Float),
    Column("time_to_first_token", Float),
    Column("completion_tokens", Integer),
    Column("cost_usd", Float),
    Column("rating", String(16)),  # satisfaction | dissatisfaction | null
    Column("rated_ms", BigInteger),
    Column("reason", String(16)),
    Column("failed", SmallInteger, Computed(FAILED, persisted=True)),  # null: not ended, or limited
    Column("liked", SmallInteger, Computed(LIKED, persisted=True)),
    Index("answer_of_conversation", "conversation_id"),
)
_COUNTS = answer.c.failed.is_not(None)
Index(  # everything that the readout sums, unit by unit, so that it never touches the table
    "answer_sums",
    answer.c.experiment,
    answer.c.simulated,
    answer.c.user_id,
    answer.c.time_ms,
    answer.c.failed,
    answer.c.liked,
    answer.c.response_time,
    answer.c.time_to_first_token,
    answer.c.completion_tokens,
    answer.c.cost_usd,
    answer.c.grp,
    answer.c.rated_ms,
    answer.c.tier,
    sqlite_where=_COUNTS,
    postgresql_where=_COUNTS,
)
TIMED = (answer.c.failed == text("0")) & answer.c.response_time.is_not(None)
"""Answers whose response time counts, spelt as in the index."""
Index(  # the response times of a group in order, for its quantiles
    "answer_times",
    answer.c.experiment,
    answer.c.simulated,
    answer.c.grp,
    answer.c.response_time,
    answer.c.user_id,
    answer.c.time_ms,
    answer.c.tier,
    sqlite_where=TIMED,
    postgresql_where=TIMED,
)
_DISLIKED = answer.c.liked == text("0")
Index(  # dissatisfied testers' reasons, newest first
    "answer_disliked",
    answer.c.experiment,
    answer.c.simulated,
    answer.c.rated_ms,
    answer.c.reason,
    answer.c.user_id,
    answer.c.time_ms,
    answer.c.tier,
    sqlite_where=_DISLIKED,
    postgresql_where=_DISLIKED,
)
Index(  # a day's answers and their cost
    "answer_by_time",
    answer.c.time_ms,
    answer.c.simulated,
    answer.c.finish_reason,
    answer.c.cost_usd,
    answer.c.experiment,
    answer.c.grp,
)
STOPPED = answer.c.finish_reason == text("'stopped'")
"""An answer that its tester stopped, spelt as in the index."""
Index(  # answers that their testers stopped
    "answer_stopped",
    answer.c.experiment,
    answer.c.simulated,
    answer.c.user_id,
    answer.c.time_ms,
    answer.c.tier,
    sqlite_where=STOPPED,
    postgresql_where=STOPPED,
)
Index(  # answers whose process may be gone
    "answer_running",
    answer.c.beat_ms,
    sqlite_where=answer.c.finish_reason.is_(None),
    postgresql_where=answer.c.finish_reason.is_(None),
)

comparison = Table(  # one question answered by two groups side by side; both have a row in `answer`
    "comparison",
    metadata,
    Column("comparison_id", String(64), primary_key=True),
    Column("conversation_id", String(64), nullable=False),
    Column("experiment", String(128), nullable=False),
    Column("user_id", String(128), nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("asked_ms", BigInteger, nullable=False),
    Column("left_answer_id", String(64), nullable=False),
    Column("right_answer_id", String(64), nullable=False),
    Column("drawn", String(8), nullable=False),  # the side that the conversation continues where the vote prefers none
    Column("vote", String(16)),  # left | right | tie | both_bad | null
    Column("voted_ms", BigInteger),
    Index("comparison_of_unit", "experiment", "simulated", "user_id"),
    Index("comparison_of_conversation", "conversation_id"),
)

exposure = Table(
    "exposure",
    metadata,
    Column("event_id", String(64), primary_key=True),
    Column("experiment", String(128), nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("user_id", String(128), nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("grp", String(128)),
    Column("forced", Boolean, nullable=False),
    Column(
        "tier", String(64), nullable=False, server_default=""
    ),  # tier of the process that exposed it; empty: unknown
    Column("invitation", String(64)),  # the invitation that the visitor came by
    Index("exposure_of_unit", "experiment", "simulated", "user_id", "time_ms", "grp", "forced", "event_id", "tier"),
    Index("exposure_by_time", "time_ms", "experiment", "simulated", "forced", "grp", "user_id"),
)
_INVITED = exposure.c.invitation.is_not(None)
Index(  # the units of an invitation's guests
    "exposure_of_guest",
    exposure.c.invitation,
    exposure.c.user_id,
    sqlite_where=_INVITED,
    postgresql_where=_INVITED,
)

event = Table(  # the ledger. Look an event up by its id and its time: only both together have an index
    "event",
    metadata,
    Column("event_id", String(64), nullable=False),
    Column("name", String(64), nullable=False),
    Column("time_ms", BigInteger, nullable=False, autoincrement=False),
    Column("user_id", String(128), nullable=False),
    Column("answer_id", String(64)),
    Column("grp", String(128)),
    Column("simulated", Boolean, nullable=False),
    Column("value", Text),  # JSON
    Column("metadata", Text, nullable=False),  # JSON
    Column("ids", Text, nullable=False),  # JSON of the unit's ids, for Statsig
    Column("acknowledged_ms", BigInteger),  # when Statsig acknowledged it
    Column("sent", Text),  # of an exposure: JSON of the SDK's own form; null: unknown
    PrimaryKeyConstraint("time_ms", "event_id"),  # older SQLite files: event_id alone, and an index of both
    Index("event_of_answer", "answer_id"),
    Index("event_of_user", "user_id", "time_ms", "event_id"),
    Index("event_by_name", "name", "time_ms", "event_id", "grp"),
    Index("event_by_group", "grp", "time_ms", "event_id"),
    Index("event_acknowledged", "simulated", "acknowledged_ms"),
    postgresql_partition_by="RANGE (time_ms)",  # see partitions
)
FAILURE = text("""value IN ('"error"', '"interrupted"')""")
"""An answer that failed, spelt as in the index: both databases use a partial index only for this exact condition."""
Index("event_failed", event.c.time_ms, event.c.event_id, sqlite_where=FAILURE, postgresql_where=FAILURE)

outbox = Table(  # events that Statsig has not acknowledged
    "outbox",
    metadata,
    Column("event_id", String(64), primary_key=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False),  # not before; a lease moves it into the future
    Column("attempts", Integer, nullable=False),
    Column("error", Text),
    Index("outbox_due", "due_ms"),
    Index("outbox_by_age", "created_ms", "event_id"),
)

vote = Table(  # the last vote on each comparison; the pair in alphabetical order, so that no definition is asked
    "vote",
    metadata,
    Column("experiment", String(128), primary_key=True),
    Column("simulated", Boolean, primary_key=True),
    Column("comparison_id", String(64), primary_key=True),
    Column("user_id", String(128), nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("event_id", String(64), nullable=False),
    Column("first_grp", String(128), nullable=False),
    Column("second_grp", String(128), nullable=False),
    Column("worth", SmallInteger),  # 1: the second is preferred, -1: the first, 0: neither; null: a vote for no such
    Column("both_bad", SmallInteger, nullable=False),
    Column("left_won", SmallInteger, nullable=False),
    Column("tier", String(64), nullable=False, server_default=""),  # of the process that took it; empty: not known
    Column("invitation", String(64)),  # the link that the tester came by
    Index(  # everything that the readout sums, tester by tester
        "vote_sums",
        "experiment",
        "simulated",
        "first_grp",
        "second_grp",
        "user_id",
        "worth",
        "both_bad",
        "left_won",
        "time_ms",
        "tier",
    ),
    Index("vote_of_user", "user_id"),
)

purged = Table(  # how many events a purge has removed from the ledger
    "purged",
    metadata,
    Column("simulated", Boolean, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("acknowledged", BigInteger, nullable=False),
)

definition = Table(  # the last definitions that Statsig served, for a start without it
    "definition",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("specs", Text, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
)

weights = Table(  # an experiment's weights over time: a split across two sets of weights cannot be checked
    "weights",
    metadata,
    Column("experiment", String(128), primary_key=True),
    Column("since_ms", BigInteger, primary_key=True),
    Column("shares", Text, nullable=False),  # JSON: group to share
)

held = Table(  # the narrowest interval of each run, metric and treatment
    "held",
    metadata,
    Column("experiment", String(128), primary_key=True),
    Column("simulated", Boolean, primary_key=True),
    Column("run", String(64), primary_key=True),
    Column("metric", String(64), primary_key=True),
    Column("grp", String(128), primary_key=True),
    Column("low", Float, nullable=False),
    Column("low_ms", BigInteger, nullable=False),  # time of the readout that gave it
    Column("high", Float, nullable=False),
    Column("high_ms", BigInteger, nullable=False),
)

invitation = Table(  # the links that let guests in
    "invitation",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("sessions", Integer),  # browsers that it admits; null: any number
    Column("grp", String(128)),  # forced on its guests
    Column("usd", Float),  # limit on the cost of all their answers
    Column("revoked_ms", BigInteger),
    Column("compare", Boolean, nullable=False, server_default=text("FALSE")),  # guests compare two answers
)

guest = Table(  # visitors by invitation
    "guest",
    metadata,
    Column("invitation_id", String(64), primary_key=True),
    Column("visitor_id", String(64), primary_key=True),
    Column("since_ms", BigInteger, nullable=False),
    Index("guest_by_visitor", "visitor_id"),
)

consent = Table(  # accepted notices
    "consent",
    metadata,
    Column("visitor_id", String(64), primary_key=True),
    Column("version", String(64), primary_key=True),
    Column("time_ms", BigInteger, nullable=False),
)

sign_out = Table(  # sessions of operators and accounts that were ended before their cookies expire
    "sign_out",
    metadata,
    Column("session", String(64), primary_key=True),
    Column("time_ms", BigInteger, nullable=False),
)

deletion = Table(  # conversations whose text a tester deleted, for tabs and replicas that still hold it
    "deletion",
    metadata,
    Column("conversation_id", String(64), primary_key=True),
    Column("visitor_id", String(64), nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Index("deletion_by_time", "time_ms"),
)

spending = Table(  # the spending of everyone, of a visitor or of an invitation's guests, on one day or (0) in total
    "spending",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),  # days since 1970, UTC
    Column("account", String(96), primary_key=True),
    Column("usd", Float, nullable=False),
    Column("answers", Integer, nullable=False),
)

reservation = Table(  # the part of it that is reserved for running answers
    "reservation",
    metadata,
    Column("answer_id", String(64), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("account", String(96), primary_key=True),
    Column("usd", Float, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
)

experiment_version = Table(  # what operators and the experiments file made of an experiment, never changed
    "experiment_version",
    metadata,
    Column("experiment", String(128), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),  # TOML
    Column("author", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("file", String(64), nullable=False),  # digest of the file's table at the time
)

experiment_run = Table(
    "experiment_run",
    metadata,
    Column("experiment", String(128), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("run_key", String(64), nullable=False),  # of what is comparable
    Column("begun_ms", BigInteger, nullable=False),
    Column("author", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    Column("ended_ms", BigInteger),
    Column("end_author", String(128), nullable=False),
    Column("end_reason", Text, nullable=False),
)

experiment_state = Table(  # where each experiment stands; replicas watch the revisions
    "experiment_state",
    metadata,
    Column("experiment", String(128), primary_key=True),
    Column("stage", String(16), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("setting", String(128), nullable=False),  # PARLEY_EXPERIMENT when it became the live one
    Column("version", Integer, nullable=False),
    Column("run", Integer, nullable=False),
    Column("disabled", Text, nullable=False),  # JSON: group to when it was switched off
    Column("start_ms", BigInteger),  # scheduled
    Column("end_ms", BigInteger),
)

decision = Table(
    "decision",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("experiment", String(128), nullable=False),
    Column("run", Integer, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("author", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    Column("grp", String(128)),
    Column("parameters", Text, nullable=False),  # JSON
    Column("readout", Text, nullable=False),  # JSON
    Index("decision_by_time", "time_ms"),
)

audit = Table(  # every act of an operator; rows are added and never changed
    "audit",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("time_ms", BigInteger, nullable=False),
    Column("operator", String(128), nullable=False),
    Column("act", String(32), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("details", Text, nullable=False),  # JSON
    Index("audit_by_time", "time_ms", "id"),
)
