"""Records on their way out, as the columns of an operation hold them."""

from collections.abc import Sequence

from kernel.records import Column, Record
from kernel.timestamps import Unfit
from kernel.values import conform


def fitting(columns: Sequence[Column], values: Record) -> Record:
    """The record as the columns hold it. Raises `Unfit` with the names of the columns that are wrong."""
    names = [column.name for column in columns]
    missing = [name for name in names if name not in values]
    unknown = [name for name in values if name not in names]
    if missing or unknown:
        parts = [("lacks", missing), ("has unknown", unknown)]
        found = " and ".join(f"{verb} {', '.join(names)}" for verb, names in parts if names)
        raise Unfit(f"The record {found}", f"The operation's columns are {', '.join(names)}.")
    row: Record = {}
    for column in columns:
        try:
            row[column.name] = conform(values[column.name], column)
        except Unfit as exc:
            raise Unfit(f"{column.name} {exc.message}", exc.hint) from exc
    return row
