"""The connector page's test: can the database be reached, and can each operation do its work?"""

from sqlalchemy import select

from adapters.contract import CheckResult
from adapters.datasource.sql.database import Database
from adapters.datasource.sql.settings import OperationSpec, PushSpec, SqlSettings
from adapters.datasource.sql.statements import probe
from adapters.datasource.sql.writing import rehearse
from kernel.errors import SluiceError

_FINE = "ok"


def check(database: Database, settings: SqlSettings) -> CheckResult:
    """Runs every operation's statements so that they touch no row, each in a transaction of its own."""
    try:
        with database.reading() as connection:
            connection.execute(select(1))
    except SluiceError as exc:
        return CheckResult(ok=False, detail=exc.message)
    checks = {name: _attempt(database, spec) for name, spec in settings.operations.items()}
    bad = [name for name, outcome in checks.items() if outcome != _FINE]
    if bad:
        return CheckResult(False, f"The {database.place} answers, but not for {', '.join(bad)}.", checks)
    return CheckResult(True, f"The {database.place} answers; all operations can do their work.", checks)


def _attempt(database: Database, spec: OperationSpec) -> str:
    try:
        if isinstance(spec, PushSpec):
            with database.rehearsing() as connection:
                rehearse(database, connection, spec)
        else:
            with database.reading() as connection:
                connection.execute(probe(spec))
    except SluiceError as exc:
        return exc.message
    return _FINE
