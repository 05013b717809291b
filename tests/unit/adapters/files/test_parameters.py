"""Parameters and settings of the files adapter: all faults at once, and none of the values in them."""

from typing import Any

import pytest

from adapters.datasource.files.dates import DateFormat
from adapters.datasource.files.parameters import FilesSettings, RecordsParameters
from adapters.faults import validated
from kernel.errors import InvalidRequest


def faults(model: type[Any], **data: Any) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        validated(model, data, what="parameters")
    return [f"{fault.path}: {fault.message}" for fault in caught.value.faults]


def test_defaults() -> None:
    parameters = RecordsParameters(path="week/log.CSV")
    assert (parameters.file_format, parameters.encoding, parameters.delimiter) == ("csv", "utf-8", ",")
    assert (parameters.header_row, parameters.max_bytes) == (1, 50_000_000)
    assert parameters.record_columns() is None
    settings = FilesSettings()
    assert (settings.container, settings.identity) == ("files", "connection")


@pytest.mark.parametrize(
    ("path", "format_", "expected"),
    [
        ("a.csv", None, "csv"),
        ("a.TXT", None, "csv"),
        ("a.tsv", None, "csv"),
        ("a.xlsx", None, "xlsx"),
        ("a.xlsm", None, "xlsx"),
        ("a.csv", "xlsx", "xlsx"),
        ("a", "csv", "csv"),
        ("a", None, None),
    ],
)
def test_the_format_is_stated_or_told_by_the_extension(path: str, format_: Any, expected: str | None) -> None:
    assert RecordsParameters(path=path, format=format_).file_format == expected


def test_columns_come_in_their_order_with_the_row_number_last() -> None:
    parameters = RecordsParameters.model_validate(
        {"path": "a.csv", "columns": {"b": "date", "a": {"type": "decimal(8,2)"}}, "row_number": "line"}
    )
    columns = parameters.record_columns()
    assert columns is not None
    assert [(column.name, column.type) for column in columns] == [
        ("b", "date"),
        ("a", "decimal(8,2)"),
        ("line", "integer"),
    ]


def test_all_faults_are_told_at_once() -> None:
    found = faults(
        RecordsParameters,
        path="",
        encoding="klingon",
        delimiter="::",
        header_row=0,
        columns={"a": "money", "b": {"type": "text", "format": "dd/mm/yyyy"}, "c": {"colour": 1}},
        time_zone="Europe/Atlantis",
        max_bytes=10**12,
        nonsense=1,
    )
    assert len(found) == 11
    text = "\n".join(found)
    for part in ("klingon", "Atlantis", "::"):
        assert part not in text
    assert "columns.a.type: 'money' is not a column type; use one of text" in text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"path": "a.csv", "thousands": "."}, "must differ"),
        ({"path": "a.csv", "columns": {"a": "text"}, "row_number": "a"}, "columns has too"),
        ({"path": "a.csv", "encoding": "rot13"}, "not a known text encoding"),
        ({"path": "a.csv", "columns": {}}, "at least 1"),
        ({"path": "a.csv", "time_zone": "../../etc/passwd"}, "not a known IANA time zone"),
        ({"path": "a.csv", "columns": {"a": {"type": "date", "format": "yy"}}}, "dd/mm/yyyy"),
    ],
)
def test_what_does_not_fit_together_is_a_fault(data: dict[str, Any], message: str) -> None:
    found = faults(RecordsParameters, **data)
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"container": "My Files"}, "lower-case"),
        ({"identity": "managed"}, "account_url"),
        ({"identity": "managed", "account_url": "http://plain.example"}, "https://"),
        ({"account_url": "https://a.blob.core.windows.net"}, "only go with identity: managed"),
        ({"password": "x"}, "Extra inputs"),
    ],
)
def test_settings_faults(data: dict[str, Any], message: str) -> None:
    found = faults(FilesSettings, **data)
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize(
    "text", ["", "dd/mm", "dd/mm/yyyy/dd", "ddmmyyyy", "dd*mm*yyyy", "[dd-mm-yyyy", "%d/%m/%Y"]
)
def test_a_date_format_has_each_part_once_and_plain_separators(text: str) -> None:
    with pytest.raises(ValueError, match="dd/mm/yyyy"):
        DateFormat.parse(text)
