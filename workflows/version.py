"""A version's identity: the SHA-256 of its canonical JSON."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from workflows.model import Workflow


def canonical_json(data: Any) -> str:
    """One text for one meaning: sorted keys, no spaces, no ASCII escapes."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def definition_json(workflow: Workflow) -> dict[str, Any]:
    """The definition as plain data. Parts left out stay left out, so that new features change no hash."""
    return workflow.model_dump(mode="json", by_alias=True, exclude_unset=True)


def version_hash(workflow: Workflow, pinned: Mapping[str, str] | None = None) -> str:
    """64 hex digits that identify the definition and the versions it is pinned to: `pinned` has their hashes
    by step key. The same text over another version of a nested workflow is another version."""
    definition = definition_json(workflow)
    whole = {**definition, "pinned": dict(pinned)} if pinned else definition
    return hashlib.sha256(canonical_json(whole).encode()).hexdigest()
