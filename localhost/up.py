"""`python3 dev.py start`: services, schema, examples and host, in the foreground until Ctrl-C."""

import argparse
import signal
from pathlib import Path

from rich.console import Console

from kernel.errors import SluiceError
from localhost.demo import register_examples
from localhost.demo.client import Api
from localhost.session import Session

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_PORT = 7071


def main(argv: list[str]) -> int:
    """Start everything, say where it is, and wait for an interrupt."""
    parser = argparse.ArgumentParser(prog="dev.py start", description=__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="port of the API (0: a free one)")
    options = parser.parse_args(argv)
    console = Console(stderr=True)
    try:
        with Session(ROOT, ROOT / ".sluice", lambda text: console.print(f"[dim]{text}[/]")) as session:
            _serve(session, options.port, console)
    except SluiceError as exc:
        console.print(str(exc), markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("[dim]Stopped[/]")
    return 0


def _serve(session: Session, port: int, console: Console) -> None:
    api = Api(session.start(port))
    try:
        if not api.workflows():  # what was published here before stays as it is
            register_examples(api, session)
    finally:
        api.close()
    session.print_addresses(console)
    console.print(
        "people    -H 'X-Sluice-Person: ada' says who asks; examples/people.json has the others",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    console.print("Ctrl-C stops it.")
    while True:
        signal.pause()
