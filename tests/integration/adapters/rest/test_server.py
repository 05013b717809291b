"""The ERP server keeps its word: what it answered is in its ledger, whatever happens to it."""

from pathlib import Path

from tests.support.erp_server.client import ErpServer
from tests.support.erp_server.faults import Fault, FaultKind, Faults, RetryForm
from tests.support.erp_server.ledger import Ledger, read_lines


def test_a_line_that_a_kill_tore_was_never_accepted(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path).append("keyed", "a", {"amount": "1.50"})
    with path.open("a") as file:
        file.write('{"number": 2, "resource": "ke')
    ledger = Ledger(path)
    assert [line.key for line in read_lines(path)] == ["a"]
    assert ledger.append("keyed", "b", {}).number == 2
    assert [line.key for line in read_lines(path)] == ["a", "b"]


def test_a_fault_strikes_as_often_as_asked_and_by_chance_repeatably() -> None:
    counted = Faults()
    counted.add(Fault(FaultKind.SLOW, "keyed", times=2))
    assert [counted.take(name, "POST") is not None for name in ("sink", "keyed", "keyed", "keyed")] == [
        False,
        True,
        True,
        False,
    ]

    def struck(seed: int) -> list[bool]:
        faults = Faults()
        faults.add(Fault(FaultKind.SLOW, probability=0.5, seed=seed))
        return [faults.take("sink", "POST") is not None for _ in range(50)]

    assert struck(1) == struck(1) != struck(2)
    assert 10 < sum(struck(1)) < 40


def test_faults_survive_the_way_to_the_server() -> None:
    fault = Fault(FaultKind.BUSY, "sink", "POST", 3, 0.25, 7, 0.5, 429, RetryForm.DATE, accepted=True)
    assert Fault.from_dict(fault.to_dict()) == fault


def test_it_starts_again_where_it_was(tmp_path: Path) -> None:
    server = ErpServer(tmp_path)
    server.start()
    try:
        url = server.url
        server.kill()
        server.start()
        assert server.url == url
        server.stop()
        assert server.ledger() == []
    finally:
        server.stop()
