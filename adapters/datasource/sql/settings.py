"""Connector settings of the SQL adapter: how to reach the database and which operations it offers."""

import ipaddress
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Tag

from adapters.operation_kinds import BY_KIND
from kernel.records import Column

_MODEL = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}", re.ASCII)

DEFAULT_PORTS: Mapping[str, int] = MappingProxyType({"postgresql": 5432})


def _identifier(name: str) -> str:
    if not _IDENTIFIER.fullmatch(name):
        raise ValueError("use a name of letters, digits and underscores, at most 63 characters long.")
    return name


def _table_name(name: str) -> str:
    parts = name.split(".")
    if len(parts) > 2 or not all(map(_IDENTIFIER.fullmatch, parts)):
        raise ValueError("name the table as table or schema.table, in letters, digits and underscores.")
    return name


def _host_name(host: str) -> str:
    if not _HOST.fullmatch(host):
        raise ValueError("use a host name or IP address, without port or scheme.")
    return host


def _column_type(text: str) -> str:
    Column.parse("", text)
    return text


def _parameter_name(name: str) -> str:
    if hasattr(BaseModel, name):
        raise ValueError("this name is taken; choose another name for the parameter.")
    return name


def _statement(sql: str) -> str:
    return sql.strip().removesuffix(";").rstrip()


def _casts_escaped(sql: str) -> str:
    """`text()` would read `:day::date` as a parameter named `da`."""
    return sql.replace("::", r"\:\:")


type Identifier = Annotated[str, AfterValidator(_identifier)]
type TableName = Annotated[str, AfterValidator(_table_name)]
type ColumnType = Annotated[str, AfterValidator(_column_type)]
type ParameterName = Annotated[Identifier, AfterValidator(_parameter_name)]
type Columns = Annotated[dict[Identifier, ColumnType], Field(min_length=1)]
type Statement = Annotated[str, AfterValidator(_statement), Field(min_length=1)]


class FetchSpec(BaseModel):
    """A SELECT that delivers records; `order_by` names columns, `-name` for descending."""

    model_config = _MODEL

    fetch: Statement
    columns: Columns
    parameters: dict[ParameterName, ColumnType] = Field(default_factory=dict)
    order_by: tuple[str, ...] = ()

    @property
    def statement(self) -> str:
        """The SELECT, for SQLAlchemy's `text()`."""
        return _casts_escaped(self.fetch)


class LookupSpec(BaseModel):
    """A SELECT that delivers at most one record."""

    model_config = _MODEL

    lookup: Statement
    columns: Columns
    parameters: dict[ParameterName, ColumnType] = Field(default_factory=dict)
    order_by: tuple[()] = ()

    @property
    def statement(self) -> str:
        """The SELECT, for SQLAlchemy's `text()`."""
        return _casts_escaped(self.lookup)


class PushSpec(BaseModel):
    """A table that records are added to.

    `key_column` stores the idempotency key and must have a unique constraint of its own; `id_column`, by
    default the same, is what the system knows the row by.
    """

    model_config = _MODEL

    push: TableName
    columns: Columns
    key_column: Identifier
    id_column: Identifier | None = None

    @property
    def external_id_column(self) -> str:
        """The column whose value is reported as the external id."""
        return self.id_column or self.key_column


type ReadSpec = FetchSpec | LookupSpec
type OperationSpec = FetchSpec | LookupSpec | PushSpec


type AnyOperation = Annotated[
    Annotated[FetchSpec, Tag("fetch")]
    | Annotated[LookupSpec, Tag("lookup")]
    | Annotated[PushSpec, Tag("push")],
    BY_KIND,
]


class SqlSettings(BaseModel):
    """How to reach the database. Times are in seconds.

    In a sandbox deployment the adapter refuses to write to `production_hosts`.
    """

    model_config = _MODEL

    dialect: Literal["postgresql"]
    host: Annotated[str, AfterValidator(_host_name)]
    port: int | None = Field(default=None, ge=1, le=65535)
    database: str = Field(min_length=1, max_length=63)
    user: str = Field(min_length=1, max_length=63)
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] | None = None
    sslrootcert: str | None = Field(
        default=None, description="Path of the CA file for verify-ca and verify-full."
    )
    connect_timeout: int = Field(default=10, ge=1, le=60)
    statement_timeout: int = Field(default=60, ge=1, le=900)
    production_hosts: tuple[str, ...] = ()
    operations: dict[Identifier, AnyOperation] = Field(min_length=1)

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return f"{self.host}:{self.effective_port}"

    @property
    def effective_port(self) -> int:
        """The port, by default the dialect's own."""
        return self.port or DEFAULT_PORTS[self.dialect]

    @property
    def effective_sslmode(self) -> str:
        """Encryption is required by default, except on a loopback address."""
        return self.sslmode or ("prefer" if _is_loopback(self.host) else "require")

    @property
    def is_production_host(self) -> bool:
        """Whether the host is listed in `production_hosts`."""
        return _plain_host(self.host) in map(_plain_host, self.production_hosts)


def _plain_host(host: str) -> str:
    return host.lower().rstrip(".")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return _plain_host(host) == "localhost"
