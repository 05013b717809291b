"""Every error of the driver has a meaning, and none of them tells record values or passwords."""

import inspect

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from adapters.datasource.sql import postgresql_errors as errors
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

PLACE = "PostgreSQL database 'erp' at erp.example:5432"
DRIVER_ERRORS = [
    kind
    for kind in vars(psycopg.errors).values()
    if inspect.isclass(kind) and issubclass(kind, psycopg.Error)
]


def wrapped(error: BaseException) -> SQLAlchemyError:
    return DBAPIError("INSERT ...", {"p": "canary"}, error, hide_parameters=True)


def test_there_are_errors_to_test() -> None:
    assert len(DRIVER_ERRORS) > 200


@pytest.mark.parametrize("kind", DRIVER_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_of_the_driver_has_a_meaning_on_purpose(kind: type[psycopg.Error]) -> None:
    if kind.sqlstate:
        assert kind.sqlstate in errors._BY_STATE or kind.sqlstate[:2] in errors._BY_CLASS
    error = errors.mapped(wrapped(kind("canary")), PLACE)
    assert isinstance(error, ExternalError)
    assert error.message.startswith(f"The {PLACE} ")
    assert "canary" not in error.message


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (psycopg.errors.InvalidPassword, AuthenticationFailed),
        (psycopg.errors.InsufficientPrivilege, AccessForbidden),
        (psycopg.errors.ReadOnlySqlTransaction, AccessForbidden),
        (psycopg.errors.UndefinedTable, ExternalNotFound),
        (psycopg.errors.UndefinedColumn, ExternalNotFound),
        (psycopg.errors.InvalidColumnReference, ExternalNotFound),
        (psycopg.errors.InvalidCatalogName, ExternalNotFound),
        (psycopg.errors.SerializationFailure, Transient),
        (psycopg.errors.DeadlockDetected, Transient),
        (psycopg.errors.LockNotAvailable, Transient),
        (psycopg.errors.QueryCanceled, Transient),
        (psycopg.errors.StatementCompletionUnknown, InDoubt),
        (psycopg.errors.AdminShutdown, SystemUnavailable),
        (psycopg.errors.CannotConnectNow, SystemUnavailable),
        (psycopg.errors.TooManyConnections, SystemUnavailable),
        (psycopg.errors.DiskFull, SystemUnavailable),
        (psycopg.errors.ConnectionFailure, SystemUnavailable),
        (psycopg.errors.ConnectionTimeout, SystemUnavailable),
        (psycopg.errors.UniqueViolation, ExternalConflict),
        (psycopg.errors.CheckViolation, InvalidData),
        (psycopg.errors.NumericValueOutOfRange, InvalidData),
        (psycopg.errors.SyntaxError, ExternalError),
        (psycopg.errors.InternalError_, ExternalError),
        (psycopg.OperationalError, SystemUnavailable),
        (psycopg.InterfaceError, SystemUnavailable),
        (psycopg.DataError, InvalidData),
        (psycopg.ProgrammingError, ExternalError),
    ],
)
def test_meanings(kind: type[psycopg.Error], expected: type[ExternalError]) -> None:
    assert type(errors.mapped(wrapped(kind("")), PLACE)) is expected


@pytest.mark.parametrize(
    ("text", "expected", "part"),
    [
        ('FATAL:  password authentication failed for user "x"', AuthenticationFailed, "renew the secret"),
        ("fe_sendauth: no password supplied", AuthenticationFailed, "renew the secret"),
        ('FATAL:  role "x" does not exist', AuthenticationFailed, "renew the secret"),
        ('FATAL:  no pg_hba.conf entry for host "1.2.3.4"', AccessForbidden, "pg_hba.conf"),
        ('FATAL:  database "erp" does not exist', ExternalNotFound, "setting database"),
        ('FATAL:  permission denied for database "erp"', AccessForbidden, "grant CONNECT"),
        ("server does not support SSL, but SSL was required", ExternalError, "sslmode"),
        ("SSL error: certificate verify failed", ExternalError, "sslmode"),
        ("failed to resolve host 'x': Name or service not known", SystemUnavailable, "setting host"),
        ("Connection refused", SystemUnavailable, "start it"),
        ("connection timeout expired", SystemUnavailable, "in time"),
        ("FATAL:  sorry, too many clients already", SystemUnavailable, "no free connections"),
        ("FATAL:  the database system is starting up", SystemUnavailable, "not available"),
        ("server closed the connection unexpectedly", SystemUnavailable, "not available"),
    ],
)
def test_failures_to_connect_are_told_apart_by_text(
    text: str, expected: type[ExternalError], part: str
) -> None:
    error = errors.mapped(wrapped(psycopg.OperationalError(f"connection failed: {text}")), PLACE)
    assert type(error) is expected
    assert part in error.message


def test_a_pool_without_a_free_connection() -> None:
    assert type(errors.mapped(PoolTimeout("QueuePool limit"), PLACE)) is SystemUnavailable


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        (psycopg.errors.CheckViolation, True),
        (psycopg.errors.StringDataRightTruncation, True),
        (psycopg.errors.WithCheckOptionViolation, True),
        (psycopg.errors.RaiseException, True),
        (psycopg.DataError, True),
        (psycopg.errors.UndefinedTable, False),
        (psycopg.errors.DatatypeMismatch, False),
        (psycopg.errors.DeadlockDetected, False),
        (psycopg.errors.QueryCanceled, False),
        (psycopg.OperationalError, False),
    ],
)
def test_which_errors_are_the_rows_own_fault(kind: type[psycopg.Error], row: bool) -> None:
    assert errors.refuses_rows(wrapped(kind("x"))) is row


@pytest.mark.parametrize(
    ("kind", "unknown"),
    [
        (psycopg.OperationalError, True),
        (psycopg.errors.AdminShutdown, True),
        (psycopg.errors.ConnectionFailure, True),
        (psycopg.errors.StatementCompletionUnknown, True),
        (psycopg.errors.SerializationFailure, False),
        (psycopg.errors.UniqueViolation, False),
        (psycopg.errors.DiskFull, False),
    ],
)
def test_which_failed_commits_leave_doubt(kind: type[psycopg.Error], unknown: bool) -> None:
    assert errors.outcome_unknown(wrapped(kind("x"))) is unknown


def test_texts_that_may_quote_values_are_taken_out_of_the_chain() -> None:
    error = wrapped(psycopg.errors.UniqueViolation("duplicate key\nDETAIL:  Key (name)=(canary) exists."))
    errors.quieten(error)
    assert isinstance(error, DBAPIError)
    assert "canary" not in f"{error} {error.orig} {error!r} {error.orig!r}"
    assert "SQLSTATE 23505" in str(error)


def test_a_failure_to_connect_keeps_its_text() -> None:
    error = wrapped(psycopg.OperationalError("connection refused"))
    errors.quieten(error)
    assert "connection refused" in str(error)
