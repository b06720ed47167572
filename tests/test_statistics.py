import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from dnastudy.files import InputError
from dnastudy.study.statistics import (
    compare,
    mean_bootstrap,
    multiplicities,
    paired_difference,
    rank_correlations,
    ratio_bootstrap,
    summarise,
    weighted_sums,
)


def test_the_value_is_a_ratio_of_sums():
    interval = ratio_bootstrap([2, 30], [1, 20])
    assert interval.value == 32 / 21
    assert interval.n == 2


def test_two_groups_give_the_three_ratios_that_two_draws_can():
    # Draws: both of the first (1/4), one of each (1/2), both of the second (1/4).
    interval = ratio_bootstrap([1, 3], [1, 1], resamples=4000, level=0.9)
    assert interval == (2, 1, 3, 2)
    narrow = ratio_bootstrap([1, 3], [1, 1], resamples=4000, level=0.4)
    assert narrow == (2, 2, 2, 2)


def test_rows_of_a_group_are_drawn_together():
    rng = np.random.default_rng(0)
    effect = np.repeat(rng.normal(size=50), 20)
    groups = np.repeat(np.arange(50), 20)
    alone = mean_bootstrap(effect)
    together = mean_bootstrap(effect, groups)
    assert together.n == 50
    assert together.value == pytest.approx(alone.value)
    # The standard error of 50 independent values is sqrt(20) times that of 1,000.
    assert (together.high - together.low) / (alone.high - alone.low) == pytest.approx(20**0.5, rel=0.1)


def test_groups_may_be_names_in_any_order():
    numbers = ratio_bootstrap([1, 2, 3], [1, 1, 2], [7, 3, 7])
    names = ratio_bootstrap([1, 2, 3], [1, 1, 2], ["z", "b", "z"])
    assert numbers == names


def test_a_single_group_has_no_interval():
    interval = ratio_bootstrap([1, 2], [1, 1], ["a", "a"])
    assert interval.value == 1.5
    assert np.isnan([interval.low, interval.high]).all()
    assert np.isnan(mean_bootstrap([3.0]).low)


def test_the_seed_repeats_and_changes_the_interval():
    values = np.random.default_rng(0).normal(size=40)
    assert mean_bootstrap(values, seed=1) == mean_bootstrap(values, seed=1)
    assert mean_bootstrap(values, seed=1) != mean_bootstrap(values, seed=2)
    assert ratio_bootstrap(values, np.ones(40), seed=1) != ratio_bootstrap(values, np.ones(40), seed=2)


def test_draws_are_the_same_however_many_are_made_together():
    whole = next(multiplicities(7, 20, 3, together=20))
    parts = list(multiplicities(7, 20, 3, together=6))
    assert [len(part) for part in parts] == [6, 6, 6, 2]
    assert np.array_equal(np.concatenate(parts), whole)
    assert (whole.sum(axis=1) == 7).all()
    assert np.array_equal(weighted_sums(np.arange(14).reshape(2, 7), 20, 3), np.arange(14).reshape(2, 7) @ whole.T)


def test_a_mean_is_a_ratio_to_the_number_of_rows():
    values = np.random.default_rng(0).normal(size=40)
    assert mean_bootstrap(values) == ratio_bootstrap(values, np.ones(40))
    assert mean_bootstrap(values).value == pytest.approx(values.mean())


def test_pairing_takes_out_what_both_models_share():
    rng = np.random.default_rng(0)
    hard = rng.normal(scale=10, size=300)
    first, second = hard + rng.normal(scale=0.1, size=300), hard + 0.5
    interval = paired_difference(first, second)
    assert interval.low < -0.5 < interval.high
    assert interval.high - interval.low < 0.05


def test_a_paired_difference_of_ratios():
    interval = paired_difference([4, 9], [2, 6], [2, 3], ["a", "b"])
    assert interval.value == (2 + 3) / 5
    assert (interval.low, interval.high) == (1, 1)


def test_ninety_percent_intervals_cover_the_truth_about_as_often():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(300):
        bases = rng.integers(200, 1000, 60)
        bits = bases * rng.normal(1.9, 0.1, 60)
        interval = ratio_bootstrap(bits, bases, resamples=300, seed=trial, level=0.9)
        hits += interval.low <= 1.9 <= interval.high
    # A binomial standard error of 300 trials is 1.7%; percentile intervals fall a little short.
    assert 0.83 < hits / 300 < 0.95


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.5, 100), st.integers(0, 5)), min_size=1, max_size=30))
def test_the_interval_lies_within_the_groups_own_ratios(rows):
    numerator, denominator, groups = map(np.array, zip(*rows, strict=True))
    interval = ratio_bootstrap(numerator, denominator, groups, resamples=50)
    if interval.n > 1:
        ratios = [numerator[groups == g].sum() / denominator[groups == g].sum() for g in set(groups)]
        assert min(ratios) - 1e-9 <= interval.low <= interval.high <= max(ratios) + 1e-9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [1]), "expected one value and one group a row"),
        (([1, 2], [1, 1], ["a"]), "expected one value and one group a row"),
        (([], []), "and at least one row"),
        (([1, np.nan], [1, 1]), "row 1 is not a finite number"),
        (([1, 2], [0, 0]), "nothing to divide by"),
        (([1, 2], [3, -1]), "nothing to divide by"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        ratio_bootstrap(*arguments)


def test_rank_correlations_are_spearmans_with_those_of_rows_drawn_again():
    random = np.random.default_rng(1)
    first = np.stack([random.integers(5, size=40), random.normal(size=40)], axis=1)
    second = np.stack(
        [first[:, 0] + random.normal(size=40), random.normal(size=40), random.integers(2, size=40)], axis=1
    )
    found = rank_correlations(first, second, resamples=50, seed=3, level=0.9)
    assert found.shape == (2, 3, 3)
    (draws,) = multiplicities(40, 50, 3, together=50)
    for one in range(2):
        for other in range(3):
            pairs = first[:, one], second[:, other]
            assert found[one, other, 0] == pytest.approx(spearmanr(*pairs).statistic)
            rows = [np.repeat(np.arange(40), times) for times in draws]
            drawn = [spearmanr(pairs[0][row], pairs[1][row]).statistic for row in rows]
            assert found[one, other, 1:] == pytest.approx(np.quantile(drawn, [0.05, 0.95]))


def test_a_column_of_one_value_has_no_rank_correlation():
    found = rank_correlations([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]], [[3.0], [2.0], [1.0]], resamples=20)
    assert found[0, 0, 0] == pytest.approx(-1) and np.isnan(found[1, 0]).all()


@pytest.mark.parametrize(
    "rows", [([[1.0]], [[1.0], [2.0]]), (np.empty((0, 1)), np.empty((0, 1))), ([[np.nan]], [[1.0]])]
)
def test_rows_that_do_not_go_together_are_not_correlated(rows):
    with pytest.raises(InputError, match="rows to correlate; expected as many"):
        rank_correlations(*rows)


def test_a_summary_has_the_bootstrap_of_each_part_of_a_table_in_its_order():
    table = pd.DataFrame({"model": list("bbaa"), "bits": [3, 5, 2, 2], "bases": [1, 2, 1, 3], "locus": [0, 1, 0, 1]})
    how = {"groups": "locus", "resamples": 50, "seed": 3}
    for per in ("bases", None):
        found = summarise(table, ["model"], "bits", per, **how)
        assert found["model"].tolist() == ["b", "a"]
        for row, part in zip(found.itertuples(), (table[:2], table[2:]), strict=True):
            below = part[per] if per else [1, 1]
            assert row.interval == ratio_bootstrap(part["bits"], below, part["locus"], resamples=50, seed=3)
            assert tuple(row)[2:6] == row.interval


def test_models_are_compared_on_the_windows_that_both_scored_as_many_bases_of():
    rng = np.random.default_rng(3)
    window = np.arange(30)
    one = pd.DataFrame(
        {"model": "a", "window": window, "bits": rng.normal(60, 5, 30), "bases": 30, "locus": window // 3}
    )
    other = one.assign(model="b", bits=one["bits"] + 1).sample(frac=1, random_state=0)  # in another order
    other.loc[other["window"] < 6, "bases"] = 10  # it read less of these
    how = {"against": "b", "on": ["window"], "groups": "locus", "resamples": 200, "seed": 1}
    found = compare(pd.concat([one, other[other["window"] != 29]]), ["model"], "bits", "bases", **how)
    assert list(found.columns) == ["model", "bases", "difference", "low", "high", "n", "interval"]
    assert list(found["model"]) == ["a"]
    assert found[["difference", "low", "high"]].to_numpy() == pytest.approx(-1 / 30)
    assert (found["n"].item(), found["bases"].item()) == (8, 23 * 30)  # of windows 6 to 28
