"""Roles and what they may do."""

from commands.permissions import PEOPLE_ONLY, PERMISSIONS
from docs.sections.tables import code
from docs.sections.tables import table as table_of
from kernel.people import INCLUDES, Role, with_included


def table() -> str:
    """Every command with the roles that may use it."""
    rows = (
        (code(command) + (" (people only)" if command in PEOPLE_ONLY else ""), *_marks(enough))
        for command, enough in PERMISSIONS.items()
    )
    return table_of(("command", *Role), rows)


def roles() -> str:
    """Every role with those that it includes."""
    rows = (
        (code(role), ", ".join(code(one) for one in Role if one in INCLUDES[role] - {role}) or "none")
        for role in Role
    )
    return table_of(("role", "includes"), rows)


def _marks(enough: frozenset[Role]) -> list[str]:
    return ["yes" if enough & with_included([role]) else "" for role in Role]
