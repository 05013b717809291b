"""Settings of the application."""

import ast
import inspect
from collections.abc import Iterator

from docs.sections.tables import code
from docs.sections.tables import table as table_of
from kernel.settings import SETTINGS, Settings


def table() -> str:
    """Every setting with its default and what its field says about it."""
    meanings = dict(_meanings(ast.parse(inspect.getsource(Settings))))
    rows = (
        (
            code(setting.name),
            "required" if setting.default is None else code(setting.default),
            _sentence(meanings[setting.name]),
        )
        for setting in SETTINGS
    )
    return table_of(("setting", "default", "meaning"), rows)


def _meanings(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Setting names and meanings out of field docs of the form `NAME: meaning.`"""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            name, separator, meaning = str(node.value.value).partition(": ")
            if separator:
                yield name, meaning


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
