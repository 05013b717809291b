"""Values of sensitive fields and credentials are nowhere but where they must be."""

import base64
import json
import zlib
from urllib.parse import quote

import pytest

from tests.secrecy.canaries import VALUES, canary
from tests.secrecy.conftest import Evidence
from tests.secrecy.places import Found, Place, found_in

pytestmark = pytest.mark.timeout(300)


def allowed(evidence: Evidence) -> set[str]:
    """The only places that hold values: the files that were uploaded. (The secrets file and the ERP's own
    ledger are not searched.)"""
    return evidence.scene.uploaded


def test_nothing_sensitive_was_written_or_said_anywhere_else(evidence: Evidence) -> None:
    found = found_in(evidence.places, evidence.canaries)
    wrong = sorted(f"{one.canary} in {one.place}" for one in found if one.place not in allowed(evidence))
    assert wrong == []
    assert {one.place for one in found} <= allowed(evidence)


def test_the_scene_reached_every_place(evidence: Evidence) -> None:
    kinds = {place.name.partition(":")[0] for place in evidence.places}
    assert kinds == {"database", "task hub", "blob", "host folder", "log records", "answer"}
    names = {place.name for place in evidence.places}
    wanted = (
        "database: sluice.task_run.failure", "database: sluice.task_run.attempts",
        "database: sluice.workflow_run.failure", "database: sluice.posting.reason",
        "database: sluice.posting.shown", "database: sluice.dead_letter.reason",
        "database: sluice.dead_letter.record", "database: sluice.dead_letter.payload",
        "database: sluice.dead_letter.retry_payload", "database: sluice.audit_event.details",
        "database: sluice.approval.because", "database: sluice.approval.facts",
        "database: sluice.approval.summary", "database: sluice.approval.changes",
        "host folder: host.log",
    )  # fmt: skip
    assert set(wanted) <= names
    assert any(name.startswith("task hub: taskhub.") for name in names)
    halfway = evidence.scene.runs["halfway"]["id"]
    assert any(name.startswith(f"blob: context/{halfway}") for name in names)


def test_the_erp_and_the_files_hold_the_values(evidence: Evidence) -> None:
    """The canaries were there to be found."""
    canaries = [canary(name, value) for name, value in VALUES.items()]
    ledger = Place("ledger", evidence.scene.erp.state_file.read_bytes())
    assert {"worker", "national id", "birthday", "salary"} <= {
        one.canary for one in found_in([ledger], canaries)
    }
    uploads = [place for place in evidence.places if place.name in allowed(evidence)]
    assert len({one.canary for one in found_in(uploads, canaries)}) == 7
    assert evidence.scene.vault.exists()


def test_what_systems_said_is_there_without_the_values(evidence: Evidence) -> None:
    written = b"\n".join(place.data for place in evidence.places if place.name.startswith("database: "))
    for text in (b"[redacted] failed for", b"Careless.", b"is negative", b"Wrong credentials: "):
        assert text in written, text


def test_runs_ended_in_every_way(evidence: Evidence) -> None:
    runs = evidence.scene.runs.values()
    assert {run["state"] for run in runs} == {"SUCCEEDED", "FAILED", "CANCELLED", "SUSPENDED", "RUNNING"}
    codes = {run["failure"]["code"] for run in runs if run["failure"]}
    assert codes >= {
        "authentication_failed", "access_forbidden", "external_not_found", "invalid_data", "invalid_request",
        "policy_denied", "transient", "system_unavailable", "in_doubt", "internal", "poison",
    }  # fmt: skip


@pytest.mark.parametrize("form", ["plain", "json", "base64", "utf-16", "quoted", "packed"])
def test_the_search_finds_every_form(form: str) -> None:
    value = "Zoë/Quartz field"
    forms = {
        "plain": value.encode(),
        "json": json.dumps({"a": value}).encode(),
        "base64": base64.b64encode(b"name is " + value.encode() + b"."),
        "utf-16": value.encode("utf-16-le"),
        "quoted": quote(value, safe="").encode(),
        "packed": zlib.compress(value.encode() * 3),
    }
    assert found_in([Place("here", forms[form])], [canary("c", value)]) == {Found("c", "here")}
    assert found_in([Place("here", b"nothing")], [canary("c", value)]) == set()
