"""Upload files for workflows to read."""

import hashlib
import re
from dataclasses import dataclass

from commands.deployment import Deployment
from commands.permissions import permit
from kernel.errors import Conflict, InvalidRequest, TooLarge
from kernel.people import Person
from store import audit
from store.blobs import FILES

_NAME = re.compile(r"[\w][\w .()+=@-]*(/[\w][\w .()+=@-]*)*")
_MAX_NAME = 512


@dataclass(frozen=True)
class StoredFile:
    """An uploaded file; `sha256` is of its bytes, in hex."""

    name: str
    bytes: int
    sha256: str


def upload_file(
    deployment: Deployment, name: str, data: bytes, person: Person, *, overwrite: bool
) -> StoredFile:
    """Store a file under `name`. The same bytes again change nothing, but are recorded: the first upload may
    have been cut off before its record was written.

    Raises `TooLarge`, `InvalidRequest` for an unusable name, `Conflict` when other bytes are there.
    """
    permit(person, "upload_file")
    if len(data) > deployment.max_upload_bytes:
        raise TooLarge(
            f"The file has {len(data):,} bytes; at most {deployment.max_upload_bytes:,} are accepted. "
            "Split it, or ask an operator to raise SLUICE_MAX_UPLOAD_BYTES."
        )
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
        raise InvalidRequest(f"{name!r} is not a file name; use letters, digits, '.', '-', '_' and '/'.")
    stored = StoredFile(name, len(data), hashlib.sha256(data).hexdigest())
    try:
        deployment.blobs.write(FILES, name, data, overwrite=overwrite)
    except Conflict:
        if hashlib.sha256(deployment.blobs.read(FILES, name)).hexdigest() != stored.sha256:
            raise
    now = deployment.clock()
    with deployment.database.transaction(person.id) as connection:
        audit.record(
            connection, stream="files", actor=person.id, action="file.uploaded", subject=name,
            details={"bytes": stored.bytes, "sha256": stored.sha256}, now=now,
        )  # fmt: skip
    return stored
