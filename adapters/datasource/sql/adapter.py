"""Reads from and writes to SQL databases. See README.md in this folder."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from adapters.contract import Adapter, CheckResult, Operation, Outgoing, PushResult
from adapters.datasource.sql.catalogue import PUSH_BATCH_SIZE, operations, parsed_settings
from adapters.datasource.sql.settings import FetchSpec, LookupSpec, OperationSpec, PushSpec, SqlSettings
from adapters.parameters import typed_parameters
from kernel.errors import AccessForbidden, InvalidRequest
from kernel.records import Record, Records, Value, parse_columns
from kernel.verbs import Verb

if TYPE_CHECKING:
    from adapters.datasource.sql.database import Database

SANDBOX = "sandbox"


class SqlAdapter(Adapter):
    """A SQL database; its operations are those that the connector's settings describe.

    SQLAlchemy and the driver are imported by the first call that needs the database: validating a workflow
    must not pay for them.
    """

    system: ClassVar[str] = "sql"
    settings_model = SqlSettings
    secret_names = ("password",)

    @classmethod
    def catalogue(cls, settings: Mapping[str, Any]) -> Mapping[str, Operation]:
        """The operations that the settings describe."""
        return operations(parsed_settings(settings))

    def fetch(self, operation: str, parameters: Mapping[str, Any]) -> Iterator[Records]:
        """Pages of the query's records."""
        from adapters.datasource.sql import reading

        spec = self._spec(operation, Verb.FETCH, FetchSpec)
        return reading.fetch(self._database, operation, spec, self._parameters(operation, parameters))

    def lookup(self, operation: str, parameters: Mapping[str, Any]) -> Record | None:
        """The query's one record."""
        from adapters.datasource.sql import reading

        spec = self._spec(operation, Verb.LOOKUP, LookupSpec)
        return reading.lookup(self._database, operation, spec, self._parameters(operation, parameters))

    def push(
        self, operation: str, parameters: Mapping[str, Any], batch: Sequence[Outgoing]
    ) -> list[PushResult]:
        """Add rows; those that are there already are recognised by their key."""
        from adapters.datasource.sql import writing

        spec = self._spec(operation, Verb.PUSH, PushSpec)
        self._parameters(operation, parameters)
        self._refuse_production()
        if len(batch) > PUSH_BATCH_SIZE:
            raise InvalidRequest(f"A batch has at most {PUSH_BATCH_SIZE} records; this one has {len(batch)}.")
        return writing.push(self._database, operation, spec, batch)

    def find_posted(
        self, operation: str, parameters: Mapping[str, Any], keys: Sequence[str]
    ) -> Mapping[str, str]:
        """External ids of the rows that have these keys."""
        from adapters.datasource.sql import writing

        spec = self._spec(operation, Verb.PUSH, PushSpec)
        self._parameters(operation, parameters)
        return writing.find_posted(self._database, operation, spec, keys)

    def check(self) -> CheckResult:
        """Whether the database answers and each operation's objects and permissions are there."""
        from adapters.datasource.sql.probing import check

        return check(self._database, self._settings)

    def close(self) -> None:
        """Release the connections, if any were opened."""
        database = self.__dict__.pop("_database", None)
        if database is not None:
            database.close()

    @cached_property
    def _settings(self) -> SqlSettings:
        return parsed_settings(self.connector.settings)

    @cached_property
    def _database(self) -> "Database":
        from adapters.datasource.sql.database import Database

        return Database(self._settings, lambda: self.credentials.secret(self.connector.secrets["password"]))

    def _spec[S: OperationSpec](self, operation: str, verb: Verb, kind: type[S]) -> S:
        spec = self._settings.operations.get(operation)
        if not isinstance(spec, kind):
            raise self._unsupported(operation, verb)
        return spec

    def _parameters(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Value]:
        spec = self._settings.operations[operation]
        declared = parse_columns({} if isinstance(spec, PushSpec) else spec.parameters)
        what = f"parameters of operation {operation!r} of connector {self.connector.key!r}"
        return typed_parameters(self.operations[operation].parameters, declared, parameters, what=what)

    def _refuse_production(self) -> None:
        if self.connector.environment == SANDBOX and self._settings.is_production_host:
            raise AccessForbidden(
                f"Connector {self.connector.key!r} lists {self._settings.host!r} as a production host, and a "
                "sandbox deployment must not write there. Give the connector a sandbox host."
            )
