"""What chunks cost on paper: the arithmetic, and that the tables can be made."""

import pytest

from benchmarks import costs


@pytest.mark.parametrize(
    ("batch", "orchestrations", "activities", "turns"),
    [(1, 1.02, 1.0, 3.04), (50, 0.04, 0.02, 0.10), (100, 0.02, 0.01, 0.05)],
)
def test_durable_work_follows_from_pages_and_batches(
    batch: int, orchestrations: float, activities: float, turns: float
) -> None:
    found = costs.durable(batch)
    assert (found.orchestrations, found.activities, found.turns) == pytest.approx(
        (orchestrations, activities, turns)
    )


def test_scheduler_actions_are_those_of_its_billing_page() -> None:
    """One for each start, two for each activity, one for the answer of a sub-orchestration."""
    assert costs.operations(1, processes=4).actions == pytest.approx(2 * 1.02 + 2 * 1.0)


def test_a_page_is_read_no_more_often_than_it_has_batches() -> None:
    assert costs.operations(50, processes=4).blob == pytest.approx(3 / 50)
    assert costs.operations(1, processes=4).blob == pytest.approx(6 / 50)


def test_batches_make_everything_cheaper() -> None:
    single, many = costs.dollars(1, 1000), costs.dollars(50, 1000)
    assert all(many[backend] < single[backend] / 5 for backend in single)


def test_chunk_by_chunk_the_queue_of_activities_is_full_first() -> None:
    name, chunks = costs.first_limit(1, costs.STORAGE)
    assert name == "one_queue"
    assert costs.needs(1, chunks)[name] == pytest.approx(costs.LIMITS[name].most)


def test_a_limit_of_one_backend_is_none_of_the_other() -> None:
    for batch in costs.MEASURED:
        name, _ = costs.first_limit(batch, costs.SCHEDULER)
        assert costs.LIMITS[name].backend != costs.STORAGE


def test_the_tables_name_all_limits_and_prices(capsys: pytest.CaptureFixture[str]) -> None:
    assert costs.main(["--chunks-a-day", "1e6"]) == 0
    said = capsys.readouterr().out
    assert all(limit.name in said and limit.remedy in said for limit in costs.LIMITS.values())
    assert all(price.source in said for price in costs.PRICES.values())
    assert "1 million a day" in said
