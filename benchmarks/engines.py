"""The same work on this engine and on others: single runs (W1), fan-out (W2), waiting for a signal (W3).

    python -m benchmarks.engines [--rounds N] [--only NAME,...] [--work W1,...] [--quick] [--json]

All use one PostgreSQL server with durable commits, each a database of its own, and write to the same kind of
sink, which is checked row by row. Engines take turns, each alone in processes of its own, so that a busy
machine is unfair to all alike: compare the columns, not the numbers with those of another day.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import dev
from benchmarks.contenders import ALL, CONTENDERS, FAN_OUT, SIGNAL, SINGLE, Contender
from benchmarks.peers.measuring import Amounts
from benchmarks.report import Report, Results
from benchmarks.rounds import CannotRun, own_python, play
from localhost.services.stack import Stack
from tests.support.services import session_stack

FULL = Amounts(single=100, together=500, fan_outs=(1000, 5000), waiting=1000, signals=50)
QUICK = Amounts(single=30, together=100, fan_outs=(200,), waiting=100, signals=20)
LIMIT_SECONDS = 1800.0


def main(argv: list[str]) -> int:
    """Measure, print; exit code 1 when this engine could not be measured. Peers may be missing."""
    options = _parser().parse_args(argv)
    amounts = _amounts(QUICK if options.quick else FULL, options.work)
    contenders = [each for each in options.only or CONTENDERS if each.amounts(amounts) != Amounts()]
    rounds = options.rounds or (1 if options.quick else 3)
    report = Report(contenders, amounts, _measure(contenders, amounts, rounds))
    print(json.dumps(report.document()) if options.json else report.text())
    failed = {name.partition(" ")[0] for name in report.results.failures}
    return 1 if any(each.own and each.name in failed for each in contenders) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dev.py bench engines", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(each.name for each in CONTENDERS)
    parser.add_argument(
        "--rounds", type=_positive, metavar="N", help="how often each engine's turn comes (3; quick: 1)"
    )
    parser.add_argument("--only", type=_contenders, metavar="NAME,...", help=f"some of: {names}")
    parser.add_argument("--work", type=_works, default=ALL, metavar="W1,...", help="some of W1, W2, W3")
    parser.add_argument(
        "--quick", action="store_true", help="a small part of the work, once: to see that it runs"
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("use a whole number above 0")
    return number


def _contenders(text: str) -> list[Contender]:
    known = {each.name: each for each in CONTENDERS}
    unknown = [name for name in text.split(",") if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no {unknown[0]!r}; there are {', '.join(known)}")
    return [each for each in CONTENDERS if each.name in text.split(",")]


def _works(text: str) -> frozenset[str]:
    works = frozenset(text.upper().split(","))
    if not works <= ALL:
        raise argparse.ArgumentTypeError(f"use some of {', '.join(sorted(ALL))}")
    return works


def _amounts(full: Amounts, works: frozenset[str]) -> Amounts:
    """Only what the works need."""
    if SINGLE not in works:
        full = replace(full, single=0, together=0)
    if FAN_OUT not in works:
        full = replace(full, fan_outs=())
    if SIGNAL not in works:
        full = replace(full, waiting=0, signals=0)
    return full


def _measure(contenders: Sequence[Contender], amounts: Amounts, rounds: int) -> Results:
    results = Results({each.name: [] for each in contenders})
    peers = _peers_python(contenders, results)
    with session_stack() as stack:
        for number in range(1, rounds + 1):
            for contender in contenders:
                if contender.name not in results.failures:
                    _tell(f"round {number} of {rounds}: {contender.title}")
                    _turn(stack, contender, amounts, own_python() if contender.own else peers, results)
    return results


def _peers_python(contenders: Sequence[Contender], results: Results) -> Path:
    """The environment of the peers, made or brought up to date now. Without it this engine is alone."""
    place = dev.STATE / "peers"
    others = [each for each in contenders if not each.own]
    try:
        return dev.environment_python(place, "requirements-peers.txt") if others else place
    except (dev.Failure, OSError) as exc:
        _tell(str(exc))
        results.failures.update({each.name: f"The peers cannot be installed: {exc}" for each in others})
        return place


def _turn(stack: Stack, contender: Contender, amounts: Amounts, python: Path, results: Results) -> None:
    results.loads.append(os.getloadavg()[0])
    try:
        measured = play(stack, contender, amounts, python, LIMIT_SECONDS)
    except CannotRun as exc:
        _tell(str(exc))
        # The last line of a traceback is the error.
        results.failures[contender.name] = str(exc).splitlines()[-1]
        results.rounds[contender.name].append(None)
    else:
        results.rounds[contender.name].append(measured)
        for work, fault in measured.faults.items():
            _tell(f"{work}: {fault}")
            results.failures[f"{contender.name} {work}"] = fault


def _tell(text: str) -> None:
    """Progress goes to stderr."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
