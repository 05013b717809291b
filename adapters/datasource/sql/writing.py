"""PUSH: each record into a table at most once, a batch in one transaction.

The whole batch goes in one statement. If the database refuses rows in it, the batch is divided, with
savepoints, until the refused rows stand alone; the others are written all the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Executable, TableClause
from sqlalchemy.exc import SQLAlchemyError

from adapters.contract import Outgoing, PushResult, PushStatus
from adapters.datasource.sql.database import Database
from adapters.datasource.sql.dialect import Dialect
from adapters.datasource.sql.settings import PushSpec
from adapters.datasource.sql.statements import target
from adapters.rows import fitting
from kernel.errors import InvalidData
from kernel.records import Column, ColumnKind, Record, parse_columns
from kernel.timestamps import Unfit
from kernel.values import conform


class _NotKept(Exception):
    """The table would store other values than those sent; `columns` by key says where."""

    def __init__(self, columns: Mapping[str, list[str]]) -> None:
        super().__init__(f"{len(columns)} rows")
        self.columns = columns


@dataclass(frozen=True)
class _Target:
    """What a push operation sends, whatever the rows. `sent` are the columns with the key."""

    table: TableClause
    columns: tuple[Column, ...]
    sent: tuple[Column, ...]
    insert: Executable
    select: Executable

    @classmethod
    def of(cls, dialect: Dialect, spec: PushSpec) -> "_Target":
        """The statements in the database's dialect."""
        table, columns = target(spec), parse_columns(spec.columns)
        sent = (Column(spec.key_column, ColumnKind.TEXT), *columns)
        insert = dialect.insert_missing(table, spec.key_column, sent)
        return cls(table, columns, sent, insert, dialect.select_present(table, spec.key_column))


@dataclass(frozen=True)
class _Prepared:
    """A batch ready to send: one row for each key, and what is refused without asking the database."""

    rows: dict[str, Record]
    refused: dict[int, str]


def push(database: Database, name: str, spec: PushSpec, batch: Sequence[Outgoing]) -> list[PushResult]:
    """One result per record, in order. `name` is the operation's."""
    into = _target(database, name, spec)
    prepared = _prepare(spec, into.columns, batch)
    stored: dict[str, PushResult] = {}
    if prepared.rows:
        with database.writing() as connection:
            stored = _Writer(connection, database.dialect, spec, into).write(list(prepared.rows.values()))
    return list(_results(into.columns, batch, prepared, stored))


def find_posted(database: Database, name: str, spec: PushSpec, keys: Sequence[str]) -> dict[str, str]:
    """External ids by idempotency key, for those keys that the table has."""
    with database.reading() as connection:
        select = _target(database, name, spec).select
        rows = connection.execute(select, {"keys": list(keys)}).mappings()
        return {str(row[spec.key_column]): str(row[spec.external_id_column]) for row in rows}


def rehearse(database: Database, connection: Connection, spec: PushSpec) -> None:
    """Run the statements of a push without any row: proves table, columns, types, key and permissions."""
    into = _Target.of(database.dialect, spec)
    _Writer(connection, database.dialect, spec, into).rehearse()


def _target(database: Database, name: str, spec: PushSpec) -> _Target:
    return database.once(name, lambda: _Target.of(database.dialect, spec))


class _Writer:
    """Writes the rows of one batch over one connection."""

    def __init__(self, connection: Connection, dialect: Dialect, spec: PushSpec, into: _Target) -> None:
        self._connection = connection
        self._dialect = dialect
        self._spec = spec
        self._into = into
        self._rules = dialect.rules(connection, into.table)

    def write(self, rows: Sequence[Record]) -> dict[str, PushResult]:
        """All rows in one go, or, if some are refused, all but those."""
        try:
            return self._store(rows)
        except (SQLAlchemyError, _NotKept) as exc:
            if not self._concerns_rows(exc):
                raise
        self._connection.rollback()
        self._dialect.prepare_write(self._connection)
        return self._divide(rows)

    def rehearse(self) -> None:
        """The statements of `write`, without rows."""
        self._store([])
        self._present([])

    def _divide(self, rows: Sequence[Record]) -> dict[str, PushResult]:
        """Write in a savepoint; on a refusal, each half by itself."""
        try:
            with self._connection.begin_nested():
                return self._store(rows)
        except _NotKept as exc:
            return self._set_aside(rows, exc)
        except SQLAlchemyError as exc:
            if not self._concerns_rows(exc):
                raise
            if len(rows) == 1:
                return self._refuse(rows[0], exc)
        middle = len(rows) // 2
        return {**self._divide(rows[:middle]), **self._divide(rows[middle:])}

    def _concerns_rows(self, exc: Exception) -> bool:
        return isinstance(exc, _NotKept) or (
            isinstance(exc, SQLAlchemyError) and self._dialect.refuses_rows(exc)
        )

    def _store(self, rows: Sequence[Record]) -> dict[str, PushResult]:
        """Insert what is missing, then compare what was there before."""
        key = self._spec.key_column
        by_key = {str(row[key]): row for row in rows}
        written = self._rows(self._into.insert, self._dialect.row_parameters(self._into.sent, rows))
        if not written.keys() <= by_key.keys():
            raise InvalidData(
                f"Column {key} of table {self._spec.push} changes the keys it is given, so rows could not "
                "be recognised again. Make it of type text, and let no trigger change it."
            )
        bent = {
            key: columns for key, row in written.items() if (columns := self._differences(by_key[key], row))
        }
        if bent:
            raise _NotKept(bent)
        results = {
            key: PushResult(key, PushStatus.WRITTEN, self._external_id(row)) for key, row in written.items()
        }
        rest = [key for key in by_key if key not in written]
        return results | (self._compare(by_key, rest) if rest else {})

    def _compare(self, by_key: Mapping[str, Record], keys: Sequence[str]) -> dict[str, PushResult]:
        present = self._present(keys)
        return {key: self._present_result(key, by_key[key], present.get(key)) for key in keys}

    def _present(self, keys: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        return self._rows(self._into.select, {"keys": list(keys)})

    def _rows(self, statement: Executable, parameters: dict[str, Any]) -> dict[str, Mapping[str, Any]]:
        key = self._spec.key_column
        found = self._connection.execute(statement, parameters).mappings()
        return {str(row[key]): dict(row) for row in found}

    def _present_result(self, key: str, sent: Record, stored: Mapping[str, Any] | None) -> PushResult:
        if stored is None:
            reason = (
                f"The table {self._spec.push} neither took the row nor holds its key; look for a trigger."
            )
            return PushResult(key, PushStatus.REJECTED, reason=reason)
        different = self._differences(sent, stored)
        if different:
            return PushResult(key, PushStatus.REJECTED, self._external_id(stored), _other_content(different))
        return PushResult(key, PushStatus.PRESENT, self._external_id(stored))

    def _differences(self, sent: Record, stored: Mapping[str, Any]) -> list[str]:
        return [column.name for column in self._into.columns if not _same(column, sent, stored)]

    def _set_aside(self, rows: Sequence[Record], exc: _NotKept) -> dict[str, PushResult]:
        key = self._spec.key_column
        results = {
            bent: PushResult(
                bent,
                PushStatus.REJECTED,
                reason=f"The table {self._spec.push} would change the value of {', '.join(columns)}; "
                "its column holds fewer digits or another type.",
            )
            for bent, columns in exc.columns.items()
        }
        rest = [row for row in rows if row[key] not in exc.columns]
        return results | (self._divide(rest) if rest else {})

    def _refuse(self, row: Record, exc: SQLAlchemyError) -> dict[str, PushResult]:
        key = str(row[self._spec.key_column])
        reason = self._dialect.refusal(exc, row, self._rules)
        return {key: PushResult(key, PushStatus.REJECTED, reason=reason)}

    def _external_id(self, row: Mapping[str, Any]) -> str:
        return str(row[self._spec.external_id_column])


def _prepare(spec: PushSpec, columns: Sequence[Column], batch: Sequence[Outgoing]) -> _Prepared:
    rows: dict[str, Record] = {}
    refused: dict[int, str] = {}
    for index, outgoing in enumerate(batch):
        try:
            row = fitting(columns, outgoing.values)
        except Unfit as exc:
            refused[index] = f"{exc.message}.{f' {exc.hint}' if exc.hint else ''}"
        else:
            rows.setdefault(outgoing.key, {spec.key_column: outgoing.key, **row})
    return _Prepared(rows, refused)


def _results(
    columns: Sequence[Column],
    batch: Sequence[Outgoing],
    prepared: _Prepared,
    stored: Mapping[str, PushResult],
) -> Iterator[PushResult]:
    seen: set[str] = set()
    for index, outgoing in enumerate(batch):
        key = outgoing.key
        if index in prepared.refused:
            yield PushResult(key, PushStatus.REJECTED, reason=prepared.refused[index])
        elif key in seen:
            yield _repeated(stored[key], columns, outgoing.values, prepared.rows[key])
        else:
            seen.add(key)
            yield stored[key]


def _repeated(
    first: PushResult, columns: Sequence[Column], values: Record, first_values: Record
) -> PushResult:
    """The result of a record whose key came earlier in the same batch."""
    if first.status is PushStatus.REJECTED:
        return first
    different = [column.name for column in columns if not _same(column, first_values, values)]
    if different:
        return PushResult(first.key, PushStatus.REJECTED, first.external_id, _other_content(different))
    return PushResult(first.key, PushStatus.PRESENT, first.external_id)


def _same(column: Column, sent: Mapping[str, Any], stored: Mapping[str, Any]) -> bool:
    try:
        return conform(sent[column.name], column) == conform(stored[column.name], column)
    except Unfit:
        return False


def _other_content(columns: Sequence[str]) -> str:
    return f"A row with the same key holds other values in {', '.join(columns)}."
