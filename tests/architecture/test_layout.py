"""The shape of the code base: what stands where, how large it may be, and who may know of whom."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = (
    "kernel",
    "workflows",
    "store",
    "adapters",
    "activities",
    "orchestrators",
    "commands",
    "triggers",
    "console",
    "localhost",
)
EMPTY = ("activities", "orchestrators", "adapters", "commands", "triggers")
COMPOSITION_ROOT = ROOT / "function_app.py"
MODULE_LINES = 400
FUNCTION_LINES, FUNCTION_LINES_95TH, FUNCTION_LINES_MEDIAN = 60, 40, 10


def modules(*folders: str) -> list[Path]:
    """The Python files below these folders."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def product() -> list[Path]:
    return [COMPOSITION_ROOT, *modules(*PRODUCT)]


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def code_lines(source: str) -> int:
    """Lines that are neither blank, nor only a comment, nor the module's docstring."""
    body = ast.parse(source).body
    documented = bool(body) and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    docstring = set(range(body[0].lineno, (body[0].end_lineno or 0) + 1)) if documented else set()
    lines = enumerate(source.splitlines(), 1)
    return sum(
        1 for number, line in lines if number not in docstring and line.strip() and line.strip()[0] != "#"
    )


# The composition root -------------------------------------------------------------------------------


def test_the_composition_root_is_short_and_decides_nothing() -> None:
    assert code_lines(COMPOSITION_ROOT.read_text()) < 60
    assert list(decisions(tree(COMPOSITION_ROOT))) == []


def decisions(of: ast.AST) -> Iterator[str]:
    """Branches, loops, and SQL."""
    branching = (ast.If, ast.IfExp, ast.Match, ast.For, ast.While, ast.Try)
    for node in ast.walk(of):
        if isinstance(node, branching):
            yield f"line {node.lineno}: {type(node).__name__}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words = node.value.split()
            if words and words[0] in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"):
                yield f"line {node.lineno}: SQL"


@pytest.mark.parametrize(
    "program", ["if x:\n    y()", "y() if x else z()", "for x in y: z()", "run('SELECT 1')"]
)
def test_a_decision_would_be_noticed(program: str) -> None:
    assert list(decisions(ast.parse(program)))


def imported(of: ast.AST) -> Iterator[str]:
    for node in ast.walk(of):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (str(part.value) for part in node.args if isinstance(part, ast.Constant))


def ours() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*.py")):
        if not {".venv", ".sluice", "node_modules", ".hypothesis"} & set(path.relative_to(ROOT).parts):
            yield path


def test_only_the_local_host_and_tests_know_the_composition_root() -> None:
    knowing = {path.relative_to(ROOT).parts[0] for path in ours() if "function_app" in imported(tree(path))}
    assert knowing <= {"localhost", "tests"}


@pytest.mark.parametrize(
    "program",
    ["import function_app", "from function_app import app", "importlib.import_module('function_app')",
     "def f():\n    from function_app import create_app"],
)  # fmt: skip
def test_an_import_of_the_composition_root_would_be_noticed(program: str) -> None:
    assert "function_app" in set(imported(ast.parse(program)))


def test_no_product_code_imports_tests() -> None:
    assert [place(path) for path in product() if "tests" in imported(tree(path))] == []


# Packages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", EMPTY)
def test_importing_a_package_loads_nothing_else(folder: str) -> None:
    """`activities.contract` must not load every activity, nor `adapters.contract` every vendor's library."""
    assert (ROOT / folder / "__init__.py").read_text().strip() == ""


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for path in product()} - {ROOT, ROOT / "store" / "migrations" / "versions"}
    assert [place(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_no_installed_distribution_provides_a_package_of_ours() -> None:
    """The worker's path has all of them side by side: the wrong one would be imported."""
    taken = packages_distributions()
    names = {path.parent.name for path in ROOT.glob("*/__init__.py")} | {"function_app", *PRODUCT}
    names -= {"tests", "docs", "benchmarks"}  # not deployed
    assert {name: taken[name] for name in names if name in taken} == {}
    assert names.isdisjoint(sys.stdlib_module_names)


def test_no_module_is_a_drawer_for_everything() -> None:
    vague = {"utils", "util", "helpers", "helper", "misc", "common", "shared", "base", "core_utils", "tools"}
    names = {path: {path.stem, *path.relative_to(ROOT).parts} for path in [*product(), *modules("tests")]}
    assert [place(path) for path, parts in names.items() if parts & vague] == []


# Size --------------------------------------------------------------------------------------------


def functions(of: ast.AST) -> Iterator[tuple[int, str, int]]:
    """Length in lines, name, first line."""
    for node in ast.walk(of):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1, node.name, node.lineno


def test_modules_are_short() -> None:
    lines = {place(path): len(path.read_text().splitlines()) for path in product()}
    assert {name: count for name, count in lines.items() if count >= MODULE_LINES} == {}


def test_functions_are_short() -> None:
    lengths = sorted(length for path in product() for length, _, _ in functions(tree(path)))
    assert len(lengths) > 500
    assert median(lengths) <= FUNCTION_LINES_MEDIAN
    assert lengths[int(len(lengths) * 0.95)] <= FUNCTION_LINES_95TH
    long = [
        f"{place(path)}:{line} {name} has {length} lines"
        for path in product()
        for length, name, line in functions(tree(path))
        if length >= FUNCTION_LINES
    ]
    assert long == []


def test_lengths_are_counted_from_the_first_line_to_the_last() -> None:
    program = "def f():\n    pass\n\nclass A:\n    async def g(self):\n        x = 1\n        def h(): pass\n"
    assert sorted(functions(ast.parse(program))) == [(1, "h", 7), (2, "f", 1), (3, "g", 5)]
    assert code_lines('"""Said\n\nmore."""\n\n# why\nx = 1\n') == 1


# State -------------------------------------------------------------------------------------------


def test_no_function_rebinds_a_global() -> None:
    wrong = [
        f"{place(path)}:{node.lineno}"
        for path in product()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Global)
    ]
    assert wrong == []
