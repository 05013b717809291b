"""The pages say what the code does: reference, links, commands, codes, words and examples."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from adapters.contract import Connector, Operation
from adapters.registry import describe, systems
from docs import generate
from docs.sections.connectors import examples
from docs.sections.errors import classes
from docs.sections.meanings import MEANINGS
from kernel.errors import error_classes
from kernel.settings import SETTINGS
from workflows.catalogue import VersionInfo
from workflows.deciding import Standing
from workflows.document import read_document
from workflows.model import Workflow
from workflows.sql import SqlEngine
from workflows.validation import validate

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
ADAPTER_PAGES = sorted((ROOT / "adapters").rglob("README.md"))
CORE = ("kernel", "workflows", "store", "activities", "commands", "triggers")

WORDS = (
    "Workflow", "Version", "Step", "WorkflowRun", "TaskRun", "ChunkRun", "Attempt", "Verb", "PipelineContext",
    "Segment", "Connector", "Adapter", "Approval", "Decision", "Approval link", "Posting", "Posting ledger",
    "Schedule", "Firing", "Business object", "Environment", "Dead letter",
)  # fmt: skip


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def fenced(text: str, kind: str) -> Iterator[str]:
    """The contents of code blocks that begin with exactly this word or words."""
    yield from re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def prose(text: str) -> str:
    """The page without its code blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def flat(text: str) -> str:
    """The text without line breaks, as a reader takes it in."""
    return " ".join(text.split())


# Reference --------------------------------------------------------------------------------------------------


def test_the_reference_is_up_to_date() -> None:
    wrong = [named(path) for path in generate.outdated()]
    assert wrong == [], "run `.venv/bin/python -m docs.generate` and commit what it changes"


def test_a_page_that_was_changed_by_hand_is_noticed() -> None:
    page = "<!-- made: columns -->\n\nwritten by hand\n\n<!-- end -->"
    assert "written by hand" not in generate.filled(page)
    assert "timestamp_text" in generate.filled(page)


def test_every_explained_key_exists() -> None:
    said = "\n".join(path.read_text() for path in (DOCS / "reference").glob("*.md"))
    assert [key for key, meaning in MEANINGS.items() if meaning.replace("|", r"\|") not in said] == []


def test_every_setting_is_documented() -> None:
    page = (DOCS / "reference" / "settings.md").read_text()
    assert [setting.name for setting in SETTINGS if f"`{setting.name}`" not in page] == []


def test_the_example_settings_are_those_that_are_documented() -> None:
    values = json.loads((ROOT / "local.settings.json.example").read_text())["Values"]
    page = (DOCS / "reference" / "settings.md").read_text()
    assert [name for name in values if f"`{name}`" not in page] == []


def test_every_error_code_is_documented() -> None:
    page = (DOCS / "reference" / "errors.md").read_text()
    assert [kind.code for kind in classes() if f"| `{kind.code}` |" not in page] == []
    assert {kind.__name__ for kind in error_classes() if kind.__module__ == "kernel.errors"} - {
        "SluiceError"
    } == {kind.__name__ for kind in classes()}


def test_every_system_type_is_documented() -> None:
    page = (DOCS / "reference" / "connectors.md").read_text()
    assert set(systems()) == set(examples()), "each system type needs a connector that shows it"
    assert [system for system in systems() if f"| `{system}` |" not in page] == []


# Fault codes ------------------------------------------------------------------------------------------------

# Where the code stands among the arguments of what makes a fault.
CODE_POSITION: Mapping[str, int] = {"Fault": 0, "fault": 1, "unreadable": 1}
# Codes that are put together or handed on: told in words on the page, or found where they are written.
NOT_LITERAL = {
    "code", "fault.code", "f'schema_{keyword.lower()}'", "e['type']", "item['type']", "standing.value",
}  # fmt: skip


def literals(node: ast.expr) -> Iterator[str]:
    """The texts an expression can give; `?` and its source for what cannot be told."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from literals(node.body)
        yield from literals(node.orelse)
    else:
        yield f"?{ast.unparse(node)}"


def fault_codes(tree: ast.AST) -> Iterator[str]:
    """Codes given to what makes a fault, directly or by a local variable `code`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from called_codes(node)
        elif isinstance(node, ast.FunctionDef):
            yield from assigned_codes(node)


def assigned_codes(function: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["code"]:
            yield from (code for code in literals(node.value) if re.fullmatch("[a-z_]+", code))


def called_codes(call: ast.Call) -> Iterator[str]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    position = CODE_POSITION.get(name)
    if position is None:
        return
    given = [keyword.value for keyword in call.keywords if keyword.arg == "code"]
    given += [argument for argument in call.args[position : position + 1] if not given]
    for argument in given:
        yield from literals(argument)


def codes_in(files: Iterable[Path]) -> set[str]:
    return {code for path in files for code in fault_codes(ast.parse(path.read_text()))}


def codes_below(folder: Path) -> set[str]:
    return codes_in(folder.rglob("*.py"))


def literal(codes: set[str]) -> set[str]:
    return {code for code in codes if not code.startswith("?")}


FAULTS_PAGE = (DOCS / "reference" / "faults.md").read_text()
DOCUMENTED = set(re.findall(r"^\| `([a-z_]+)` \|", FAULTS_PAGE, re.MULTILINE))


def test_every_fault_code_is_documented_and_no_other() -> None:
    """Those of single adapters may stand on the adapter's own page: see the next test."""
    core = set().union(*(codes_below(ROOT / top) for top in CORE), codes_in((ROOT / "adapters").glob("*.py")))
    adapters = set().union(*(codes_below(page.parent) for page in ADAPTER_PAGES))
    assert (core | adapters) - literal(core | adapters) == {f"?{text}" for text in NOT_LITERAL}
    assert literal(core) - DOCUMENTED == set()
    refusing = {standing.value for standing in Standing if standing is not Standing.MAY_DECIDE}
    assert refusing - DOCUMENTED == set()
    assert DOCUMENTED - literal(core | adapters) - refusing == set()


@pytest.mark.parametrize("page", ADAPTER_PAGES, ids=named)
def test_every_fault_code_of_an_adapter_is_documented(page: Path) -> None:
    """In the reference, or on the adapter's own page."""
    own = set(re.findall(r"`([a-z_]+)`", page.read_text()))
    assert literal(codes_below(page.parent)) - DOCUMENTED - own == set()


@pytest.mark.parametrize(
    "program",
    [
        'Fault("new_code", "Said.")',
        'Fault(code="new_code", message="Said.")',
        'self.document.fault(path, "new_code", "Said.")',
        'unreadable(what, "new_code", "Said.")',
        'def check():\n    code = "new_code" if late else "other"',
    ],
)
def test_a_new_fault_code_would_be_noticed(program: str) -> None:
    assert "new_code" in set(fault_codes(ast.parse(program)))


# Links and commands -----------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """The anchors that headings get."""
    titles = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page: Path, text: str) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        linked = (page.parent / place).resolve() if place else page
        if not linked.exists() or (anchor and anchor not in anchors(linked.read_text())):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert list(broken_links(page, page.read_text())) == []


@pytest.mark.parametrize("link", ["no-such.md", "glossary.md#no-such-heading", "#nowhere"])
def test_a_broken_link_would_be_noticed(link: str) -> None:
    assert list(broken_links(DOCS / "index.md", f"[there]({link})")) == [link]


def test_every_page_can_be_found_from_the_index() -> None:
    linked = {DOCS / "index.md"}
    waiting = [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        targets = re.findall(r"\]\(([^)\s#]+\.md)", page.read_text())
        new = {(page.parent / target).resolve() for target in targets} - linked
        waiting += [path for path in new if DOCS in path.parents]
        linked |= new
    assert [named(page) for page in DOCS.rglob("*.md") if page not in linked] == []


def output(*command: str) -> str:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def mentioned(pattern: str) -> set[str]:
    return {found for page in PAGES for found in re.findall(pattern, page.read_text())}


def test_every_launcher_command_exists() -> None:
    known = set(re.findall(r"^  (\w+) ", output("dev.py", "--help"), re.MULTILINE))
    assert mentioned(r"python3 dev\.py (\w+)") <= known


def test_every_option_of_the_demo_and_of_start_exists() -> None:
    for command, program in (("demo", "demo"), ("start", "up")):
        known = set(re.findall(r"--[\w-]+", output("-m", "localhost", program, "--help")))
        lines = mentioned(rf"python3 dev\.py {command}((?: [^\s`]+)*)")
        assert {word for line in lines for word in line.split() if word.startswith("--")} <= known, command


def test_every_module_that_is_to_be_run_exists() -> None:
    ours = {
        name for name in mentioned(r"python3? -m ([\w.]+)") if name.split(".")[0] in ("docs", "localhost")
    }
    assert [name for name in ours if not (ROOT / (name.replace(".", "/") + ".py")).exists()] == []


# Words and examples -----------------------------------------------------------------------------------------


def test_the_glossary_has_every_word_and_no_other() -> None:
    page = (DOCS / "glossary.md").read_text()
    assert re.findall(r"^- \*\*(.+?)\*\*: ", page, re.MULTILINE) == list(WORDS)


class ExampleCatalogue:
    """The connectors and object types of the examples, and the workflows of examples and pages."""

    def connectors(self) -> Sequence[str]:
        return sorted(path.stem for path in (EXAMPLES / "connectors").glob("*.json"))

    def operations(self, connector: str) -> Mapping[str, Operation]:
        given = json.loads((EXAMPLES / "connectors" / f"{connector}.json").read_text())
        return describe(Connector(connector, **given))

    def object_types(self) -> Mapping[str, Mapping[str, Any]]:
        found = (EXAMPLES / "object_types").glob("*.json")
        return {path.stem: json.loads(path.read_text())["schema"] for path in found}

    def workflows(self) -> Sequence[str]:
        return sorted(shown_workflows())

    def workflow(self, key: str, _number: int | None = None) -> VersionInfo | None:
        text = shown_workflows().get(key)
        if text is None:
            return None
        return VersionInfo(Workflow.model_validate(read_document(text).data), 1, "0" * 64)


@cache
def shown_workflows() -> Mapping[str, str]:
    """The sound definitions of examples and pages, by key."""
    texts = [path.read_text() for path in EXAMPLES.glob("*.yaml")]
    texts += [text for page in PAGES for text in fenced(page.read_text(), "yaml")]
    found = (text for text in texts if re.search("^workflow:", text, re.MULTILINE))
    return {read_document(text).data["workflow"]: text for text in found}


def definitions(kind: str) -> list[Any]:
    """Workflow definitions in code blocks of a kind, with their page."""
    return [
        pytest.param(page, text, id=f"{named(page)}-{number}")
        for page in PAGES
        for number, text in enumerate(fenced(page.read_text(), kind))
        if text.startswith("workflow:")
    ]


@pytest.mark.parametrize(("page", "text"), definitions("yaml"))
def test_every_workflow_on_the_pages_is_valid(page: Path, text: str) -> None:
    assert [str(fault) for fault in validate(text, ExampleCatalogue(), SqlEngine()).faults] == []


@pytest.mark.parametrize(("page", "text"), definitions("yaml invalid"))
def test_the_faults_of_a_faulty_workflow_are_those_on_its_page(page: Path, text: str) -> None:
    faults = validate(text, ExampleCatalogue(), SqlEngine()).faults
    rows = [f"| {fault.line} | {fault.message} {fault.hint}".strip() + " |" for fault in faults]
    assert rows
    assert [row for row in rows if row not in page.read_text()] == []


def blocks(kind: str) -> list[Any]:
    found = ((page, text) for page in PAGES for text in fenced(page.read_text(), kind))
    return [pytest.param(text, id=f"{named(page)}-{number}") for number, (page, text) in enumerate(found)]


@pytest.mark.parametrize("text", blocks("yaml"))
def test_every_yaml_block_can_be_read(text: str) -> None:
    assert read_document(text).faults == []


@pytest.mark.parametrize("text", [block for block in blocks("json") if block.values[0].startswith("{")])
def test_every_json_block_can_be_read(text: str) -> None:
    assert isinstance(json.loads(text), dict)


def test_what_the_readme_prints_adds_up() -> None:
    page = flat((ROOT / "README.md").read_text())
    for number in ("5,149", "4,233 (5505.45 h)", "133 (4784.90 h)", "10290.35", "289894.88"):
        assert number in page
