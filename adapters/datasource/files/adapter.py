"""Reads CSV and XLSX files from Azure Blob Storage. See README.md in this folder."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from adapters.contract import Adapter, CheckResult, Operation
from adapters.datasource.files.csv_source import csv_table
from adapters.datasource.files.findings import Findings
from adapters.datasource.files.pages import Table, pages
from adapters.datasource.files.parameters import FilesSettings, RecordsParameters
from adapters.datasource.files.xlsx_source import xlsx_table
from adapters.faults import refused, validated
from kernel.errors import Fault, SluiceError
from kernel.records import Column, Records
from kernel.verbs import Verb

if TYPE_CHECKING:
    from adapters.datasource.files.blobs import Container

RECORDS = "records"
_SETTINGS = "settings of a files connector"
_PARAMETERS = f"parameters of files operation {RECORDS!r}"
_NO_FORMAT = Fault(
    code="unknown_format",
    message="The path's extension is neither .csv nor .xlsx.",
    path="format",
    hint="Set the parameter format to csv or xlsx.",
)

_TABLES: Mapping[str, Callable[[bytes, RecordsParameters, Findings], Table]] = MappingProxyType(
    {"csv": csv_table, "xlsx": xlsx_table}
)


class FilesAdapter(Adapter):
    """Files in one blob container; its one operation is `records` (FETCH)."""

    system: ClassVar[str] = "files"
    settings_model = FilesSettings
    secret_names = ("connection",)

    @classmethod
    def catalogue(cls, settings: Mapping[str, Any]) -> Mapping[str, Operation]:
        """The one operation, the same for all settings."""
        validated(FilesSettings, settings, what=_SETTINGS)
        return {
            RECORDS: Operation(
                name=RECORDS,
                verb=Verb.FETCH,
                summary="Reads the records of a CSV or XLSX file.",
                parameters=RecordsParameters,
                columns=_columns,
            )
        }

    def fetch(self, operation: str, parameters: Mapping[str, Any]) -> Iterator[Records]:
        """Pages of the file's records in its order."""
        if operation != RECORDS:
            raise self._unsupported(operation, Verb.FETCH)
        request = _request(parameters)
        if request.file_format is None:
            raise refused(_PARAMETERS, [_NO_FORMAT])
        return self._pages(request)

    def check(self) -> CheckResult:
        """Whether the container answers."""
        try:
            self._container.touch()
        except SluiceError as exc:
            return CheckResult(ok=False, detail=str(exc))
        return CheckResult(ok=True, detail=f"The {self._container.place} answers.")

    def close(self) -> None:
        """Release the connection, if one was opened."""
        container = self.__dict__.pop("_container", None)
        if container is not None:
            container.close()

    def _pages(self, request: RecordsParameters) -> Iterator[Records]:
        data = self._container.download(request.path, request.max_bytes)
        findings = Findings(f"File {request.path!r}")
        table = _TABLES[str(request.file_format)](data, request, findings)
        yield from pages(table, request, findings)

    @cached_property
    def _container(self) -> "Container":
        # Imported here because it costs a quarter of a second that validating a workflow need not pay.
        from adapters.datasource.files.blobs import Container

        settings = validated(FilesSettings, self.connector.settings, what=_SETTINGS)
        managed = settings.identity == "managed"
        secret = None if managed else self.credentials.secret(self.connector.secrets["connection"])
        return Container.connect(settings, secret)


def _request(parameters: Any) -> RecordsParameters:
    if isinstance(parameters, RecordsParameters):
        return parameters
    return validated(RecordsParameters, parameters, what=_PARAMETERS)


def _columns(parameters: Any) -> tuple[Column, ...] | None:
    return _request(parameters).record_columns()
