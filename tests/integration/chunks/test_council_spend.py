"""The example on a council's published payments: every line and penny against the files' control totals."""

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from commands.files import upload_file
from store.runs import RunRow
from tests.support.world import ADA, EXAMPLES, World

DATA = EXAMPLES / "data" / "oxford-council-spend"
TOTALS: Mapping[str, Any] = json.loads((DATA / "totals.json").read_text())
HEADER = "Supplier,Date Paid,TRANS_NO,Net Amount,Expenditure Category,Cost Code"
NO_AMOUNT = "The amount is blank, or not a number of pounds with at most two decimals, such as -1,054.11."
NO_SUPPLIER = "The supplier's name is blank."
NO_DATE = "The date of payment is not a day written as dd/mm/yyyy."


@pytest.fixture
def folder() -> str:
    """A folder of the test's own: the storage account is everybody's."""
    return f"council-spend-{uuid4().hex}/"


def upload(world: World, path: str, data: bytes | str) -> None:
    encoded = data.encode() if isinstance(data, str) else data
    upload_file(world.deployment, path, encoded, ADA, overwrite=False)


def run_on(world: World, folder: str, files: Mapping[str, bytes | str]) -> RunRow:
    """The finished run of the example over these files."""
    world.publish((EXAMPLES / "council_spend.yaml").read_text())
    for name, data in files.items():
        upload(world, folder + name, data)
    return world.finish(world.start("council-spend", folder=folder))


def published(*names: str) -> dict[str, bytes | str]:
    return {name: (DATA / name).read_bytes() for name in names or TOTALS}


def bare(path: str) -> str:
    """A file's name without its folder."""
    return path.rpartition("/")[2]


def erp(world: World, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(world.erp_url) as connection:
        return connection.execute(query).fetchall()


def letters(world: World, run: RunRow) -> list[tuple[str, set[str]]]:
    """The file of each dead letter and its reasons."""
    rows = world.sql(
        "SELECT chunk.shown->>'path', letter.faults FROM sluice.dead_letter letter"
        " JOIN sluice.chunk_run chunk ON chunk.id = letter.chunk_id WHERE letter.run_id = %s",
        [run.id],
    )
    return [(bare(path), {fault["message"] for fault in faults}) for path, faults in rows]


def file_sum(name: str) -> Decimal:
    return Decimal(next(iter(TOTALS[name]["sums"].values()))["sum"])


def task_measures(world: World, run: RunRow) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Counts and measures of the step `lines` for each file."""
    rows = world.sql(
        "SELECT chunk.shown->>'path', task.counts, task.measures FROM sluice.task_run task"
        " JOIN sluice.chunk_run chunk ON chunk.id = task.chunk_id"
        " WHERE task.run_id = %s AND task.step_key = 'lines'",
        [run.id],
    )
    return {bare(path): (counts, measures) for path, counts, measures in rows}


def original(name: str) -> list[dict[str, str]]:
    """The rows of a file, read with a plain parser."""
    text = (DATA / name).read_bytes().decode()
    rows = csv.DictReader(io.StringIO(text, newline=""))
    return [{key.lower().replace("_", " "): cell for key, cell in row.items()} for row in rows]


def blank_amounts(name: str) -> Decimal:
    """What the rows of a file without a supplier add up to."""
    amounts = (row["amount"] or "0" for row in original(name) if not row["supplier name"].strip())
    return sum(map(Decimal, amounts), Decimal())


def test_every_file_is_staged_to_the_penny(world: World, folder: str) -> None:
    """Staged and rejected lines are those of each file; the suppliers add up to what was staged."""
    run = run_on(world, folder, published())
    assert run.state == "SUCCEEDED", run.failure
    by_file = erp(world, "SELECT file, count(*), sum(amount) FROM council_spend_line GROUP BY 1")
    staged = {bare(file): (lines, amount) for file, lines, amount in by_file}
    rejected = Counter(file for file, _ in letters(world, run))
    measured = task_measures(world, run)
    assert set(staged) == set(measured) == set(TOTALS)
    for name, said in TOTALS.items():
        lines, amount = staged[name]
        assert lines + rejected[name] == said["rows"]
        assert amount + blank_amounts(name) == file_sum(name)
        counts, measures = measured[name]
        assert (counts["records"], counts["rejected"]) == (said["rows"], rejected[name])
        total = measures["amount"]
        assert Decimal(total["total"]) == file_sum(name)
        assert Decimal(total["total"]) - Decimal(total["rejected"]) == amount
    assert sum(lines for lines, _ in staged.values()) + rejected.total() == 11_396
    whole = sum(amount for _, amount in staged.values())
    assert whole + sum(map(blank_amounts, TOTALS)) == sum(map(file_sum, TOTALS)) == Decimal("41121490.80")
    suppliers = erp(world, "SELECT count(*), sum(lines), sum(amount) FROM council_supplier")
    distinct = erp(world, "SELECT count(DISTINCT supplier), count(*) FROM council_spend_line")
    assert suppliers == [(*distinct[0], whole)]


def test_what_is_wrong_is_said_and_what_is_missing_stays_missing(world: World, folder: str) -> None:
    """The quarter without dates gets none; rows without a supplier are dead letters."""
    run = run_on(world, folder, published())
    said = letters(world, run)
    assert Counter(file for file, _ in said) == {
        "expenditure-over-500-apr-jun-2016.csv": 80, "expenditure-over-500-jan-mar-2014.csv": 1,
    }  # fmt: skip
    reasons = Counter(frozenset(reasons) for _, reasons in said)
    assert reasons == {frozenset({NO_SUPPLIER}): 80, frozenset({NO_SUPPLIER, NO_AMOUNT}): 1}
    undated = erp(world, "SELECT DISTINCT file FROM council_spend_line WHERE paid_date IS NULL")
    assert undated == [(folder + "expenditure-over-500-apr-jun-2014.csv",)]
    assert erp(world, "SELECT count(paid_date) FROM council_spend_line WHERE file LIKE '%apr-jun-2014%'")[
        0
    ] == (0,)
    days = erp(world, "SELECT to_char(paid_date, 'DD/MM/YYYY') FROM council_spend_line"
                      " WHERE file LIKE '%jan-mar-2017%' ORDER BY line")  # fmt: skip
    assert days == [(row["paid date"],) for row in original("expenditure-over-500-jan-mar-2017.csv")]
    loose = erp(world, "SELECT count(*) FROM council_spend_line WHERE supplier_name <> trim(supplier_name)"
                       " OR code <> trim(code) OR supplier <> upper(supplier)")  # fmt: skip
    assert loose == [(0,)]


def test_a_second_run_writes_nothing_new(world: World, folder: str) -> None:
    """The same files again, and the same suppliers."""
    everything = "SELECT (SELECT json_agg(l ORDER BY line_id) FROM council_spend_line l)::text," \
                 " (SELECT json_agg(s ORDER BY summary_id) FROM council_supplier s)::text"  # fmt: skip
    first = run_on(world, folder, published("expenditure-over-500-jan-mar-2017.csv"))
    assert first.state == "SUCCEEDED", first.failure
    before = erp(world, everything)
    again = world.finish(world.start("council-spend", folder=folder))
    assert again.state == "SUCCEEDED", again.failure
    assert erp(world, everything) == before
    records = [line for line in again.totals or [] if line["measure"] == "records"]
    assert {(line["posted"], line["rejected"], line["held"]) for line in records} == {("0", "0", "0")}
    suppliers = erp(world, "SELECT count(*) FROM council_supplier")[0][0]
    assert sorted(int(line["already_posted"]) for line in records) == [suppliers, 2_919]


def test_another_quarter_with_another_header_and_all_kinds_of_dirt(world: World, folder: str) -> None:
    """Headers in other words, order and case; nothing is rounded, guessed or taken from a name."""
    rows = [
        '  Acme   Ltd. ,07/02/2017,T1,"£1,054.11",Rent, K1 ',
        "ACME LTD,,T2,-54.1,Rent,K1",
        "Acme Ltd,07/02/2017 00:00:00,T3,500.000,Rent,K1",
        "Acme Ltd,31/02/2017,T4,1.00,Rent,K1",
        "Acme Ltd,07/02/2017,T5,1.005,Rent,K1",
        'Acme Ltd,07/02/2017,T6,"1,5",Rent,K1',
        "Acme Ltd,07/02/2017,T7,n/a,Rent,K1",
        " ,07/02/2017,T8,7.00,Rent,K1",
        ",,,,,",
        "Acme Ltd,07/02/17,T9,1.00,Rent,K1",
    ]
    run = run_on(world, folder, {"quarter.csv": "\r\n".join([HEADER, *rows]) + "\r\n"})
    assert run.state == "SUCCEEDED", run.failure
    columns = "line, supplier, paid_date::text, amount, code, body"
    lines = erp(world, f"SELECT {columns} FROM council_spend_line ORDER BY 1")
    assert lines == [
        (2, "ACME LTD", "2017-02-07", Decimal("1054.11"), "K1", None),
        (3, "ACME LTD", None, Decimal("-54.10"), "K1", None),
        (4, "ACME LTD", "2017-02-07", Decimal("500.00"), "K1", None),
    ]
    suppliers = erp(world, "SELECT supplier, lines, amount FROM council_supplier")
    assert suppliers == [("ACME LTD", 3, Decimal("1500.01"))]
    assert Counter(frozenset(reasons) for _, reasons in letters(world, run)) == {
        frozenset({NO_DATE}): 2,
        frozenset({NO_AMOUNT}): 3,
        frozenset({NO_SUPPLIER}): 1,
        frozenset({"The row is empty.", NO_SUPPLIER, NO_AMOUNT}): 1,
    }


def test_a_file_that_cannot_be_read_leaves_the_others_alone(world: World, folder: str) -> None:
    """Its chunk fails by name, the good file is staged, and no supplier is summed up."""
    good = f"{HEADER}\r\nAcme Ltd,07/02/2017,T1,10,Rent,K1\r\n"
    run = run_on(world, folder, {"good.csv": good, "bad.csv": good.replace("Net Amount", "Worth")})
    assert run.state == "FAILED"
    assert run.failure is not None
    assert "1 of 2 chunks" in run.failure["message"]
    assert folder + "bad.csv" in str(run.failure["faults"])
    assert erp(world, "SELECT file FROM council_spend_line") == [(folder + "good.csv",)]
    assert erp(world, "SELECT count(*) FROM council_supplier") == [(0,)]


def test_a_new_quarter_adds_to_its_suppliers(world: World, folder: str) -> None:
    """A summary that changed is a new line; the old one stays."""
    rows = "Acme Ltd,07/02/2017,T1,10,Rent,K1\nBest Ltd,07/02/2017,T2,1,Rent,K1\n"
    run_on(world, folder, {"one.csv": f"{HEADER}\n{rows}"})
    upload(world, folder + "two.csv", f"{HEADER}\nACME LTD,07/05/2017,T3,5.50,Rent,K1\n")
    run = world.finish(world.start("council-spend", folder=folder))
    assert run.state == "SUCCEEDED", run.failure
    found = erp(world, "SELECT supplier, lines, amount::text FROM council_supplier ORDER BY 1, 2")
    assert found == [("ACME LTD", 1, "10.00"), ("ACME LTD", 2, "15.50"), ("BEST LTD", 1, "1.00")]
