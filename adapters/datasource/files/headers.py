"""Which column of a file is meant by a header."""

import re
from collections.abc import Sequence

_NO_LETTER = re.compile(r"[\W_]+")


def found_at(header: Sequence[str], names: Sequence[str], *, loosely: bool) -> tuple[str, list[int]]:
    """The first of `names` that `header` has, and its places; the first name and no place if it has none.

    `loosely`, only letters and digits count, in either case: `Supplier Name` is `supplier_name`.
    """
    compared = [_letters(text) if loosely else text for text in header]
    for name in names:
        wanted = _letters(name) if loosely else name
        places = [index for index, text in enumerate(compared) if text == wanted]
        if places:
            return name, places
    return names[0], []


def _letters(text: str) -> str:
    return _NO_LETTER.sub("", text).casefold()
