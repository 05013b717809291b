"""The example workflow on the real work log: every number against the file itself."""

from collections import defaultdict
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

import psycopg
import pytest

from tests.support.world import WORK_LOG, World
from workflows.states import RunState, TaskState

DAY = 86_400
HEADER = b"case_id,activity,resource,start_time,end_time\n"


def expected_lines() -> dict[tuple[str, str, str, str], int]:
    """Worked seconds per case, activity, worker and local day of the start, straight from the file."""
    found: dict[tuple[str, str, str, str], int] = defaultdict(int)
    for line in WORK_LOG.read_text().splitlines()[1:]:
        case, activity, worker, start, end = line.split(",")
        worked = datetime.fromisoformat(end) - datetime.fromisoformat(start)
        found[case, activity, worker, start[:10]] += int(worked.total_seconds())
    return {key: seconds for key, seconds in found.items() if seconds > 0}


def test_posts_the_work_log_exactly(world: World) -> None:
    world.publish()
    run = world.post(WORK_LOG.read_bytes())
    assert run.state is RunState.SUCCEEDED, run.failure
    lines = expected_lines()
    good = {key: seconds for key, seconds in lines.items() if seconds <= DAY}
    with psycopg.connect(world.erp_url) as connection:
        card = connection.execute("SELECT activity, hourly_rate FROM labour_rate").fetchall()
        rates: dict[str, Decimal] = {activity: rate for activity, rate in card}  # noqa: C416 - types
        rows = connection.execute(
            "SELECT case_id, activity, worker, work_date::text, worked_seconds, amount FROM job_ledger"
        ).fetchall()
    cent = Decimal("0.01")
    wanted = {
        (*key, seconds, (rates[key[1]] * seconds / 3600).quantize(cent, ROUND_HALF_UP))
        for key, seconds in good.items()
    }
    assert len(rows) == len(good) == 4_233
    assert set(rows) == wanted
    assert world.tasks(run.id)["work_log"].counts == {"records": 5_149, "rejected": 0}


def test_totals_say_what_the_file_says(world: World) -> None:
    world.publish()
    run = world.post(WORK_LOG.read_bytes())
    totals = {line["measure"]: line for line in run.totals or []}
    worked = totals["worked_seconds"]
    assert (worked["read"], worked["posted"], worked["rejected"]) == ("37045260", "19819620", "17225640")
    records = [totals["records"][name] for name in ("read", "posted", "already_posted", "rejected", "held")]
    assert records == ["4366", "4233", "0", "133", "0"]
    assert Decimal(totals["amount"]["posted"]) == sum(line[4] for line in world.ledger())


def test_the_same_file_again_posts_nothing(world: World) -> None:
    world.publish()
    world.post(WORK_LOG.read_bytes())
    before = world.ledger()
    run = world.post(WORK_LOG.read_bytes())
    counts = world.tasks(run.id)["post"].counts or {}
    assert (run.state, counts["posted"], counts["already_posted"]) == (RunState.SUCCEEDED, 0, 4_233)
    assert world.ledger() == before


def test_dead_letters_have_reasons_and_no_names(world: World) -> None:
    world.publish()
    run = world.post(WORK_LOG.read_bytes())
    letters = world.sql("SELECT reason, faults, payload FROM sluice.dead_letter WHERE run_id = %s", [run.id])
    assert {reason for reason, _, _ in letters} == {"More than 24 hours of work on one day."}
    assert len(letters) == 133
    assert all(fault["value"].isdecimal() for _, faults, _ in letters for fault in faults)


def test_a_line_above_the_limit_posts_nothing(world: World) -> None:
    world.publish()
    run = world.post(WORK_LOG.read_bytes(), line_limit="500.00")
    assert run.state is RunState.FAILED
    assert run.failure is not None
    assert run.failure["step"] == "limits"
    assert run.failure["code"] == "policy_denied"
    assert run.failure["message"] == "A single line of 1059.20 is above the limit of 500.00."
    tasks = world.tasks(run.id)
    assert (tasks["limits"].state, tasks["post"].state) == (TaskState.FAILED, TaskState.PENDING)
    assert world.ledger() == []


def test_an_entry_that_ends_before_it_starts_posts_nothing(world: World) -> None:
    world.publish()
    run = world.post(
        [
            ("1", "Pay Invoice", "Ann Ace", "2024-03-01T08:00:00+02:00", "2024-03-01T09:00:00+02:00"),
            ("2", "Pay Invoice", "Ann Ace", "2024-03-01T08:00:00+02:00", "2024-03-01T07:00:00+02:00"),
        ]
    )
    assert run.state is RunState.FAILED
    assert run.failure is not None
    assert "Entries that end before they start: 1, the first on line 3" in run.failure["message"]
    assert world.ledger() == []


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"case_id,activity,resource,start_time\n1,a,b,2024-01-01T00:00:00Z\n", "invalid_data", "end_time"),
        (b"", "invalid_data", "empty"),
        (HEADER + "1,Café,b,x,y\n".encode("latin-1"), "invalid_data", "UTF-8"),
        (HEADER + b"1,a,Eve Canary,2024-13-01,x\n", "invalid_data", "start_time"),
    ],
    ids=["missing column", "empty file", "wrong encoding", "unreadable date"],
)  # fmt: skip
def test_bad_files_fail_with_their_place(world: World, data: bytes, code: str, words: str) -> None:
    world.publish()
    run = world.post(data)
    assert run.state is RunState.FAILED
    assert run.failure is not None
    assert (run.failure["step"], run.failure["code"]) == ("work_log", code)
    assert words in str(run.failure)
    assert "Eve Canary" not in str(run.failure)
    assert world.ledger() == []


def test_an_activity_without_a_rate_becomes_a_dead_letter(world: World) -> None:
    world.publish()
    run = world.post([("1", "Juggling", "Ann Ace", "2024-03-01T08:00:00+02:00", "2024-03-01T09:00:00+02:00")])
    assert run.state is RunState.SUCCEEDED
    assert world.sql("SELECT reason FROM sluice.dead_letter") == [
        ("The ERP has no labour rate for this activity.",)
    ]
    assert world.tasks(run.id)["post"].state is TaskState.SKIPPED
    assert run.totals is not None
    assert all(line["proved"] for line in run.totals)
