"""Which ids instances and entities may have: what the database can keep, and what tells them apart."""

LONGEST = 2000  # bytes; an index entry of PostgreSQL holds at most 2,704


def is_instance_id(text: str) -> bool:
    """Whether an orchestration may have this id."""
    return bool(text) and not text.startswith("@") and _storable(text)


def is_entity_id(text: str) -> bool:
    """Whether it has the form `@name@key`."""
    return text.startswith("@") and all(text[1:].split("@", 1)) and "@" in text[1:] and _storable(text)


def _storable(text: str) -> bool:
    return "\0" not in text and len(text.encode()) <= LONGEST
