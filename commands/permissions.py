"""Who may do what: one table. Every command that changes something asks it first; the HTTP shell asks it for
every endpoint."""

from collections.abc import Mapping
from types import MappingProxyType

from kernel.errors import Forbidden, InternalError
from kernel.people import Person, Role, with_included

_ANYONE = frozenset({Role.VIEWER})
_AUTHORS = frozenset({Role.AUTHOR})
_OPERATORS = frozenset({Role.OPERATOR})
_APPROVERS = frozenset({Role.APPROVER})
_RUNNERS = _AUTHORS | _OPERATORS
_ADMINS = frozenset({Role.ADMIN})

PERMISSIONS: Mapping[str, frozenset[Role]] = MappingProxyType(
    {
        "list_workflows": _ANYONE,
        "get_workflow": _ANYONE,
        "validate_workflow": _AUTHORS,
        "publish_workflow": _AUTHORS,
        "list_connectors": _ANYONE,
        "get_connector": _ANYONE,
        "save_connector": _ADMINS,
        "list_object_types": _ANYONE,
        "save_object_type": _AUTHORS,
        "upload_file": _RUNNERS,
        "list_runs": _ANYONE,
        "get_run": _ANYONE,
        "start_run": _RUNNERS,
        "cancel_run": _OPERATORS,
        "pause_run": _OPERATORS,
        "resume_run": _OPERATORS,
        "retry_run": _OPERATORS,
        "replay_run": _OPERATORS,
        "list_postings": _ANYONE,
        "get_posting": _ANYONE,
        "resolve_posting": _OPERATORS,
        "list_dead_letters": _ANYONE,
        "get_dead_letter": _ANYONE,
        "discard_dead_letter": _OPERATORS,
        "retry_dead_letters": _OPERATORS,
        "list_approvals": _ANYONE,
        "get_approval": _ANYONE,
        "decide_approval": _APPROVERS,
        "comment_approval": _APPROVERS | _RUNNERS,
        "reassign_approval": _OPERATORS | _APPROVERS,
        "reassign_any_approval": _OPERATORS,
        "list_notifications": _OPERATORS,
        "resend_notification": _OPERATORS,
        "list_audit": _ANYONE,
        "verify_audit": _ANYONE,
        "create_api_key": _ADMINS,
        "list_api_keys": _ADMINS,
        "revoke_api_key": _ADMINS,
    }
)
"""By command, the roles that are enough. `kernel.people.INCLUDES` says which role includes which."""

PEOPLE_ONLY = frozenset({"decide_approval", "create_api_key"})
"""What no machine may do, whatever its roles."""


def permit(person: Person, command: str) -> None:
    """Raise `Forbidden` unless the person may use the command."""
    if command not in PERMISSIONS:
        raise InternalError(f"No permission is written down for {command!r}.")
    if person.machine and command in PEOPLE_ONLY:
        raise Forbidden(f"{person.name} is no person, and only people may use {command}.")
    if person.scopes is not None and command not in person.scopes:
        raise Forbidden(
            f"{person.name} is limited to {_listed(person.scopes)}; {command} needs a key with that scope."
        )
    enough = PERMISSIONS[command]
    if not enough & with_included(person.roles):
        raise Forbidden(
            f"{person.name} has {_listed(person.roles) or 'no role'}; {command} needs "
            f"{_listed(enough, ' or ')}. An administrator can assign it."
        )


def _listed(names: frozenset[str] | frozenset[Role], joiner: str = ", ") -> str:
    return joiner.join(sorted(names))
