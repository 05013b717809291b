"""Why a task hub cannot be opened or go on.

HubError
├── HubOwned        another process has this hub open
├── HubUnavailable  the database cannot be reached, or its schema is newer than this program
├── HubLost         ownership ended while the hub was open: nothing more may be written
└── Refusal         a client's request that cannot be done
    ├── UnknownInstance
    ├── InstanceExists
    ├── WrongStatus
    └── InvalidRequest
"""


class HubError(Exception):
    """Root of the tree. The message says what happened and what to do."""


class HubOwned(HubError):
    """Another process has this hub open."""


class HubUnavailable(HubError):
    """The database cannot be reached or used."""


class HubLost(HubError):
    """The hub may not write any more: its process has to end, and starting it again resumes all work."""


class Refusal(HubError):
    """A client asked for something that cannot be done; the subclass says which gRPC status that is."""


class UnknownInstance(Refusal):
    """There is no such instance."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(f"There is no orchestration instance '{instance_id}'.")


class InstanceExists(Refusal):
    """The id is taken by an instance that may not be replaced."""


class WrongStatus(Refusal):
    """The instance's status does not allow it."""


class InvalidRequest(Refusal):
    """The request itself is wrong."""
