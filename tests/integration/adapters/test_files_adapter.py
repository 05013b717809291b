"""The files adapter against real storage."""

import time
import traceback
from typing import Any

import pytest

from adapters.contract import Adapter, Connector
from adapters.datasource.files.blobs import Container
from adapters.datasource.files.parameters import FilesSettings
from adapters.registry import get_adapter
from kernel.errors import (
    AccessForbidden,
    AuthenticationFailed,
    ExternalError,
    ExternalNotFound,
    InvalidData,
    InvalidRequest,
    SystemUnavailable,
)
from tests.support.adapter_systems import SANDBOX, Share, closed_port
from tests.support.adapters import Vault, workbook

ACCOUNT_KEY = "Y2FuYXJ5LWtleS1jYW5hcnkta2V5"


def rows(adapter: Adapter, **parameters: Any) -> list[dict[str, Any]]:
    return [row for page in adapter.fetch("records", parameters) for row in page.rows]


def over(connection: str) -> Adapter:
    connector = Connector("inbox", "files", {}, {"connection": "storage"})
    return get_adapter(connector, SANDBOX, Vault({"storage": connection}))


def test_csv_and_workbook_deliver_the_same_records(share: Share) -> None:
    share.upload("week/log.csv", "case,hours\n1,7.60\n2,\n")
    share.upload("week/log.xlsx", workbook({"Log": [["case", "hours"], [1, 7.6], [2, None]]}))
    columns = {"case": "integer", "hours": "decimal(6,2)"}
    adapter = share.adapter()
    first = rows(adapter, path="week/log.csv", columns=columns)
    assert first == rows(adapter, path="week/log.xlsx", columns=columns)
    assert [str(row["hours"]) for row in first] == ["7.60", "None"]
    adapter.close()


def test_files_are_listed_by_name(share: Share) -> None:
    for path in ("q/b.csv", "q/a.csv", "q/notes.txt", "r/c.csv"):
        share.upload(path, "a\n1\n")
    adapter = share.adapter()

    def listed(**parameters: Any) -> list[Any]:
        return [row["path"] for page in adapter.fetch("list", parameters) for row in page.rows]

    assert listed(prefix="q/", suffix=".csv") == ["q/a.csv", "q/b.csv"]
    everything = listed()
    assert everything == sorted(everything)
    assert set(everything) >= {"q/a.csv", "q/b.csv", "q/notes.txt", "r/c.csv"}
    (page,) = adapter.fetch("list", {"prefix": "none/"})
    assert ([column.name for column in page.columns], len(page)) == (["path", "bytes"], 0)
    adapter.close()


def test_an_empty_row_of_a_workbook_is_kept_when_asked(share: Share) -> None:
    share.upload("gap.xlsx", workbook({"Log": [["a"], [1], [None], [2]]}))
    adapter = share.adapter()
    assert rows(adapter, path="gap.xlsx", row_number="line", empty_rows="keep") == [
        {"a": "1", "line": 2}, {"a": None, "line": 3}, {"a": "2", "line": 4},
    ]  # fmt: skip
    adapter.close()


def test_nothing_is_read_before_the_first_page_is_asked_for(share: Share) -> None:
    adapter = share.adapter()
    pages = adapter.fetch("records", {"path": "later.csv"})
    share.upload("later.csv", "a\n1\n")
    assert len(next(pages)) == 1
    adapter.close()


def test_parameters_are_checked_at_the_call(share: Share) -> None:
    with pytest.raises(InvalidRequest, match="path"):
        share.adapter().fetch("records", {})
    with pytest.raises(InvalidRequest, match="Set the parameter format"):
        share.adapter().fetch("records", {"path": "notes"})


def test_a_missing_file_suggests_similar_names(share: Share) -> None:
    share.upload("2026/week-14.csv", "a\n1\n")
    adapter = share.adapter()
    with pytest.raises(ExternalNotFound, match=r"'2026/week-15.csv'.*Did you mean '2026/week-14.csv'\?"):
        rows(adapter, path="2026/week-15.csv")
    with pytest.raises(ExternalNotFound, match="Upload it"):
        rows(adapter, path="elsewhere/entirely.csv")
    adapter.close()


def test_a_missing_container_is_told_by_name(share: Share) -> None:
    adapter = share.adapter(container="no-such-container")
    with pytest.raises(ExternalNotFound, match="no-such-container"):
        rows(adapter, path="a.csv")
    result = adapter.check()
    assert not result.ok
    assert "no-such-container" in result.detail
    adapter.close()


def test_a_file_that_is_too_large_is_refused_before_it_is_downloaded(
    share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    share.upload("huge.csv", b"a\n" + b"1\n" * 30_000_000)
    # Whoever downloads all the same fails this test with another error.
    monkeypatch.setattr("azure.storage.blob.BlobClient.download_blob", None)
    adapter = share.adapter()
    with pytest.raises(InvalidData) as caught:
        rows(adapter, path="huge.csv")
    (fault,) = caught.value.faults
    assert (fault.code, fault.message) == (
        "too_large",
        "The file has 60,000,002 bytes; the limit is 50,000,000.",
    )
    assert "max_bytes" in fault.hint
    adapter.close()


def test_check_says_where_it_looked(share: Share) -> None:
    adapter = share.adapter()
    result = adapter.check()
    assert result.ok
    assert share.client.container_name in result.detail
    adapter.close()


def test_wrong_credentials(share: Share) -> None:
    parts = dict(part.split("=", 1) for part in share.vault.secret("storage").reveal().split(";") if part)
    adapter = over(
        ";".join(f"{name}={value}" for name, value in {**parts, "AccountKey": ACCOUNT_KEY}.items())
    )
    # Azure answers AuthenticationFailed here, Azurite AuthorizationFailure, which may mean a firewall too.
    with pytest.raises((AuthenticationFailed, AccessForbidden), match="credentials") as caught:
        rows(adapter, path="a.csv")
    assert ACCOUNT_KEY not in "".join(traceback.format_exception(caught.value))
    assert not adapter.check().ok
    adapter.close()


def test_a_malformed_connection_string_is_a_credential_fault() -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        rows(over(f"nonsense {ACCOUNT_KEY}"), path="a.csv")
    assert ACCOUNT_KEY not in "".join(traceback.format_exception(caught.value))


def test_storage_that_does_not_answer_is_told_within_seconds() -> None:
    adapter = over(
        f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey={ACCOUNT_KEY};"
        f"BlobEndpoint=http://127.0.0.1:{closed_port()}/a"
    )
    started = time.monotonic()
    with pytest.raises(SystemUnavailable, match="does not answer") as caught:
        rows(adapter, path="a.csv")
    assert time.monotonic() - started < 15
    assert ACCOUNT_KEY not in "".join(traceback.format_exception(caught.value))
    adapter.close()


def test_a_secret_that_is_not_in_the_vault() -> None:
    connector = Connector("inbox", "files", {}, {"connection": "forgotten"})
    adapter = get_adapter(connector, SANDBOX, Vault({}))
    with pytest.raises(AuthenticationFailed, match="forgotten"):
        rows(adapter, path="a.csv")
    assert "forgotten" in adapter.check().detail
    adapter.close()


def test_a_managed_identity_signs_in_without_a_secret() -> None:
    settings = FilesSettings(identity="managed", account_url="https://acme.blob.core.windows.net")
    container = Container.connect(settings, None)
    assert container.place == "container 'files' of storage account 'acme'"
    container.close()


def test_all_errors_are_external(share: Share) -> None:
    share.upload("bad.csv", b"\x00\x01\x02")
    adapter = share.adapter()
    for path in ("bad.csv", "missing.csv"):
        with pytest.raises(ExternalError):
            rows(adapter, path=path)
    adapter.close()
