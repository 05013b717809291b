"""What the comparison prints, from made-up measurements."""

import json

import pytest

from benchmarks.contenders import CONTENDERS, FAN_OUT, SINGLE, Contender
from benchmarks.peers.measuring import Amounts, Measured
from benchmarks.report import Report, Results

OURS = Contender("sluice", "this engine", "benchmarks.own.engine", works=frozenset({SINGLE}))
PEER = Contender("peer", "Some Peer", "benchmarks.peers.some")
ABSENT = Contender("absent", "Absent Peer", "benchmarks.peers.absent", works=frozenset({FAN_OUT}))
AMOUNTS = Amounts(single=3, together=500, fan_outs=(1000,))


@pytest.fixture
def report() -> Report:
    ours = [
        Measured(start=[1], end=[10], together=300, memory=200),
        Measured(start=[1], end=[14], together=90),
    ]
    peer = [
        Measured(start=[2], end=[20], together=100, fan_outs={1000: 58}, memory=100),
        Measured(start=[2], end=[28], together=45, fan_outs={1000: 60}),
    ]
    results = Results(
        {"sluice": [*ours], "peer": [*peer], "absent": [None]},
        {"absent": "It cannot be installed."},
        [2.0, 7.5],
    )
    return Report([OURS, PEER, ABSENT], AMOUNTS, results)


def test_each_work_is_a_table_of_those_that_did_it(report: Report) -> None:
    text = report.text()
    single, fan_out = text.split("\nW2. ")
    assert "W1. One run of three steps: 3 one at a time, then 500 submitted together" in single
    assert "this engine" in single
    assert "Some Peer" in fan_out
    assert "W3" not in text
    assert "Absent Peer" not in text


def test_ratios_stand_in_a_table_of_their_own_in_the_row_of_the_peer(report: Report) -> None:
    single = report.text().split("\nW2. ")[0]
    head, _, *rows = single[single.index("times better than") :].strip().splitlines()
    assert head.endswith("sluice: runs/s  sluice: CPU ms a run")
    assert [row.split() for row in rows] == [["Some", "Peer", "2.00", "2.00", "2.50", "-"]]


def test_without_this_engine_there_are_no_ratios() -> None:
    report = Report([PEER], AMOUNTS, Results({"peer": [Measured(together=10)]}))
    assert "times better" not in report.text()


def test_it_says_what_was_not_measured_and_how_busy_the_machine_was(report: Report) -> None:
    assert report.text().endswith(
        "Most memory of the processes that execute, MB: this engine 200; Some Peer 100.\n"
        "Load of the machine before each turn: 2.0 to 7.5.\n"
        "Not measured: absent. It cannot be installed."
    )


def test_the_document_has_figures_and_ratios(report: Report) -> None:
    document = json.loads(json.dumps(report.document()))
    peer = document["engines"]["peer"]
    assert peer["figures"]["together"] == {"median": 72.5, "low": 45, "high": 100}
    assert peer["ratios"] == {"sluice": {"end_p50": 2.0, "end_p95": 2.0, "together": 2.5}}
    assert document["engines"]["sluice"]["ratios"] == {}
    assert document["failures"] == {"absent": "It cannot be installed."}
    assert document["amounts"]["together"] == 500


def test_nothing_measured_is_no_fault() -> None:
    report = Report([OURS], AMOUNTS, Results({"sluice": []}, {"sluice": "It does not start."}, []))
    assert "Not measured: sluice. It does not start." in report.text()
    assert report.document()["engines"]["sluice"]["figures"] == {}


def test_a_contender_gets_its_share_of_what_makes_sense_for_it() -> None:
    full = Amounts(single=100, together=500, fan_outs=(1000, 5000), waiting=1000, signals=50)
    slow = Contender("slow", "Slow", "benchmarks.peers.slow", share=0.1, fan_out_limit=1000)
    assert slow.amounts(full) == Amounts(single=10, together=50, fan_outs=(1000,), waiting=100, signals=5)
    assert OURS.amounts(full) == Amounts(single=100, together=500)
    assert slow.amounts(Amounts(single=1)) == Amounts(single=1)


def test_contenders_have_names_of_their_own() -> None:
    names = [each.name for each in CONTENDERS]
    assert len(set(names)) == len(names)
    assert [each.name for each in CONTENDERS if each.own] == ["sluice", "sluice-1", "sluice-50"]
