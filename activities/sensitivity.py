"""Which columns of a SELECT may hold what its inputs call sensitive."""

from collections.abc import Iterable, Mapping

from activities.work import Source


def hidden_columns(sources: Iterable[Source], columns: Mapping[str, bool]) -> frozenset[str]:
    """The names among `columns` (name: whether it holds text) that must be treated as sensitive.

    A column of the same name as a sensitive one is. So is every text under a new name, as soon as an input
    has anything sensitive: SQL may have renamed it, or built a text around it.
    """
    sensitive: set[str] = set()
    known: set[str] = set()
    for source in sources:
        sensitive |= source.sensitive
        known |= {column.name for column in source.records.columns}
    if not sensitive:
        return frozenset()
    return frozenset(
        name for name, text in columns.items() if name in sensitive or (text and name not in known)
    )
