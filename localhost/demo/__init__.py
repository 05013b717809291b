"""`python3 dev.py demo`: real labour records from a file, through policy, past a person who is asked by mail,
into a ledger, exactly once."""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from rich.console import Console

from kernel.errors import SluiceError
from localhost.demo.approver import Approver
from localhost.demo.client import Api, RequestRefused
from localhost.demo.follow import follow
from localhost.demo.report import failed_before_run, failure_text, show, summary
from localhost.session import Session

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "data" / "purchasing-worklog" / "PurchasingExample.csv"
WORKFLOW = "labour-costs"
RUN_FAILED, STOPPED = 6, 1


def main(argv: list[str]) -> int:
    """Run the demo; exit code 0 when the run SUCCEEDED, 6 when it FAILED, 1 when there was none."""
    options = _parser().parse_args(argv)
    console = Console(stderr=True)
    try:
        return _demo(options, console)
    except SluiceError as exc:
        faults = [fault.to_dict() for fault in exc.faults]
        result = failed_before_run(exc.message, faults)
        console.print(failure_text(result["failure"]), markup=False, soft_wrap=True)
        _finish(options, result)
        return STOPPED
    except KeyboardInterrupt:
        console.print("Interrupted.")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py demo", description=__doc__)
    parser.add_argument(
        "--input", type=Path, default=EXAMPLE, metavar="FILE", help="another CSV or XLSX work log"
    )
    parser.add_argument("--limit", metavar="AMOUNT", help="deny the batch when one line is above this amount")
    parser.add_argument("--deny", action="store_true", help="reject the batch when people are asked")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    parser.add_argument("--again", action="store_true", help="the same file a second time: nothing is new")
    parser.add_argument("--keep", action="store_true", help="leave everything running and print the URLs")
    parser.add_argument("--stop", action="store_true", help="stop what --keep left running, and nothing else")
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=ROOT / ".sluice",
        metavar="DIR",
        help="where the demo keeps its data",
    )
    parser.add_argument("--port", type=int, default=0, help="port of the API (default: a free one)")
    return parser


def _demo(options: argparse.Namespace, console: Console) -> int:
    if options.stop:
        with Session(ROOT, options.state_dir, _teller(console)) as session:
            session.stop()
        return 0
    data = _read(options.input)
    with Session(ROOT, options.state_dir, _teller(console), keep=options.keep) as session:
        base_url = session.start(options.port)
        api = Api(base_url)
        approver = Approver(base_url, session.addresses()["inbox"], api, _teller(console))
        try:
            register_examples(api, session)
            console.print("[dim]Uploading the work log[/]")
            name = api.upload(_blob_name(options.input, data), data)["name"]
            run = _run(api, name, options, console, approver)
            if options.again and run["state"] == "SUCCEEDED" and _posted(run):
                console.print("[dim]The same file again[/]")
                run = _run(api, name, options, console, approver)
        finally:
            approver.close()
            api.close()
        kept: dict[str, Any] = {"approvals": approver.decided}
        if options.keep:
            kept["addresses"] = session.addresses()
            session.print_addresses(console)
            console.print("Stop it all with: python3 dev.py demo --stop")
        _present(options, run, kept, console)
        return 0 if run["state"] == "SUCCEEDED" else RUN_FAILED


def _teller(console: Console) -> Callable[[str], None]:
    return lambda text: console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)


def register_examples(api: Api, session: Session) -> None:
    """Register the example connectors and type, and publish the example workflow."""
    session.progress("Registering the example connectors and publishing the workflow")
    examples = ROOT / "examples"
    for path in sorted((examples / "connectors").glob("*.json")):
        connector = json.loads(path.read_text())
        if path.stem == "erp":
            connector["settings"] |= session.erp_address()
        api.save_connector(path.stem, connector)
    for path in sorted((examples / "object_types").glob("*.json")):
        api.save_object_type(path.stem, json.loads(path.read_text()))
    api.publish((examples / "labour_costs.yaml").read_text())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise RequestRefused(f"The file {path} cannot be read: {exc.strerror}. Check --input.") from exc


def _blob_name(path: Path, data: bytes) -> str:
    """A name of its own for each content, so that an upload never meets other bytes."""
    safe = re.sub(r"[^\w.-]", "_", path.name)
    return f"worklogs/{hashlib.sha256(data).hexdigest()[:16]}/{safe}"


def _run(
    api: Api, name: str, options: argparse.Namespace, console: Console, approver: Approver
) -> dict[str, Any]:
    inputs = {"file": name, **({"line_limit": options.limit} if options.limit else {})}
    for left in api.left_open(WORKFLOW):
        console.print(f"[dim]The run {left} of an earlier demo goes on[/]")
        _to_its_end(api, left, options, console, approver)
    started = api.start(WORKFLOW, inputs, str(uuid4()))
    return _to_its_end(api, started["id"], options, console, approver)


def _to_its_end(
    api: Api, run_id: str, options: argparse.Namespace, console: Console, approver: Approver
) -> dict[str, Any]:
    seen: dict[str, str] = {}
    run = follow(api, run_id, console, seen)
    while run["state"] == "SUSPENDED":
        console.print("[dim]The run waits for approval[/]")
        approver.decide(run_id, deny=options.deny)
        run = follow(api, run_id, console, seen)
    return run


def _posted(run: dict[str, Any]) -> bool:
    return bool(summary(run)["posted"])


def _present(
    options: argparse.Namespace, run: dict[str, Any], kept: dict[str, Any], console: Console
) -> None:
    if not options.json:
        show(Console(), run)
    elif run["failure"]:
        console.print(failure_text(run["failure"]), markup=False, soft_wrap=True)
    _finish(options, summary(run) | kept)


def _finish(options: argparse.Namespace, result: dict[str, Any]) -> None:
    if options.json:
        print(json.dumps(result))
        sys.stdout.flush()
