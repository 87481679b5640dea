"""The tables and their indexes. `migrations` brings an older database up to date.

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

alert = Table(  # news for operators
    "alert",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("page", String(32), nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False),  # time of the next attempt
    Column("attempts", Integer, nullable=False),
    Column("reached", String(200), nullable=False),  # positions of the receivers that have it, separated by spaces
    Column("sent_ms", BigInteger),  # null until every receiver has it
    Index("alert_by_time", "time_ms"),
)

lease = Table(  # tasks that only one process does at a time
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

conversation = Table(  # its assignment never changes
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

message = Table(  # the text of one turn; null where it is not kept or was deleted
    "message",
    metadata,
    Column("answer_id", String(64), primary_key=True),
    Column("conversation_id", String(64), nullable=False),
    Column("turn", Integer, nullable=False),
    Column("asked_ms", BigInteger, nullable=False),
    Column("replaced", Boolean, nullable=False),  # the tester asked for another answer; not shown
    Column("question", Text),
    Column("answer", Text),
    Column("comment", Text),
    Column("reasoning", Text),  # the model's thinking
    Index("message_of_conversation", "conversation_id", "turn", "asked_ms"),
    Index("message_by_age", "asked_ms"),
)

FAILED = "CASE WHEN finish_reason IN ('error', 'interrupted') THEN 1 WHEN finish_reason <> 'limited' THEN 0 END"
LIKED = "CASE rating WHEN 'satisfaction' THEN 1 WHEN 'dissatisfaction' THEN 0 END"

answer = Table(  # one answer; `time_ms` and the columns after it are null while it runs
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
    Column("tier", String(64), nullable=False, server_default=""),  # of the process that asked; empty: unknown
    Column("comparison_id", String(64)),  # null outside comparisons
    Column("owner", String(64)),  # the process that runs it; null once it has ended
    Column("beat_ms", BigInteger),  # that process's last heartbeat; an old one means that the answer was cut off
    Column("time_ms", BigInteger),  # of its chat_completion event
    Column("finish_reason", String(16)),
    Column("error", String(64)),
    Column("message", Text),  # the sentence that the tester read about a failure
    Column("response_time", Float),
    Column("time_to_first_token", Float),
    Column("completion_tokens", Integer),
    Column("cost_usd", Float),
    Column("rating", String(16)),  # satisfaction | dissatisfaction | null
    Column("rated_ms", BigInteger),
    Column("reason", String(16)),
    Column("failed", SmallInteger, Computed(FAILED, persisted=True)),  # null: running or limited
    Column("liked", SmallInteger, Computed(LIKED, persisted=True)),  # null: not rated
    Index("answer_of_conversation", "conversation_id"),
)
_COUNTS = answer.c.failed.is_not(None)
Index(  # every column that the readout sums, in unit order: a covering index
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
"""The condition of `answer_times`: a database uses a partial index only for its exact condition."""
Index(  # sorted response times of a group, for its quantiles
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
Index(  # reasons for thumbs down, newest first
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
"""The condition of `answer_stopped`."""
Index(
    "answer_stopped",
    answer.c.experiment,
    answer.c.simulated,
    answer.c.user_id,
    answer.c.time_ms,
    answer.c.tier,
    sqlite_where=STOPPED,
    postgresql_where=STOPPED,
)
Index(  # running answers, to find those whose process is gone
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
    Column("drawn", String(8), nullable=False),  # the side that continues where the vote prefers none
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
    Column("tier", String(64), nullable=False, server_default=""),  # of the process that logged it; empty: unknown
    Column("invitation", String(64)),  # the visitor's; null without one
    Index("exposure_of_unit", "experiment", "simulated", "user_id", "time_ms", "grp", "forced", "event_id", "tier"),
    Index("exposure_by_time", "time_ms", "experiment", "simulated", "forced", "grp", "user_id"),
)
_INVITED = exposure.c.invitation.is_not(None)
Index(  # the units that came by an invitation
    "exposure_of_guest",
    exposure.c.invitation,
    exposure.c.user_id,
    sqlite_where=_INVITED,
    postgresql_where=_INVITED,
)

event = Table(  # the ledger. Queries for one event give its time as well: `event_id` alone has no index
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
    Column("sent", Text),  # JSON of an exposure as the SDK logged it; null: unknown
    PrimaryKeyConstraint("time_ms", "event_id"),  # older SQLite files: `event_id` alone, and an index on both
    Index("event_of_answer", "answer_id"),
    Index("event_of_user", "user_id", "time_ms", "event_id"),
    Index("event_by_name", "name", "time_ms", "event_id", "grp"),
    Index("event_by_group", "grp", "time_ms", "event_id"),
    Index("event_acknowledged", "simulated", "acknowledged_ms"),
    postgresql_partition_by="RANGE (time_ms)",  # by `partitions`
)
FAILURE = text("""value IN ('"error"', '"interrupted"')""")
"""The condition of `event_failed`: failed answers."""
Index("event_failed", event.c.time_ms, event.c.event_id, sqlite_where=FAILURE, postgresql_where=FAILURE)

outbox = Table(  # events that Statsig has not acknowledged
    "outbox",
    metadata,
    Column("event_id", String(64), primary_key=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False),  # time of the next attempt; a lease moves it into the future
    Column("attempts", Integer, nullable=False),
    Column("error", Text),
    Index("outbox_due", "due_ms"),
    Index("outbox_by_age", "created_ms", "event_id"),
)

vote = Table(  # the last vote on each comparison. Groups are in alphabetical order, not control first
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
    Column("worth", SmallInteger),  # 1: the second group is preferred, -1: the first, 0: neither; null: invalid vote
    Column("both_bad", SmallInteger, nullable=False),
    Column("left_won", SmallInteger, nullable=False),
    Column("tier", String(64), nullable=False, server_default=""),  # of the process that stored it; empty: unknown
    Column("invitation", String(64)),  # the tester's; null without one
    Index(  # every column that the readout sums, in unit order: a covering index
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

purged = Table(  # counts of events that a purge has removed from the ledger
    "purged",
    metadata,
    Column("simulated", Boolean, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("acknowledged", BigInteger, nullable=False),
)

definition = Table(  # the last definitions that Statsig served, for a start while it is away
    "definition",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("specs", Text, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
)

weights = Table(  # the shares of an experiment's groups, from each change on
    "weights",
    metadata,
    Column("experiment", String(128), primary_key=True),
    Column("since_ms", BigInteger, primary_key=True),
    Column("shares", Text, nullable=False),  # JSON: group to share
)

held = Table(  # the intersection of all intervals of a run, metric and treatment
    "held",
    metadata,
    Column("experiment", String(128), primary_key=True),
    Column("simulated", Boolean, primary_key=True),
    Column("run", String(64), primary_key=True),
    Column("metric", String(64), primary_key=True),
    Column("grp", String(128), primary_key=True),
    Column("low", Float, nullable=False),
    Column("low_ms", BigInteger, nullable=False),  # time of the readout with this bound
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
    Column("grp", String(128)),  # the group that its guests are given; null: assigned
    Column("usd", Float),  # limit on the cost of all its guests' answers
    Column("revoked_ms", BigInteger),
    Column("compare", Boolean, nullable=False, server_default=text("FALSE")),  # guests compare two answers
)

guest = Table(  # visitors who came by an invitation
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

sign_out = Table(  # sessions of operators and accounts that signed out before their cookies expired
    "sign_out",
    metadata,
    Column("session", String(64), primary_key=True),
    Column("time_ms", BigInteger, nullable=False),
)

deletion = Table(  # conversations that a tester deleted; other tabs and replicas read it
    "deletion",
    metadata,
    Column("conversation_id", String(64), primary_key=True),
    Column("visitor_id", String(64), nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Index("deletion_by_time", "time_ms"),
)

spending = Table(  # per account: all visitors, one visitor, or the guests of one invitation
    "spending",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),  # days since 1970, UTC; 0: in total
    Column("account", String(96), primary_key=True),
    Column("usd", Float, nullable=False),
    Column("answers", Integer, nullable=False),
)

reservation = Table(  # the part of `spending` that is reserved for running answers
    "reservation",
    metadata,
    Column("answer_id", String(64), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("account", String(96), primary_key=True),
    Column("usd", Float, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
)

experiment_version = Table(  # definitions by operators or the experiments file; rows never change
    "experiment_version",
    metadata,
    Column("experiment", String(128), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),  # TOML
    Column("author", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("file", String(64), nullable=False),  # digest of the table in the experiments file at that time
)

experiment_run = Table(
    "experiment_run",
    metadata,
    Column("experiment", String(128), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("run_key", String(64), nullable=False),  # digest of unit, groups, weights and parameters
    Column("begun_ms", BigInteger, nullable=False),
    Column("author", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    Column("ended_ms", BigInteger),
    Column("end_author", String(128), nullable=False),
    Column("end_reason", Text, nullable=False),
)

experiment_state = Table(  # the current state; replicas watch `revision`
    "experiment_state",
    metadata,
    Column("experiment", String(128), primary_key=True),
    Column("stage", String(16), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("setting", String(128), nullable=False),  # value of PARLEY_EXPERIMENT when it became the live one
    Column("version", Integer, nullable=False),
    Column("run", Integer, nullable=False),
    Column("disabled", Text, nullable=False),  # JSON: group to the time when it was switched off
    Column("start_ms", BigInteger),  # scheduled start
    Column("end_ms", BigInteger),  # scheduled end
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

audit = Table(  # every act of an operator; rows never change
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
