"""A version's identity: the SHA-256 of its canonical JSON."""

import hashlib
import json
from typing import Any

from workflows.model import Workflow


def canonical_json(data: Any) -> str:
    """One text for one meaning: sorted keys, no spaces, no ASCII escapes."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def definition_json(workflow: Workflow) -> dict[str, Any]:
    """The definition as plain data. Parts left out stay left out, so that new features change no hash."""
    return workflow.model_dump(mode="json", by_alias=True, exclude_unset=True)


def version_hash(workflow: Workflow) -> str:
    """64 hex digits that identify the definition."""
    return hashlib.sha256(canonical_json(definition_json(workflow)).encode()).hexdigest()
