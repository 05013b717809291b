"""API keys in requests: `X-Api-Key`, or as a bearer token that begins with `slu_`."""

import azure.functions as func

from commands.api_keys import PREFIX, key_holder
from kernel.clock import Clock
from kernel.errors import Unauthenticated
from kernel.people import Person
from store.database import Database
from triggers.identity.bearer import bearer_token

KEY_HEADER = "X-Api-Key"


class ApiKeys:
    """The machines that have keys."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def __call__(self, request: func.HttpRequest) -> Person | None:
        """Whose key the request has, if it has one."""
        given = request.headers.get(KEY_HEADER)
        if given is None:
            token = bearer_token(request)
            given = token if token is not None and token.startswith(PREFIX) else None
        if given is None:
            return None
        if not given.isascii() or not given.startswith(PREFIX):
            raise Unauthenticated("There is no such API key.")
        return key_holder(self._database, self._clock, given)
