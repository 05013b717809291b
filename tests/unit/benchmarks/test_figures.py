"""The arithmetic of the comparison: medians, percentiles, ratios, tables."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import figures
from benchmarks.figures import Figure, Metric
from benchmarks.peers.measuring import Measured

RATE = Metric("together", "runs/s", "W1", lambda measured: measured.together, more_is_better=True)
TIME = Metric("memory", "memory MB", "", lambda measured: measured.memory, more_is_better=False)


def rates(*values: float | None) -> list[Measured | None]:
    return [None if value is None else Measured(together=value) for value in values]


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 50, None),
        ([7.0], 95, 7.0),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 50, 2.0),
        (list(range(1, 101)), 95, 95),
        (list(range(1, 21)), 95, 19),
        ([1.0, 2.0], 0, 1.0),
        ([1.0, 2.0], 100, 2.0),
    ],
)
def test_percentiles_are_values_that_were_measured(
    values: list[float], percent: int, expected: float | None
) -> None:
    assert figures.percentile(values, percent) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.integers(1, 100))
def test_so_many_percent_are_not_above_a_percentile(values: list[float], percent: int) -> None:
    found = figures.percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


def test_a_figure_is_the_median_and_the_range_of_the_rounds_there_are() -> None:
    assert figures.figure(RATE, rates(40, 10, None, 20)) == Figure(20, 10, 40)
    assert figures.figure(RATE, rates(None, None)) is None


def test_a_round_in_which_a_work_was_left_out_does_not_count() -> None:
    assert figures.figure(TIME, rates(30, 10)) is None


def test_ratios_are_of_rounds_side_by_side() -> None:
    # Each round is 3 times as fast; the medians of all rounds, 30 and 20, would say 1.5.
    assert figures.ratio(RATE, rates(30, 60, 15), rates(10, 20, 5)) == 3
    assert figures.ratio(RATE, rates(30, 60, 15), rates(10, 20)) == 3


def test_a_ratio_above_one_means_better_for_times_too() -> None:
    ours, theirs = [Measured(memory=50.0)], [Measured(memory=100.0)]
    assert figures.ratio(TIME, ours, theirs) == 2


def test_there_is_no_ratio_without_a_common_round() -> None:
    assert figures.ratio(RATE, rates(30, None), rates(None, 10)) is None


@given(st.lists(st.tuples(st.floats(0.1, 1e4), st.floats(0.1, 1e4)), min_size=1, max_size=5))
def test_to_turn_a_ratio_round_is_to_invert_each_round(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = (rates(*values) for values in zip(*pairs, strict=True))
    inverted = figures.ratio(RATE, theirs, ours)
    assert inverted == pytest.approx(statistics.median(other / own for own, other in pairs))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), (0.0, "0.00"), (0.166, "0.17"), (9.94, "9.94"), (9.96, "10.0"), (99.4, "99.4"),
        (99.6, "100"), (1234.5, "1,234"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert figures.number(value) == text


def test_the_range_is_shown_where_rounds_differ() -> None:
    assert figures.shown(Figure(20, 10, 30)) == "20.0 (10.0-30.0)"
    assert figures.shown(Figure(20, 20, 20)) == "20.0"
    assert figures.shown(None) == "-"


def test_columns_are_aligned() -> None:
    assert figures.table(["engine", "runs/s"], [["a", "1"], ["longer name", "1,000"]]) == (
        "engine       runs/s\n-----------  ------\na                 1\nlonger name   1,000"
    )


def test_every_metric_has_a_key_of_its_own() -> None:
    keys = [metric.key for metric in figures.metrics((1000, 5000))]
    assert len(set(keys)) == len(keys)
    assert {"fan_out_1000", "fan_out_5000"} < set(keys)


def test_metrics_read_what_was_measured() -> None:
    measured = Measured(
        start=[1, 2, 3], end=[10, 20, 30], together=40, fan_outs={1000: 50}, signal=[5, 6, 7], memory=60,
        run_cpu=70, chunk_cpu=80,
    )  # fmt: skip
    found = {metric.key: metric.of(measured) for metric in figures.metrics((1000, 5000))}
    assert found == {
        "start_p50": 2, "end_p50": 20, "end_p95": 30, "together": 40, "fan_out_1000": 50,
        "fan_out_5000": None, "signal_p50": 6, "signal_p95": 7, "memory": 60,
        "run_cpu": 70, "chunk_cpu": 80,
    }  # fmt: skip
