"""Connector settings of the files adapter and the parameters of its operations."""

import codecs
import re
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from adapters.contract import Parameters
from adapters.datasource.files.dates import DateFormat
from kernel.records import Column, ColumnKind

type Format = Literal["csv", "xlsx"]

_MAX_BYTES = 50_000_000
_MAX_BYTES_LIMIT = 500_000_000
_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}")
_FORMATS: dict[str, Format] = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".xlsx": "xlsx", ".xlsm": "xlsx"}


class FilesSettings(BaseModel):
    """Where the files are: a container, reached by the secret `connection` or by managed identity.

    With `identity: managed` the adapter signs in to `account_url` as the function app; `client_id` picks a
    user-assigned identity.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    container: str = "files"
    identity: Literal["connection", "managed"] = "connection"
    account_url: str | None = None
    client_id: str | None = None

    @field_validator("container")
    @classmethod
    def _container_name(cls, name: str) -> str:
        # https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
        if not _CONTAINER.fullmatch(name):
            raise ValueError("a container name has 3 to 63 lower-case letters, digits and single hyphens.")
        return name

    @model_validator(mode="after")
    def _managed_identity(self) -> Self:
        managed = self.identity == "managed"
        if managed and not (self.account_url or "").startswith("https://"):
            raise ValueError(
                "identity managed needs account_url, like https://<account>.blob.core.windows.net."
            )
        if not managed and (self.account_url or self.client_id):
            raise ValueError("account_url and client_id only go with identity: managed.")
        return self


class ColumnSpec(BaseModel):
    """How one column is read; a plain type such as `date` is short for `{type: date}`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: str
    header: str | Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="The header in the file, if not the column's name; or several, of which the first that "
        "the file has is read.",
    )
    optional: bool = Field(default=False, description="A file without the column has nulls in it.")
    format: str | None = Field(default=None, description="For dates that are not ISO, such as dd/mm/yyyy.")
    required: bool = Field(default=False, description="An empty cell is a fault.")
    trim: bool = Field(default=False, description="Drop white space around the cell before reading it.")

    def headers(self, name: str) -> tuple[str, ...]:
        """What the header of the column `name` may be, the preferred one first."""
        return self.header if isinstance(self.header, tuple) else (self.header or name,)

    @field_validator("type")
    @classmethod
    def _known_type(cls, text: str) -> str:
        Column.parse("", text)
        return text

    @model_validator(mode="after")
    def _optional_or_required(self) -> Self:
        if self.optional and self.required:
            raise ValueError("a column is either optional or required.")
        return self

    @model_validator(mode="after")
    def _date_format(self) -> Self:
        if self.format is not None:
            if Column.parse("", self.type).kind != ColumnKind.DATE:
                raise ValueError("format is for columns of type date.")
            DateFormat.parse(self.format)
        return self


def _spelled_out(spec: Any) -> Any:
    return {"type": spec} if isinstance(spec, str) else spec


class RecordsParameters(Parameters):
    """Which file to read and how."""

    model_config = ConfigDict(hide_input_in_errors=True)

    path: str = Field(min_length=1, max_length=1024, description="The blob's name.")
    format: Format | None = Field(default=None, description="By default told by the file's extension.")
    encoding: str = Field(default="utf-8", description="CSV only. A byte order mark is accepted.")
    delimiter: str = Field(default=",", description="CSV only.")
    sheet: str | None = Field(default=None, description="XLSX only; by default the first sheet.")
    header_row: int = Field(default=1, ge=1, description="The line that holds the header.")
    headers: Literal["exact", "loose"] = Field(
        default="exact",
        description="With `loose` only the letters and digits of headers count, in either case.",
    )
    empty_rows: Literal["skip", "keep"] = Field(
        default="skip", description="Whether a row whose cells are all empty is a record of nulls."
    )
    columns: dict[str, Annotated[ColumnSpec, BeforeValidator(_spelled_out)]] | None = Field(
        default=None, min_length=1, description="Without columns every column of the file is read as text."
    )
    row_number: str | None = Field(
        default=None, min_length=1, description="Name of an integer column that gets each record's line."
    )
    null_values: tuple[str, ...] = Field(default=(), description="Texts that mean null, besides empty cells.")
    thousands: Literal[",", ".", " ", "'"] | None = Field(default=None, description="Digit group separator.")
    decimal_mark: Literal[".", ","] = "."
    time_zone: str | None = Field(default=None, description="IANA zone of timestamps without an offset.")
    max_bytes: int = Field(default=_MAX_BYTES, ge=1, le=_MAX_BYTES_LIMIT)

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str) -> str:
        try:
            "".encode(name)  # refuses codecs that are not text encodings, which codecs.lookup does not
            return codecs.lookup(name).name
        except LookupError as exc:
            raise ValueError("not a known text encoding; common ones are utf-8, utf-16, cp1252.") from exc

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, delimiter: str) -> str:
        if len(delimiter) != 1 or delimiter in '"\r\n\0':
            raise ValueError(
                'use one character that is neither a quote nor a line end, such as ";" or "\\t".'
            )
        return delimiter

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                ZoneInfo(name)
            except (KeyError, ValueError, OSError) as exc:
                raise ValueError("not a known IANA time zone; write it like Europe/Berlin.") from exc
        return name

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.columns and self.row_number in self.columns:
            raise ValueError("row_number names a column that columns has too.")
        if self.thousands == self.decimal_mark:
            raise ValueError("thousands and decimal_mark must differ.")
        return self

    @property
    def file_format(self) -> Format | None:
        """The format, told by the extension if not given; `None` when neither tells.

        That is no fault of the model, which is also used to check workflows whose paths are not known yet.
        """
        return self.format or next(
            (kind for extension, kind in _FORMATS.items() if self.path.lower().endswith(extension)), None
        )

    def record_columns(self) -> tuple[Column, ...] | None:
        """The columns of the records; `None` when only the file's header tells."""
        if self.columns is None:
            return None
        named = [Column.parse(name, spec.type) for name, spec in self.columns.items()]
        if self.row_number:
            named.append(Column(self.row_number, ColumnKind.INTEGER))
        return tuple(named)


class ListParameters(Parameters):
    """Which files to list."""

    model_config = ConfigDict(hide_input_in_errors=True)

    prefix: str = Field(
        default="", max_length=1024, description="What the names begin with, such as a folder."
    )
    suffix: str = Field(default="", max_length=1024, description="What they end with, such as `.csv`.")
