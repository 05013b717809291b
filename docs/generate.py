"""Fills the parts of the reference that the code knows best.

A page marks such a part with `<!-- made: NAME ARGUMENT -->` and `<!-- end -->`; the text around it is
written by hand. `python -m docs.generate` fills them all, `--check` says which are out of date.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from docs.sections import actions, connectors, endpoints, errors, models, permissions, settings, states
from workflows.model import Workflow

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
SCHEMA_FILE = REFERENCE / "workflow.schema.json"

SECTIONS: Mapping[str, Callable[..., str]] = {
    "actions": actions.table,
    "bodies": endpoints.bodies,
    "columns": connectors.column_types,
    "common": connectors.common,
    "diagram": states.diagram,
    "endpoints": endpoints.table,
    "errors": errors.table,
    "keys": models.keys,
    "operations": connectors.operations,
    "parameters": connectors.parameters,
    "permissions": permissions.table,
    "roles": permissions.roles,
    "settings": settings.table,
    "systems": connectors.systems,
    "transitions": states.table,
    "verbs": models.verbs,
    "views": endpoints.views,
}
_PART = re.compile(r"(<!-- made: (?P<name>[\w .]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str) -> str:
    """The page with its marked parts made anew. Raises `KeyError` for a part that nothing makes."""

    def part(found: re.Match[str]) -> str:
        name, *arguments = found["name"].split()
        return f"{found[1]}\n{SECTIONS[name](*arguments)}\n\n{found[3]}"

    return _PART.sub(part, page)


def schema() -> str:
    """The JSON Schema of definitions, as the API serves it."""
    return json.dumps(Workflow.model_json_schema(by_alias=True), indent=2) + "\n"


def pages() -> Iterator[tuple[Path, str]]:
    """Every file of the reference with the text it should have."""
    for path in sorted(REFERENCE.glob("*.md")):
        yield path, filled(path.read_text())
    yield SCHEMA_FILE, schema()


def outdated() -> dict[Path, str]:
    """The files that do not say what the code says, with what they should say."""
    return {path: text for path, text in pages() if not path.exists() or path.read_text() != text}


def main(argv: list[str]) -> int:
    """Write the reference; with `--check` only compare, and answer 1 when something is out of date."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; say what is out of date")
    options = parser.parse_args(argv)
    wrong = outdated()
    for path, text in wrong.items():
        print(f"{'out of date' if options.check else 'written'}: {path.relative_to(ROOT)}")
        if not options.check:
            path.write_text(text)
    return 1 if wrong and options.check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
