"""Digests and identities of stored postings: they must never change without a new version."""

from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

from activities.claiming import idempotency_key
from activities.work import Work
from kernel.records import Record
from workflows.model import Push
from workflows.rows import CANONICAL_VERSION, digest

RECORD: Record = {
    "amount": Decimal("12.50"),
    "case_id": "7",
    "none": None,
    "paid": True,
    "seconds": 5_400,
    "seen": datetime(2024, 3, 1, 9, 30, tzinfo=UTC),
    "work_date": date(2024, 3, 1),
    "worker": "Zoë",
}


def test_the_digest_of_a_record_is_what_it_was() -> None:
    assert CANONICAL_VERSION == 1
    assert digest(RECORD) == "1:dcd09b15eee84b99bd25b682d0abcf61c6d68bbb8317629e718583e74f879546"


def test_the_identity_of_a_posting_is_what_it_was() -> None:
    push = Push(connector="erp", operation="job_ledger", records="costs", key=["case_id", "worker", "amount"])
    work = cast(Work, SimpleNamespace(services=SimpleNamespace(environment="sandbox")))
    assert (
        idempotency_key(work, push, cast(Any, RECORD))
        == "190526ced941f960199d559f4e2fde7ce93e72a684b211bdca52c4881cd50916"
    )
