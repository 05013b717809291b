"""What adapter tests share: a vault, workbooks, and connectors of every system."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import xlsxwriter  # type: ignore[import-untyped]

from kernel.errors import AuthenticationFailed
from kernel.secrets import Secret


@dataclass(frozen=True)
class Vault:
    """Secrets by name, in memory."""

    secrets: Mapping[str, str] = field(repr=False)

    def secret(self, name: str) -> Secret:
        """The secret; `AuthenticationFailed` without one."""
        if name not in self.secrets:
            raise AuthenticationFailed(f"There is no secret {name!r} in the vault. Store it.")
        return Secret(self.secrets[name])


@dataclass(frozen=True)
class Formula:
    """A workbook cell with a formula and the value stored with it."""

    text: str
    value: Any = 0


def workbook(sheets: Mapping[str, Sequence[Any]]) -> bytes:
    """An XLSX file from rows of cells by sheet; dates and times get cell formats that say so."""
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"default_date_format": "yyyy-mm-dd hh:mm:ss.000"}) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for row_index, row in enumerate(rows):
                for column_index, cell in enumerate(row):
                    if isinstance(cell, Formula):
                        sheet.write_formula(row_index, column_index, cell.text, None, cell.value)
                    elif cell is not None:
                        sheet.write(row_index, column_index, cell)
    return buffer.getvalue()
