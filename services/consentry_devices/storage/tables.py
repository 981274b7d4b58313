"""The tables. Instants are nanoseconds; things are referred to by id, never by name. "" is none, as in the domain."""

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()

# SQLite numbers rows by themselves only under the type's very name INTEGER.
_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _id(name: str, *, primary_key: bool = True) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=primary_key, nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _checksum() -> sa.Column[int | None]:
    """Of the row; see `storage.checksums`. None for entries from before there were any. The last column of its table."""
    return sa.Column("checksum", sa.BigInteger)


store = sa.Table(
    "store",
    metadata,
    _id("id"),
    _number("create_time"),
    sa.Column("page_token_key", sa.LargeBinary, nullable=False),
    sa.Column("cursor_key", sa.LargeBinary, nullable=False),
    _number("tail"),  # of the log, so that it never falls, whatever is removed from the log
    _number("take_time"),  # of the entry `tail`, for the same reason
    _text("run"),  # of the one appender; who finds another one here writes nothing
    sa.Column("checked_from", sa.BigInteger),  # the log's entries from this one on have checksums; none: all have
)

# Which run wrote which entries: each from its first on, up to the next one's.
runs = sa.Table("runs", metadata, sa.Column("first_seq", _SEQ, primary_key=True, autoincrement=False), _text("name"))

# What retention has removed from the log.
removals = sa.Table("removals", metadata, _id("customer"), _id("data_class"), _number("seq"), _number("until"))

log = sa.Table(
    "log",
    metadata,
    sa.Column("seq", _SEQ, primary_key=True, autoincrement=False),
    _id("customer", primary_key=False),
    _text("data_class"),
    _text("kind"),
    sa.Column("device", sa.Text),
    _number("min_time"),
    _number("max_time"),
    _number("span_class"),  # see `storage.spans`
    _number("take_time"),
    sa.Column("historical", sa.Boolean, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    _checksum(),
    # History: finds a device's blocks of a time range, in order, without touching a payload.
    sa.Index("log_by_time", "customer", "kind", "device", "span_class", "min_time", "max_time", "seq"),
)

locations = sa.Table(
    "locations",
    metadata,
    _id("customer"),
    _id("id"),
    _text("display_name"),
    _number("kind"),
    _text("parent"),
    _checksum(),
)

devices = sa.Table(
    "devices",
    metadata,
    _id("customer"),
    _id("id"),
    _text("display_name"),
    _number("type"),
    _text("model_name"),
    _text("serial_number"),
    _text("parent"),
    _text("location"),
    _checksum(),
)

device_gateways = sa.Table("device_gateways", metadata, _id("customer"), _id("device"), _id("gateway"))

# `path` is `{device}/sensors/{sensor}`: pages are ordered by name, which is not the order of (device, sensor).
sensors = sa.Table(
    "sensors",
    metadata,
    _id("customer"),
    _id("path"),
    _id("device", primary_key=False),
    _id("id", primary_key=False),
    _text("display_name"),
    _text("metric"),
    _text("unit"),
    _checksum(),
    sa.Index("sensors_by_device", "customer", "device", "path"),
)


def _event_columns(*, every_event: bool) -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("number", sa.BigInteger, primary_key=every_event, autoincrement=False, nullable=False),
        _number("kind"),
        _number("time"),
        _text("device"),
        _text("label"),
        _text("message"),
        _number("severity"),
        _number("activate_time"),
        sa.Column("clear_time", sa.BigInteger),
        _number("reactivation_count"),
        _checksum(),
    )


# Each alarm's newest event, which says how it stands.
alarms = sa.Table("alarms", metadata, _id("customer"), _id("id"), *_event_columns(every_event=False))
alarm_events = sa.Table("alarm_events", metadata, _id("customer"), _id("id"), *_event_columns(every_event=True))

# Each sensor's newest reading.
latest = sa.Table(
    "latest",
    metadata,
    _id("customer"),
    _id("device"),
    _id("sensor"),
    _number("time"),
    sa.Column("value", sa.Double),
    sa.Column("text", sa.Text),
    _checksum(),
    sqlite_with_rowid=False,
)

# Where each gateway's numbering stands. Former epochs stay: a frame of one, sent again much later, is not stored again.
gateway_streams = sa.Table("gateway_streams", metadata, _id("customer"), _id("gateway"), _id("epoch"), _number("last_number"))

# What the last frames of each numbering were, so that the same number with other content is found out.
gateway_frames = sa.Table(
    "gateway_frames",
    metadata,
    _id("customer"),
    _id("gateway"),
    _id("epoch"),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
