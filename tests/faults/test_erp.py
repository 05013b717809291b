"""The ERP slow, silent, broken off, busy, lying: what the runs say against what its ledger has."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pytest

from activities.contract import Next
from adapters.retry_after import LONGEST_SECONDS
from tests.faults.books import BATCH, Books
from tests.faults.load import Kind, new_load
from tests.faults.tally import Tally
from tests.support.erp_server.faults import Fault, FaultKind, RetryForm
from tests.support.erp_server.hazards import BUSY_SECONDS
from tests.support.world import one_segment
from workflows.states import RunState

FIRST_WAIT = 1
UNKNOWN = {
    "never": Fault(FaultKind.NEVER),
    "never, but written": Fault(FaultKind.NEVER, accepted=True),
    "reset before": Fault(FaultKind.RESET_BEFORE),
    "reset after": Fault(FaultKind.RESET_AFTER),
    "late": Fault(FaultKind.LATE, seconds=0.6),
    "truncated": Fault(FaultKind.TRUNCATED),
    "web page": Fault(FaultKind.WRONG_TYPE),
    "500 after": Fault(FaultKind.FAILED, accepted=True),
    "500 before": Fault(FaultKind.FAILED),
    "504 after": Fault(FaultKind.FAILED, status=504, accepted=True),
}
"""None of these tells whether the request was carried out."""
TOLD = {
    "slow": Fault(FaultKind.SLOW, seconds=0.1),
    "429": Fault(FaultKind.BUSY, status=429),
    "503": Fault(FaultKind.BUSY, status=503),
    "200 with an error": Fault(FaultKind.ERROR_BODY),
    "credentials repeated": Fault(FaultKind.ECHO),
}
"""Of these it is known what was done."""
SEARCHES = [
    Fault(kind, method="GET", status=503)
    for kind in (FaultKind.BUSY, FaultKind.FAILED, FaultKind.RESET_BEFORE, FaultKind.SLOW)
]
"""What befalls searches."""

WAITS = {
    RetryForm.NONE: (FIRST_WAIT, FIRST_WAIT),
    RetryForm.NONSENSE: (FIRST_WAIT, FIRST_WAIT),
    RetryForm.PAST: (FIRST_WAIT, FIRST_WAIT),
    RetryForm.SECONDS: (BUSY_SECONDS, BUSY_SECONDS),
    RetryForm.MILLISECONDS: (BUSY_SECONDS, BUSY_SECONDS),
    RetryForm.DATE: (BUSY_SECONDS - 2, BUSY_SECONDS + 1),
    RetryForm.RESET: (BUSY_SECONDS - 2, BUSY_SECONDS + 1),
    RetryForm.HUGE: (LONGEST_SECONDS, LONGEST_SECONDS),
}
"""The least and the most that a step waits before its next attempt, in seconds."""

KINDS = tuple(Kind)


def of_writes(faults: Iterable[Fault]) -> list[Fault]:
    """The same faults for requests that write; what is lost of a search is searched again."""
    return [replace(fault, method="POST") for fault in faults]


def apart(faults: Iterable[Fault]) -> list[Fault]:
    """The faults one after the other; between any two of them a request passes."""
    passing = Fault(FaultKind.SLOW, seconds=0)
    return [one for fault in faults for one in (passing, fault)]


def by_chance(faults: Sequence[Fault], probability: float) -> list[Fault]:
    """The faults at random, any of them with this probability in all."""
    chance = probability / len(faults)
    return [replace(fault, probability=chance, seed=number) for number, fault in enumerate(faults)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_in_one_run(books: Books, kind: Kind, report: Callable[[Tally], None]) -> None:
    books.erp.faults(*of_writes(apart([*UNKNOWN.values(), *TOLD.values()])))
    struck = len(UNKNOWN | TOLD)
    load, run = books.post(kind, 2 * struck * BATCH)
    found = books.compare(f"ERP: every fault once, {kind}", load, run, struck)
    held = BATCH * len(UNKNOWN) if kind is Kind.NONE else 0
    assert (run.state, found.held) == (RunState.FAILED if held else RunState.SUCCEEDED, held)
    assert (run.failure or {}).get("code") == ("in_doubt" if held else None)
    report(found)


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_to_say_when_to_come_back(
    books: Books, kind: Kind, report: Callable[[Tally], None]
) -> None:
    """One run of one batch, refused again and again; how long it waits each time."""
    asked = [(status, form) for status in (429, 503) for form in RetryForm]
    books.register(attempts=20, factor=1)
    books.erp.faults(*of_writes(Fault(FaultKind.BUSY, status=status, retry=form) for status, form in asked))
    load = new_load(kind, BATCH)
    run = books.start(load)
    for status, form in asked:
        outcome = one_segment(books.world.services, run.id)
        least, most = WAITS[form]
        assert outcome.next is Next.RETRY
        assert least <= outcome.wait_seconds <= most, (status, form)
    assert one_segment(books.world.services, run.id).state is RunState.SUCCEEDED
    report(books.compare(f"ERP: 429 and 503, {kind}", load, run, len(asked)))


@pytest.mark.parametrize("kind", KINDS)
def test_storm(books: Books, kind: Kind, report: Callable[[Tally], None]) -> None:
    """Every third request is struck by something."""
    before = books.erp.state()["faults_taken"]
    faults = [fault for fault in (UNKNOWN | TOLD).values() if fault.kind is not FaultKind.NEVER]
    books.erp.faults(*by_chance(of_writes(faults), 0.3), *by_chance(SEARCHES, 0.05))
    load, run = books.post(kind, 20 * BATCH)
    found = books.compare(f"ERP: storm, {kind}", load, run, books.erp.state()["faults_taken"] - before)
    assert found.injected > 2
    assert run.state is (RunState.FAILED if found.held else RunState.SUCCEEDED), run.failure
    report(found)


@pytest.mark.parametrize("accepted", [False, True])
def test_a_refusal_after_a_doubt_proves_nothing(
    books: Books, accepted: bool, report: Callable[[Tally], None]
) -> None:
    """The period was closed between the two calls: whether the first one was accepted, nobody has said."""
    unknown = Fault(FaultKind.FAILED, method="POST", accepted=accepted)
    books.erp.faults(unknown, Fault(FaultKind.ERROR_BODY, method="POST", probability=1.0))
    load, run = books.post(Kind.NATIVE, BATCH)
    found = books.compare("ERP: refusal after a doubt", load, run, 2)
    assert (run.state, (run.failure or {}).get("code")) == (RunState.FAILED, "in_doubt")
    assert (found.held, found.refused) == (BATCH, 0)
    report(found)


@pytest.mark.parametrize("kind", KINDS)
def test_an_erp_that_never_answers_again(books: Books, kind: Kind, report: Callable[[Tally], None]) -> None:
    """The attempts end some time; then every record is held where people see it."""
    books.register(attempts=2)
    books.erp.faults(Fault(FaultKind.NEVER, method="POST", probability=1.0, accepted=True))
    load, run = books.post(kind, 3 * BATCH)
    assert run.state is RunState.FAILED
    counts = books.world.tasks(run.id)["post"].counts or {}
    posted = BATCH if kind is Kind.LOOKUP else 0  # found there: the ERP does write, it only never says so
    assert (counts["held"], counts["posted"], counts["waiting"]) == (3 * BATCH - posted, posted, 0)
    report(books.compare(f"ERP: silent for good, {kind}", load, run, 1))
