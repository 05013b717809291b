"""Executions that work on the same postings never wait for each other in a circle."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg

from kernel.clock import utc_now
from kernel.ids import new_id
from store import postings
from store.postings import Claim, Intent, Outcome
from tests.support.world import ACTOR, World
from workflows.states import PostingState

KEYS = [f"key-{number:05}" for number in range(5_000)]
BUSY = KEYS[:12]


def intents(keys: Sequence[str]) -> list[Intent]:
    """The same record under each key."""
    return [Intent(key, "same", "{}") for key in keys]


def test_taking_over_and_confirming_the_same_records_does_not_deadlock(world: World) -> None:
    world.publish()
    run = world.start(file="x")
    first = Claim(run.id, "post", new_id(), "erp", "sandbox", "job_ledger")
    with world.deployment.database.transaction(ACTOR) as connection:
        postings.claim_intended(connection, first, intents(KEYS), utc_now())
    with psycopg.connect(world.owner_url) as owner:
        owner.execute("ANALYZE sluice.posting")  # so that few rows are updated in the order they are given

    def execution(seed: int) -> int:
        shuffled = random.Random(seed)  # noqa: S311 - an order, not a secret
        for _ in range(60):
            keys = shuffled.sample(BUSY, len(BUSY))
            claim = Claim(run.id, "post", new_id(), "erp", "sandbox", "job_ledger")
            digests = dict.fromkeys(keys, "same")
            with world.deployment.database.transaction(ACTOR) as connection:
                postings.claim_intended(connection, claim, intents(keys), utc_now())
                found = postings.lock_postings(connection, keys)
                rows = [found[key] for key in keys if found[key].claim != claim.token]
                postings.take_over(connection, claim, rows, digests, utc_now())
            outcomes = [Outcome(key, claim.token) for key in keys]
            with world.deployment.database.transaction(ACTOR) as connection:
                postings.lock_postings(connection, keys)
                postings.move_postings(
                    connection, [PostingState.INTENDED], PostingState.SENT, outcomes, utc_now()
                )
                postings.move_postings(
                    connection, [PostingState.SENT], PostingState.INTENDED, outcomes, utc_now()
                )
        return seed

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(execution, range(4))) == [0, 1, 2, 3]
