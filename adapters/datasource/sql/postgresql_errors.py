"""What psycopg's errors mean to us.

Source of the codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from adapters.datasource.sql.dialect import TableRules
from kernel.errors import (
    AccessForbidden,
    AuthenticationFailed,
    ExternalConflict,
    ExternalError,
    ExternalNotFound,
    InDoubt,
    InvalidData,
    SystemUnavailable,
    Transient,
)
from kernel.records import Record

type Meaning = tuple[type[ExternalError], str]

_STATEMENT: Meaning = (ExternalError, "does not accept the operation's statement; correct it")
_DATA: Meaning = (InvalidData, "refuses the values; correct them or the operation's column types")
_ABSENT: Meaning = (ExternalNotFound, "has no such object; correct the operation, or create the object")
_BUSY: Meaning = (Transient, "could not finish beside other transactions; it is tried again")
_DOWN: Meaning = (SystemUnavailable, "is not available; check that it runs, it is tried again")
_LOGIN: Meaning = (
    AuthenticationFailed,
    "does not accept the connector's user and password; renew the secret",
)
_BROKEN: Meaning = (ExternalError, "failed inside; its own log tells more")
_FOREIGN: Meaning = (ExternalError, "could not use another system it depends on; its own log tells more")

_BY_STATE: Mapping[str, Meaning] = {
    "23505": (ExternalConflict, "holds a row with the same unique values; correct the record"),
    "25006": (AccessForbidden, "refused to write while reading; a fetch or lookup may only select"),
    "40003": (InDoubt, "does not know whether the statement completed; look before sending it again"),
    "42501": (AccessForbidden, "refuses access; grant the connector's user the permission"),
    "42703": _ABSENT,
    "42704": _ABSENT,
    "42883": _ABSENT,
    "42P01": _ABSENT,
    "42P10": (ExternalNotFound, "has no unique constraint on the key column; add one on it alone"),
    "53300": (SystemUnavailable, "has no free connections; it is tried again"),
    "57014": (Transient, "took longer than statement_timeout allows; it is tried again"),
}
_BY_CLASS: Mapping[str, Meaning] = {
    "02": _DATA,
    "03": _STATEMENT,
    "08": _DOWN,
    "09": _DATA,
    "0A": _STATEMENT,
    "0B": _STATEMENT,
    "0F": _STATEMENT,
    "0L": (AccessForbidden, "refuses access; grant the connector's user the permission"),
    "0P": _LOGIN,
    "0Z": _BROKEN,
    "10": _STATEMENT,
    "20": _STATEMENT,
    "21": _STATEMENT,
    "22": _DATA,
    "23": _DATA,
    "24": _STATEMENT,
    "25": _STATEMENT,
    "26": _STATEMENT,
    "27": _DATA,
    "28": _LOGIN,
    "2B": _STATEMENT,
    "2D": _STATEMENT,
    "2F": _STATEMENT,
    "34": _STATEMENT,
    "38": _FOREIGN,
    "39": _FOREIGN,
    "3B": _STATEMENT,
    "3D": _ABSENT,
    "3F": _ABSENT,
    "40": _BUSY,
    "42": _STATEMENT,
    "44": _DATA,
    "53": _DOWN,
    "54": _STATEMENT,
    "55": _BUSY,
    "57": _DOWN,
    "58": _DOWN,
    "72": _BUSY,
    "F0": _BROKEN,
    "HV": _FOREIGN,
    "P0": _DATA,
    "XX": _BROKEN,
}
# The driver's own errors have no SQLSTATE. The most special class comes first.
_BY_TYPE: Mapping[type[Exception], Meaning] = {
    psycopg.errors.PipelineAborted: _BUSY,
    psycopg.errors.ConnectionTimeout: (SystemUnavailable, "did not answer in time; check host and port"),
    psycopg.OperationalError: _DOWN,
    psycopg.InterfaceError: _DOWN,
    psycopg.DataError: _DATA,
    psycopg.IntegrityError: _DATA,
    psycopg.ProgrammingError: _STATEMENT,
    psycopg.NotSupportedError: _STATEMENT,
    psycopg.InternalError: _BROKEN,
    psycopg.Error: _BROKEN,
}
# libpq gives no SQLSTATE when it cannot connect, only text.
_BY_CONNECT_TEXT: tuple[tuple[re.Pattern[str], Meaning], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), meaning)
    for pattern, meaning in (
        (r"authentication failed|no password supplied|role .* does not exist", _LOGIN),
        (
            r"no pg_hba\.conf entry",
            (AccessForbidden, "does not admit this client; add a rule to pg_hba.conf"),
        ),
        (r"database .* does not exist", (ExternalNotFound, "does not exist; correct the setting database")),
        (r"permission denied", (AccessForbidden, "does not let the connector's user connect; grant CONNECT")),
        (r"\bssl\b|certificate", (ExternalError, "cannot agree on encryption; correct the setting sslmode")),
        (r"resolve|name or service", (SystemUnavailable, "has an unknown host name; check the setting host")),
        (r"refused", (SystemUnavailable, "refuses connections; start it, or correct host and port")),
        (r"timeout|timed out", (SystemUnavailable, "did not answer in time; check host and port")),
        (r"too many|connection slots", (SystemUnavailable, "has no free connections; it is tried again")),
    )
)
# In these classes the server's first line names objects and limits, never record values.
_HARMLESS_TEXT = frozenset({"08", "28", "3D", "3F", "42", "53", "57"})
_ROW_CLASSES = frozenset({"22", "23", "44"})
_ROW_STATES = frozenset({"P0001"})
_LOST_CLASSES = frozenset({"08", "57", "58"})
_LOST_STATES = frozenset({"40003"})
_TOO_SMALL = frozenset({"22001", "22003"})

_REFUSALS: Mapping[str, str] = {
    "22001": "a text is too long for its column",
    "22003": "a number is too large for its column",
    "23502": "a column that must not be empty is empty",
    "23503": "it refers to a row that does not exist",
    "23505": "another row has the same unique values",
    "23514": "a check of the table fails",
    "23P01": "it overlaps another row that excludes it",
    "44000": "the view does not admit it",
    "P0001": "a trigger of the table refuses it",
}


def meaning(error: BaseException | None) -> Meaning:
    """The class of ours, and what to say of the database, for an error of the driver."""
    state = getattr(error, "sqlstate", None)
    if state:
        return _BY_STATE.get(state) or _BY_CLASS.get(state[:2]) or _BROKEN
    if isinstance(error, psycopg.OperationalError):
        for pattern, found in _BY_CONNECT_TEXT:
            if pattern.search(str(error)):
                return found
    return next((found for kind, found in _BY_TYPE.items() if isinstance(error, kind)), _BROKEN)


def mapped(exc: SQLAlchemyError, place: str) -> ExternalError:
    """The error of ours, without record values."""
    if isinstance(exc, PoolTimeout):
        return SystemUnavailable(f"All connections to {place} are in use. Read one fetch to its end first.")
    cause = _cause(exc)
    kind, sentence = meaning(cause)
    return kind(f"The {place} {sentence}{_particulars(cause)}.")


def refuses_rows(exc: SQLAlchemyError) -> bool:
    """Whether the database refused values, not the statement."""
    cause = _cause(exc)
    state = _state(cause)
    if state is None:
        # The driver itself refuses to send some values, such as text with a NUL character.
        return isinstance(cause, psycopg.DataError)
    return state[:2] in _ROW_CLASSES or state in _ROW_STATES


def refusal(exc: SQLAlchemyError, row: Record, rules: TableRules) -> str:
    """Why the database refused a row: the constraint and columns, never a value."""
    cause = _cause(exc)
    state = _state(cause) or ""
    columns: list[str] = []
    if state in _TOO_SMALL:
        columns = rules.too_small_for(row)
    elif isinstance(cause, psycopg.Error) and cause.diag.constraint_name and not cause.diag.column_name:
        columns = rules.columns_of(cause.diag.constraint_name)
    sentence = _REFUSALS.get(state, "a value does not fit its column")
    return f"The database refuses the row: {sentence}{_particulars(cause, columns)}."


def outcome_unknown(exc: SQLAlchemyError) -> bool:
    """Whether the connection broke, as opposed to the database refusing the commit."""
    state = _state(_cause(exc))
    return state is None or state[:2] in _LOST_CLASSES or state in _LOST_STATES


def quieten(exc: SQLAlchemyError) -> None:
    """Replace the texts of the driver's error and of SQLAlchemy's around it; both may quote record values."""
    cause = _cause(exc)
    state = _state(cause)
    if cause is not None and (state or not isinstance(cause, psycopg.OperationalError)):
        text = f"{type(cause).__name__} (SQLSTATE {state})"
        cause.args = (text,)
        exc.args = (text,)


def _cause(exc: SQLAlchemyError) -> BaseException | None:
    return exc.orig if isinstance(exc, DBAPIError) else None


def _state(cause: BaseException | None) -> str | None:
    state: Any = getattr(cause, "sqlstate", None)
    return state if isinstance(state, str) else None


def _particulars(cause: BaseException | None, columns: Sequence[str] = ()) -> str:
    """Names of objects, and the server's own words where they cannot hold values."""
    if not isinstance(cause, psycopg.Error) or not cause.sqlstate:
        return ""
    diagnosis = cause.diag
    names = {
        "constraint": diagnosis.constraint_name,
        "column": diagnosis.column_name or ", ".join(columns),
        "table": diagnosis.table_name,
    }
    parts = [f"{what} {name}" for what, name in names.items() if name]
    if cause.sqlstate[:2] in _HARMLESS_TEXT and diagnosis.message_primary:
        parts.append(diagnosis.message_primary)
    return f" ({', '.join([*parts, f'SQLSTATE {cause.sqlstate}'])})"
