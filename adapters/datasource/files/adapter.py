"""Reads CSV and XLSX files from Azure Blob Storage. See README.md in this folder."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import batched
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from adapters.contract import Adapter, CheckResult, Operation
from adapters.datasource.files.csv_source import csv_table
from adapters.datasource.files.findings import Findings
from adapters.datasource.files.pages import PAGE_SIZE, Table, pages
from adapters.datasource.files.parameters import FilesSettings, ListParameters, RecordsParameters
from adapters.datasource.files.xlsx_source import xlsx_table
from adapters.faults import refused, validated
from kernel.errors import Fault, SluiceError
from kernel.records import Column, ColumnKind, Records
from kernel.verbs import Verb

if TYPE_CHECKING:
    from adapters.datasource.files.blobs import Container

RECORDS = "records"
LIST = "list"
_LISTED = (Column("path", ColumnKind.TEXT), Column("bytes", ColumnKind.INTEGER))
_SETTINGS = "settings of a files connector"
_PARAMETERS = "parameters of files operation {!r}"
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
    """Files in one blob container; its operations, `records` and `list`, are FETCHes."""

    system: ClassVar[str] = "files"
    settings_model = FilesSettings
    secret_names = ("connection",)

    @classmethod
    def catalogue(cls, settings: Mapping[str, Any]) -> Mapping[str, Operation]:
        """The operations, the same for all settings."""
        validated(FilesSettings, settings, what=_SETTINGS)
        return {
            RECORDS: Operation(
                name=RECORDS,
                verb=Verb.FETCH,
                summary="Reads the records of a CSV or XLSX file.",
                parameters=RecordsParameters,
                columns=_columns,
            ),
            LIST: Operation(
                name=LIST,
                verb=Verb.FETCH,
                summary="Lists the files whose names begin and end as told, by name.",
                parameters=ListParameters,
                columns=lambda _parameters: _LISTED,
            ),
        }

    def fetch(self, operation: str, parameters: Mapping[str, Any]) -> Iterator[Records]:
        """Pages of a file's records in its order, or of files by name."""
        if operation == LIST:
            return self._list(validated(ListParameters, parameters, what=_PARAMETERS.format(LIST)))
        if operation != RECORDS:
            raise self._unsupported(operation, Verb.FETCH)
        request = _request(parameters)
        if request.file_format is None:
            raise refused(_PARAMETERS.format(RECORDS), [_NO_FORMAT])
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

    def _list(self, request: ListParameters) -> Iterator[Records]:
        """One empty page if there are none."""
        names = self._container.names(request.prefix)
        found = ((name, size) for name, size in names if name.endswith(request.suffix))
        delivered = False
        for page in batched(found, PAGE_SIZE, strict=False):
            delivered = True
            yield Records(_LISTED, [{"path": name, "bytes": size} for name, size in page])
        if not delivered:
            yield Records(_LISTED)

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
    return validated(RecordsParameters, parameters, what=_PARAMETERS.format(RECORDS))


def _columns(parameters: Any) -> tuple[Column, ...] | None:
    return _request(parameters).record_columns()
