"""How activities are repeated when our own services are away."""

from datetime import timedelta

from durabletask.task import RetryPolicy

INFRASTRUCTURE = RetryPolicy(
    first_retry_interval=timedelta(seconds=2),
    max_number_of_attempts=1_000,
    backoff_coefficient=2.0,
    max_retry_interval=timedelta(minutes=1),
)
"""Our own database or storage did not answer: nothing could be recorded, so the activity itself is repeated,
for most of a day: an outage must not end runs."""
