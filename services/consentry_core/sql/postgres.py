"""PostgreSQL behind the same `Database`: how to connect, how transactions begin, and which of its errors pass by themselves.

A process that is stopped in a transaction must not keep what others wait for, and a connection that passes nothing more must be
found out: the server ends what is idle in a transaction, and TCP what is not acknowledged. Both are a few seconds, which is
less than a lease takes.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from consentry_core.process.settings import SettingError

_log = logging.getLogger(__name__)
_POOL: Final = 8  # connections; a service reads with four threads and writes with one
_TIMEOUTS: Final = {
    "idle_in_transaction_session_timeout": "5s",
    "lock_timeout": "20s",
    "statement_timeout": "60s",
}
_DEAD_MS: Final = 5_000  # after which a connection that acknowledges nothing is given up

# Classes of SQLSTATE, and single ones, that tell of the server's state and not of a mistake of ours.
_PASSING_CLASSES: Final = ("08", "53", "57P")
_PASSING: Final = frozenset({"25006", "40001", "40P01", "55P03", "25P03", "57014"})


def open_postgres(url: str, *, password: str = "", application: str = "consentry") -> sa.Engine:
    """An engine for `postgresql+psycopg://user@host/database`. SettingError for what is no such address, or cannot be reached.

    `password`: for an address that holds none; it is in no log and no error.
    """
    engine = sa.create_engine(
        _address(url, password),
        pool_size=_POOL,
        max_overflow=_POOL,
        pool_pre_ping=True,
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args={
            "application_name": application,
            "connect_timeout": 5,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 2,
            "tcp_user_timeout": _DEAD_MS,
            "options": " ".join(f"-c {name}={value}" for name, value in _TIMEOUTS.items()),
        },
    )
    sa.event.listen(engine, "begin", _begin)
    try:
        with engine.connect() as connection:
            _warn_of_loose_commits(connection)
    except sa.exc.OperationalError as error:
        engine.dispose()
        raise SettingError(
            f"no database answers at {shown_address(url)} ({_cause(error)}); check the address and its password"
        ) from error
    return engine


def shown_address(url: str) -> str:
    """An address as it may be told: without its password."""
    return _parsed(url).render_as_string(hide_password=True)


def driver_address(url: str, password: str = "") -> str:
    """The same address for the driver itself, password and all."""
    return _address(url, password).set(drivername="postgresql").render_as_string(hide_password=False)


def is_passing(error: sa.exc.DBAPIError) -> bool:
    """Whether the same may work a little later: the server is away, full, read-only, or somebody else was in the way."""
    if error.connection_invalidated:
        return True
    state: str | None = getattr(error.orig, "sqlstate", None)
    if state is None:  # what libpq says itself: refused, cut off
        return isinstance(error, sa.exc.OperationalError)
    return state in _PASSING or state.startswith(_PASSING_CLASSES)


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise SettingError("the database's address must be of the form postgresql+psycopg://user@host/database") from error
    if parsed.drivername != "postgresql+psycopg" or not parsed.database:
        raise SettingError("the database's address must be of the form postgresql+psycopg://user@host/database")
    return parsed


def _address(url: str, password: str) -> sa.URL:
    parsed = _parsed(url)
    return parsed.set(password=password) if password and not parsed.password else parsed


def _begin(connection: sa.Connection) -> None:
    # Who only reads sees one moment of the database, and cannot write by mistake. Writers queue at a row that they lock first.
    if not connection.get_execution_options().get("consentry_write", False):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def _warn_of_loose_commits(connection: sa.Connection) -> None:
    """What a commit survives is the server's to say; whoever runs it is told what would not be kept."""
    for name, (loose, cost) in _LOOSE.items():
        value = connection.exec_driver_sql(f"SHOW {name}").scalar_one()
        if value in loose:
            _log.warning("the database's %s is %s: %s", name, value, cost)


_LOOSE: Final[Mapping[str, tuple[frozenset[str], str]]] = {
    "fsync": (frozenset({"off"}), "what was acknowledged can be lost when its machine fails"),
    "synchronous_commit": (
        frozenset({"off", "local"}),
        "a revocation that was answered ENFORCED can be undone by a crash or a failover; set it to on or remote_apply",
    ),
    "full_page_writes": (frozenset({"off"}), "the database can be damaged when its machine fails"),
}


def _cause(error: sa.exc.DBAPIError) -> Any:
    """The driver's first line; libpq names host and port in it, and never a password."""
    return str(error.orig).strip().partition("\n")[0]
