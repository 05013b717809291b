"""PUSH of the SQL adapter against real PostgreSQL: each record at most once, exactly as sent."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.contract import Adapter, Outgoing, PushResult, PushStatus
from kernel.errors import AccessForbidden, ExternalError, ExternalNotFound, InvalidData, InvalidRequest
from kernel.records import Record
from tests.support.adapter_systems import JOB_LINES, Erp
from tests.support.cutting_proxy import cutting_proxy

WRITTEN, PRESENT, REJECTED = PushStatus.WRITTEN, PushStatus.PRESENT, PushStatus.REJECTED
LINE: Record = {
    "project": "A",
    "work_date": date(2026, 3, 31),
    "amount": Decimal("12.50"),
    "hours": Decimal("1.25"),
    "quantity": 3,
    "billable": True,
    "started": datetime(2026, 3, 31, 6, tzinfo=UTC),
    "started_text": "2026-03-31T08:00:00+02:00",
    "note": None,
}


def line(key: str, **changes: Any) -> Outgoing:
    return Outgoing(key, {**LINE, **changes})


def batch(count: int, **changes: Any) -> list[Outgoing]:
    """Lines with new keys."""
    run = uuid4().hex
    return [line(f"{run}-{index:04}", **changes) for index in range(count)]


def statuses(results: Sequence[PushResult]) -> list[PushStatus]:
    return [result.status for result in results]


def push(erp: Erp, lines: Sequence[Outgoing], **changes: Any) -> list[PushResult]:
    adapter = erp.adapter({"lines": {**JOB_LINES, **changes}})
    try:
        return adapter.push("lines", {}, lines)
    finally:
        adapter.close()


def stored(erp: Erp, lines: Sequence[Outgoing]) -> int:
    keys = ", ".join(f"'{one.key}'" for one in lines)
    ((count,),) = erp.run(f"SELECT count(*) FROM job_line WHERE posting_key IN ({keys})")
    assert isinstance(count, int)
    return count


def test_a_batch_is_written_once(erp: Erp) -> None:
    lines = batch(1000)
    first, second = push(erp, lines), push(erp, lines)
    assert statuses(first) == [WRITTEN] * 1000
    assert statuses(second) == [PRESENT] * 1000
    assert [result.key for result in first] == [one.key for one in lines]
    assert [result.external_id for result in second] == [result.external_id for result in first]
    assert len({result.external_id for result in first}) == 1000
    assert stored(erp, lines) == 1000


def test_an_empty_batch_is_nothing_to_do(erp: Erp) -> None:
    assert push(erp, []) == []


def test_a_batch_beyond_the_limit_is_refused(erp: Erp) -> None:
    with pytest.raises(InvalidRequest, match="1000"):
        push(erp, batch(1001))


def test_part_of_a_batch_may_be_there_already(erp: Erp) -> None:
    lines = batch(10)
    push(erp, lines[::2])
    assert statuses(push(erp, lines)) == [PRESENT, WRITTEN] * 5


def test_other_values_under_the_same_key_are_a_conflict_that_names_columns(erp: Erp) -> None:
    (first,) = lines = batch(1)
    (written,) = push(erp, lines)
    (result,) = push(erp, [line(first.key, amount=Decimal(99), note="canary")])
    assert (result.status, result.external_id) == (REJECTED, written.external_id)
    assert result.reason == "A row with the same key holds other values in amount, note."
    assert stored(erp, lines) == 1


def test_equal_values_may_be_written_differently(erp: Erp) -> None:
    (first,) = lines = batch(1)
    push(erp, lines)
    same = line(
        first.key,
        amount=Decimal("12.5"),
        hours=Decimal("1.250"),
        started_text="2026-03-31 08:00+0200",
        started=datetime.fromisoformat("2026-03-31T08:00:00+02:00"),
    )
    assert statuses(push(erp, [same])) == [PRESENT]


def test_a_key_that_comes_twice_in_one_batch(erp: Erp) -> None:
    (first,) = batch(1)
    twice = [first, first, line(first.key, quantity=4)]
    results = push(erp, twice)
    assert statuses(results) == [WRITTEN, PRESENT, REJECTED]
    assert "quantity" in results[2].reason
    assert stored(erp, twice) == 1


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"project": "nowhere"}, ["does not exist", "job_line_project_fkey", "column project"]),
        ({"amount": Decimal(-1)}, ["check", "amount_not_negative", "column amount"]),
        ({"project": None}, ["must not be empty", "column project"]),
        ({"amount": Decimal(10**9)}, ["too large", "amount numeric(10,2)"]),
        ({"quantity": 2**40}, ["too large", "quantity integer"]),
        ({"note": "canary canary"}, ["too long", "note character varying(12)"]),
        ({"amount": Decimal("1.005")}, ["would change the value of amount"]),
        ({"amount": Decimal("1.00001")}, ["amount has more than 4 decimal places"]),
        ({"amount": 1.5}, ["amount is a floating-point number"]),
        ({"note": "can\0ary"}, ["note holds a NUL character"]),
        ({"work_date": datetime(2026, 1, 1, tzinfo=UTC)}, ["work_date is of type datetime"]),
        ({"canary": 1}, ["has unknown canary"]),
    ],
)
def test_one_bad_row_does_not_sink_its_batch(erp: Erp, changes: dict[str, Any], parts: list[str]) -> None:
    lines = batch(50)
    lines[17] = line(lines[17].key, **changes)
    results = push(erp, lines)
    assert statuses(results) == [WRITTEN] * 17 + [REJECTED] + [WRITTEN] * 32
    reason = results[17].reason
    for part in parts:
        assert part in reason
    assert "canary canary" not in reason
    assert str(changes.get("amount", "canary canary")) not in reason
    assert stored(erp, lines) == 49
    assert statuses(push(erp, lines)) == [PRESENT] * 17 + [REJECTED] + [PRESENT] * 32


def test_a_record_without_a_column_is_refused(erp: Erp) -> None:
    (whole,) = batch(1)
    values = {name: value for name, value in whole.values.items() if name not in ("hours", "note")}
    (result,) = push(erp, [Outgoing(whole.key, values)])
    assert result.status is REJECTED
    assert "lacks hours, note" in result.reason


def test_many_bad_rows_of_all_kinds(erp: Erp) -> None:
    lines = batch(200)
    bad: dict[int, dict[str, Any]] = {
        0: {"amount": Decimal(-1)},
        1: {"project": "nowhere"},
        99: {"amount": Decimal("0.001")},
        100: {"note": "x" * 13},
        198: {"quantity": 2**31},
        199: {"amount": 0.5},
    }
    for index, changes in bad.items():
        lines[index] = line(lines[index].key, **changes)
    results = push(erp, lines)
    assert {index for index, result in enumerate(results) if result.status is REJECTED} == set(bad)
    assert stored(erp, lines) == 194


def test_a_trigger_may_refuse_or_swallow_rows(erp: Erp) -> None:
    erp.run(
        """
        CREATE TABLE guarded (posting_key text UNIQUE, note text);
        CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.note = 'canary-refuse' THEN RAISE EXCEPTION 'not %', NEW.note; END IF;
            IF NEW.note = 'canary-swallow' THEN RETURN NULL; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER guard BEFORE INSERT ON guarded FOR EACH ROW EXECUTE FUNCTION guard();
        """
    )
    notes = ["fine", "canary-refuse", "canary-swallow", "fine"]
    lines = [Outgoing(f"g{index}", {"note": note}) for index, note in enumerate(notes)]
    results = push(erp, lines, push="public.guarded", columns={"note": "text"}, id_column=None)
    assert statuses(results) == [WRITTEN, REJECTED, REJECTED, WRITTEN]
    assert "trigger" in results[1].reason
    assert "trigger" in results[2].reason
    assert "canary" not in results[1].reason + results[2].reason
    assert results[0].external_id == "g0"


def test_names_that_need_quoting(erp: Erp) -> None:
    erp.run('CREATE TABLE "Order" ("Group" text UNIQUE, "select" integer CHECK ("select" < 10))')
    lines = [Outgoing("q1", {"select": 1}), Outgoing("q2", {"select": 11})]
    results = push(
        erp, lines, push="Order", columns={"select": "integer"}, key_column="Group", id_column=None
    )
    assert statuses(results) == [WRITTEN, REJECTED]
    assert "column select" in results[1].reason


def test_a_clean_batch_takes_few_round_trips_and_a_bad_row_not_many_more(erp: Erp) -> None:
    with cutting_proxy(erp.settings["host"], erp.settings["port"]) as proxy:
        adapter = erp.adapter({"lines": JOB_LINES}, port=proxy.port)
        adapter.push("lines", {}, batch(1))
        counts = []
        spoilt = batch(1000)
        spoilt[500] = line(spoilt[500].key, amount=Decimal(-1))
        for lines in (batch(1000), batch(1000), spoilt):
            before = proxy.round_trips
            adapter.push("lines", {}, lines)
            counts.append(proxy.round_trips - before)
        adapter.close()
    assert counts[1] < 20
    assert counts[2] < 120


def test_the_same_batch_from_two_sides_at_once_is_written_once(erp: Erp) -> None:
    lines = batch(300)
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda _: push(erp, lines), range(4)))
    assert stored(erp, lines) == 300
    for results in zip(*outcomes, strict=True):
        assert sorted(statuses(results)) == [PRESENT, PRESENT, PRESENT, WRITTEN]


def test_the_batch_is_refused_as_a_whole_when_the_table_is_wrong(erp: Erp) -> None:
    with pytest.raises(ExternalNotFound, match='relation "nowhere" does not exist'):
        push(erp, batch(1), push="nowhere")
    with pytest.raises(ExternalNotFound, match="unique constraint on the key column"):
        push(erp, [Outgoing("k", {"project": "A"})], columns={"project": "text"}, key_column="note")
    with pytest.raises(ExternalError, match="does not accept"):
        push(erp, [Outgoing("k", {"work_date": "2026"})], columns={"work_date": "text"})


def test_a_table_may_change_between_pushes_of_one_adapter(erp: Erp) -> None:
    erp.run("CREATE TABLE growing (posting_key text UNIQUE, note text)")
    operation = {**JOB_LINES, "push": "growing", "columns": {"note": "text"}, "id_column": None}
    adapter = erp.adapter({"lines": operation})
    adapter.push("lines", {}, [Outgoing("first", {"note": "0"})])
    for number in range(20):
        if number == 10:
            erp.run("ALTER TABLE growing ALTER note TYPE varchar(99), ADD more integer")
        sent = [Outgoing(f"k{number}", {"note": "1"}), Outgoing("first", {"note": "0"})]
        assert statuses(adapter.push("lines", {}, sent)) == [WRITTEN, PRESENT]
    adapter.close()


def test_a_key_column_that_changes_keys_is_found_out_before_the_commit(erp: Erp) -> None:
    erp.run("CREATE TABLE padded (posting_key char(80) UNIQUE, note text)")
    with pytest.raises(InvalidData, match="posting_key of table padded changes the keys"):
        push(erp, [Outgoing("k", {"note": "x"})], push="padded", columns={"note": "text"}, id_column=None)
    assert erp.run("SELECT count(*) FROM padded") == [(0,)]


def test_a_user_without_the_right_to_insert_is_told_so(erp: Erp) -> None:
    erp.run("CREATE TABLE closed (posting_key text UNIQUE, note text)")
    user = erp.settings["user"]
    erp.run(f"REVOKE INSERT ON closed FROM {user}")
    with pytest.raises(AccessForbidden, match="permission denied for table closed"):
        push(erp, [Outgoing("k", {"note": "x"})], push="closed", columns={"note": "text"}, id_column=None)


def test_a_sandbox_does_not_write_to_a_production_host(erp: Erp) -> None:
    adapter = erp.adapter({"lines": JOB_LINES}, production_hosts=[erp.settings["host"]])
    lines = batch(1)
    with pytest.raises(AccessForbidden, match="production host"):
        adapter.push("lines", {}, lines)
    assert adapter.find_posted("lines", {}, [lines[0].key]) == {}
    assert adapter.check().ok
    adapter.close()


def test_find_posted_gives_external_ids(erp: Erp) -> None:
    lines = batch(3)
    results = push(erp, lines[:2])
    adapter = erp.adapter({"lines": JOB_LINES})
    found = adapter.find_posted("lines", {}, [one.key for one in lines])
    assert found == {result.key: result.external_id for result in results}
    assert adapter.find_posted("lines", {}, []) == {}
    adapter.close()


VALUES = st.fixed_dictionaries(
    {
        "amount": st.decimals(0, Decimal("99999999.99"), places=2),
        "hours": st.none()
        | st.decimals(-(10**20), 10**20, places=10).filter(lambda value: value.adjusted() < 28),
        "quantity": st.none() | st.integers(-(2**31), 2**31 - 1),
        "billable": st.none() | st.booleans(),
        "work_date": st.dates(),
        "started": st.none() | st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        "note": st.none()
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
    }
)


@pytest.fixture(scope="module")
def both_ways(erp: Erp) -> Any:
    """An adapter that writes lines and reads them back."""
    columns = JOB_LINES["columns"]
    read = {
        "lookup": f"SELECT {', '.join(columns)} FROM job_line WHERE posting_key = :key",
        "columns": columns,
        "parameters": {"key": "text"},
    }
    adapter = erp.adapter({"lines": JOB_LINES, "line": read})
    yield adapter
    adapter.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=VALUES)
def test_every_value_is_stored_exactly_and_recognised_again(both_ways: Adapter, values: Record) -> None:
    sent = line(uuid4().hex, **values)
    assert statuses(both_ways.push("lines", {}, [sent])) == [WRITTEN]
    assert both_ways.lookup("line", {"key": sent.key}) == sent.values
    assert statuses(both_ways.push("lines", {}, [sent])) == [PRESENT]
