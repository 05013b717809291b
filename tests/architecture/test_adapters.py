"""Adapters are made in one place and stay apart."""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import adapters
from adapters import registry
from adapters.contract import Adapter

ROOT = Path(__file__).resolve().parents[2]
FOR_OTHERS = (
    "adapters.contract",
    "adapters.registry",
    "adapters.identity",
    "adapters.comms",
    "adapters.entra_tokens",
)
"""What others may import. Directories of people and channels to them are no connectors."""
NOT_OURS = {".venv", ".sluice", "node_modules", "tests"}


def sources() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*.py")):
        if not NOT_OURS & set(path.relative_to(ROOT).parts):
            yield path


def adapter_classes() -> set[type[Adapter]]:
    found = set()
    for module in pkgutil.walk_packages(adapters.__path__, "adapters."):
        members = vars(importlib.import_module(module.name)).values()
        found |= {member for member in members if inspect.isclass(member) and issubclass(member, Adapter)}
    return {kind for kind in found if not inspect.isabstract(kind)}


def registered() -> dict[str, type[Adapter]]:
    return {system: registry._load(path) for system, path in registry._ADAPTERS.items()}


def test_every_adapter_is_registered_under_its_own_system_type() -> None:
    assert set(registered().values()) == adapter_classes()
    assert all(kind.system == system for system, kind in registered().items())


def test_rules_and_connection_types_lead_to_registered_adapters() -> None:
    assert {rule.system for rule in registry._RULES} <= set(registry.systems())
    assert set(registry._GENERIC.values()) <= set(registry.systems())


def constructions(tree: ast.AST) -> Iterator[str]:
    """Calls of a name that ends in Adapter: `XAdapter(...)`, `module.XAdapter(...)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name.endswith("Adapter"):
                yield name


def imported_modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_nothing_but_the_registry_constructs_or_reaches_adapters() -> None:
    wrong = []
    for path in sources():
        place = path.relative_to(ROOT)
        tree = ast.parse(path.read_text())
        wrong += [f"{place} constructs {name}" for name in constructions(tree)]
        if place.parts[0] != "adapters":
            reached = {name for name in imported_modules(tree) if name.startswith("adapters.")}
            allowed = {name for name in reached if name.startswith(FOR_OTHERS)}
            wrong += [f"{place} imports {name}" for name in sorted(reached - allowed)]
    assert wrong == []


@pytest.mark.parametrize(
    "program", ["FilesAdapter(c, v)", "adapter.SqlAdapter(c, v)", "f(x.y.SqlAdapter(c))"]
)
def test_a_construction_would_be_noticed(program: str) -> None:
    assert list(constructions(ast.parse(program)))


def test_every_adapter_explains_itself() -> None:
    for kind in registered().values():
        page = Path(inspect.getfile(kind)).with_name("README.md").read_text()
        for heading in ("## Settings", "## Operations", "## Errors", "## Limits"):
            assert heading in page, f"{kind.__name__}: {heading}"
        fields = {name for name in kind.settings_model.model_fields if f"`{name}`" not in page}
        assert fields == set(), f"{kind.__name__}: settings not explained"
        secrets = {name for name in kind.secret_names if f"`{name}`" not in page}
        assert secrets == set(), f"{kind.__name__}: secrets not explained"
