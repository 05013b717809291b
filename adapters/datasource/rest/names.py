"""Checked texts of connector settings: addresses, paths, headers, names and types."""

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from kernel.records import Column

MODEL = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%{}-]*)+", re.ASCII)
_PRINTABLE = re.compile(r"[\x20-\x7e]*", re.ASCII)


def _url(text: str) -> str:
    parts = urlsplit(text)
    if not parts.hostname or parts.username is not None or "?" in text or "#" in text:
        raise ValueError("use an address such as https://erp.example.com/api, without user or query.")
    if not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))):
        raise ValueError("use https; http is only for loopback addresses.")
    if parts.port == 0:
        raise ValueError("use a port of 1 to 65535.")
    return text.rstrip("/")


def _path(text: str) -> str:
    if not _PATH.fullmatch(text) or {".", ".."} & set(text.split("/")) or text.startswith("//"):
        raise ValueError("use a path that starts with one slash, without query, dots or spaces.")
    return text


def _header(name: str) -> str:
    if not _HEADER.fullmatch(name):
        raise ValueError("use a header name of letters, digits and hyphens.")
    return name


def _printable(text: str) -> str:
    if not _PRINTABLE.fullmatch(text):
        raise ValueError("use printable ASCII characters.")
    return text


def _identifier(name: str) -> str:
    if not _IDENTIFIER.fullmatch(name):
        raise ValueError("use a name of letters, digits and underscores, at most 63 characters long.")
    return name


def _parameter_name(name: str) -> str:
    if hasattr(BaseModel, name) or name == "key":
        raise ValueError("this name is taken; choose another name for the parameter.")
    return name


def _column_type(text: str) -> str:
    Column.parse("", text)
    return text


type Url = Annotated[str, AfterValidator(_url)]
type Path = Annotated[str, AfterValidator(_path)]
type HeaderName = Annotated[str, AfterValidator(_header)]
type Printable = Annotated[str, AfterValidator(_printable)]
type Identifier = Annotated[str, AfterValidator(_identifier)]
type ParameterName = Annotated[Identifier, AfterValidator(_parameter_name)]
type ColumnType = Annotated[str, AfterValidator(_column_type)]
type Columns = Annotated[dict[Identifier, ColumnType], Field(min_length=1)]
type QueryName = Annotated[str, Field(min_length=1, max_length=100)]


def is_loopback(host: str) -> bool:
    """Whether the host name or address is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return plain_host(host) == "localhost"


def plain_host(host: str) -> str:
    """The host as comparisons need it."""
    return host.lower().rstrip(".")
