"""The ways in which a request may say who makes it, one after the other."""

from collections.abc import Callable, Sequence

import azure.functions as func

from kernel.errors import Unauthenticated
from kernel.people import Person

type Way = Callable[[func.HttpRequest], Person | None]
"""Whom a request names in one way; `None` when it does not use it. Raises `Unauthenticated` when it does, but
not as it should: what is wrong is never passed over in favour of another way."""


class Callers:
    """Who makes a request, by the first way that it uses."""

    def __init__(self, ways: Sequence[Way], remedy: str) -> None:
        self._ways = ways
        self._remedy = remedy

    def __call__(self, request: func.HttpRequest) -> Person:
        """Who asks; raises `Unauthenticated` for nobody, with how to sign in."""
        for way in self._ways:
            person = way(request)
            if person is not None:
                return person
        raise Unauthenticated(f"Nobody has signed in for this request. {self._remedy}")
