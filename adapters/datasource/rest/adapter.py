"""Reads from and writes to systems with an HTTP interface that speaks JSON. See README.md in this folder."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from adapters.contract import Adapter, CheckResult, Operation, Outgoing, PushResult
from adapters.datasource.rest.catalogue import operations, parsed_settings
from adapters.datasource.rest.operations import FetchSpec, LookupSpec, OperationSpec, PushSpec
from adapters.datasource.rest.settings import SECRETS_BY_AUTH, RestSettings, auth_kind
from adapters.parameters import typed_parameters
from kernel.errors import AccessForbidden, InvalidRequest
from kernel.records import Record, Records, Value, parse_columns
from kernel.verbs import Verb

if TYPE_CHECKING:
    from adapters.datasource.rest.http import Http

SANDBOX = "sandbox"


class RestAdapter(Adapter):
    """A system with an HTTP interface; its operations are those that the connector's settings describe.

    The HTTP library is imported by the first call that needs it: validating a workflow must not pay for it.
    """

    system: ClassVar[str] = "rest"
    settings_model = RestSettings
    secret_names = ("token", "password", "api_key", "client_secret")

    @classmethod
    def catalogue(cls, settings: Mapping[str, Any]) -> Mapping[str, Operation]:
        """The operations that the settings describe."""
        return operations(parsed_settings(settings))

    @classmethod
    def needed_secrets(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The one credential of the way to sign in, if it has one."""
        return SECRETS_BY_AUTH.get(auth_kind(settings.get("auth", "none")) or "none", ())

    def fetch(self, operation: str, parameters: Mapping[str, Any]) -> Iterator[Records]:
        """Pages of records, as the system pages them."""
        from adapters.datasource.rest import reading

        spec = self._spec(operation, Verb.FETCH, FetchSpec)
        return reading.fetch(self._http, operation, spec, self._parameters(operation, parameters))

    def lookup(self, operation: str, parameters: Mapping[str, Any]) -> Record | None:
        """The one record, or `None` where the system has none."""
        from adapters.datasource.rest import reading

        spec = self._spec(operation, Verb.LOOKUP, LookupSpec)
        return reading.lookup(self._http, operation, spec, self._parameters(operation, parameters))

    def push(
        self, operation: str, parameters: Mapping[str, Any], batch: Sequence[Outgoing]
    ) -> list[PushResult]:
        """Send records, as the operation's idempotency allows."""
        from adapters.datasource.rest import writing

        spec = self._spec(operation, Verb.PUSH, PushSpec)
        values = self._parameters(operation, parameters)
        self._refuse_production()
        limit = spec.batch_size or 1
        if len(batch) > limit:
            raise InvalidRequest(
                f"A batch of {operation!r} has at most {limit} records; this one has {len(batch)}."
            )
        return writing.push(self._http, spec, values, batch)

    def find_posted(
        self, operation: str, parameters: Mapping[str, Any], keys: Sequence[str]
    ) -> Mapping[str, str]:
        """External ids of the records that the system has under these keys."""
        from adapters.datasource.rest import writing

        spec = self._spec(operation, Verb.PUSH, PushSpec)
        return writing.find_posted(self._http, spec, self._parameters(operation, parameters), keys)

    def check(self) -> CheckResult:
        """Whether the system answers, lets us in, and serves the reads that need no parameters."""
        from adapters.datasource.rest.probing import check

        return check(self._http)

    def revealed(self) -> list[str]:
        """The credentials with what was made of them: header values and tokens."""
        http = self.__dict__.get("_http")
        return [*super().revealed(), *(http.revealed() if http is not None else ())]

    def close(self) -> None:
        """Release the connections, if any were opened."""
        http = self.__dict__.pop("_http", None)
        if http is not None:
            http.close()

    @cached_property
    def _settings(self) -> RestSettings:
        return parsed_settings(self.connector.settings)

    @cached_property
    def _http(self) -> "Http":
        from adapters.datasource.rest.http import Http

        return Http(self._settings, lambda name: self.credentials.secret(self.connector.secrets[name]))

    def _spec[S: OperationSpec](self, operation: str, verb: Verb, kind: type[S]) -> S:
        spec = self._settings.operations.get(operation)
        if not isinstance(spec, kind):
            raise self._unsupported(operation, verb)
        return spec

    def _parameters(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Value]:
        declared = parse_columns(self._settings.operations[operation].parameters)
        what = f"parameters of operation {operation!r} of connector {self.connector.key!r}"
        return typed_parameters(self.operations[operation].parameters, declared, parameters, what=what)

    def _refuse_production(self) -> None:
        if self.connector.environment == SANDBOX and self._settings.is_production_host:
            raise AccessForbidden(
                f"Connector {self.connector.key!r} lists the host of {self._settings.origin} as a production "
                "host, and a sandbox deployment must not write there. Give the connector a sandbox address."
            )
