"""Power laws are recovered where the sizes tell them, and where they don't, that is said."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnastudy.chapters.measure_data_hunger import curve_table, fit_power_law, fit_table, fitted_curves, gain_table

SIZES = np.array([1e3, 1e4, 1e5, 1e6, 1e7])
QUICK = {"resamples": 200, "seed": 0}


def made(bits, unit="bases", kind="ngram", limited=(), spread=0.0):
    """Runs of two seeds on three windows of 100 bases in as many groups, that cost ``bits`` a base on average."""
    rows = []
    for size, cost in zip(SIZES, bits, strict=False):
        for seed in (0, 1):
            for group, away in enumerate((-spread, 0, spread)):
                total = 100 * (cost + away + (0.5 - seed) * spread)
                rows.append((unit, kind, size, seed, size, size in limited, group, total, 100.0))
    return pd.DataFrame(rows, columns="unit kind size seed seen limited group bits amount".split())


@given(st.floats(0.2, 1.5), st.floats(0.05, 0.3), st.floats(0.1, 0.4))
def test_a_power_law_is_recovered(limit, scale, exponent):
    bits = limit + scale * (SIZES / 1e7) ** -exponent
    law = fit_power_law(SIZES, bits)
    assert law.exponent == pytest.approx(exponent, rel=0.04)
    assert law.limit + law.scale * (SIZES / 1e7) ** -law.exponent == pytest.approx(bits, rel=0.04)


def test_many_curves_are_fitted_as_each_alone():
    curves = np.array([[3.0, 2.5, 2.2, 2.0, 1.9], [2.0, 1.9, 1.85, 1.8, 1.78]])
    together = fit_power_law(SIZES, curves)
    for row, curve in enumerate(curves):
        alone = fit_power_law(SIZES, curve)
        assert [part[row] for part in together] == pytest.approx([float(part) for part in alone])


def test_neither_limit_nor_scale_is_ever_negative():
    falling = fit_power_law(SIZES, [5.0, 4.0, 3.0, 2.0, 1.0])  # steeper than any law with a limit above zero
    assert falling.limit == 0
    rising = fit_power_law(SIZES, [1.0, 1.1, 1.2, 1.3, 1.4])
    assert rising.scale == 0 and rising.limit == pytest.approx(1.2)


def test_costs_are_ratios_of_sums_over_seeds_with_intervals():
    table = curve_table(made([1.9, 1.8], spread=0.1), **QUICK)
    assert list(table["size"]) == [1e3, 1e4]
    assert list(table["bits"].round(6)) == [1.9, 1.8]
    assert list(table["runs"]) == [2, 2] and list(table["limited"]) == [0, 0]
    assert (table["low"] < table["bits"]).all() and (table["bits"] < table["high"]).all()
    assert table["interval"][0].n == 3


def test_a_law_with_a_limit_is_identified():
    bits = 1 + 0.1 * (SIZES / 1e7) ** -0.3
    fits = fit_table(made(bits, spread=0.001), {"bases": 4.0}, **QUICK).loc[0]
    assert fits["identified"]
    assert fits["limit"].value == pytest.approx(1, abs=0.02) and fits["limit"].low < 1 < fits["limit"].high
    assert fits["exponent"].value == pytest.approx(0.3, abs=0.01)
    assert fits["halving"].value == pytest.approx(2 ** (1 / 0.3), rel=0.05)


def test_what_is_saved_needs_no_fit():
    fits = fit_table(made([2.0, 1.8, 1.5, 1.2, 0.6]), {"bases": 2.0}, **QUICK).loc[0]
    assert not fits["identified"] and np.isnan(fits["exponent"].value)
    assert np.isnan(fits["limit"].value) and fits["limit"].low == 0 and fits["limit"].high < 0.1
    assert fits["saving"].value == pytest.approx(1 - 0.5 ** (1 / np.log2(10)))  # 1.2 to 0.6 over a ten-fold
    assert fits["tenth"].value == pytest.approx(0.8 / 1.4)


@pytest.mark.parametrize("bits", [[2.1, 2.1, 2.1, 2.1, 2.1], [2.2, 2.2, 2.1, 2.05, 1.9], [2.0, 2.0, 2.0, 1.99, 1.99]])
def test_a_model_that_gains_nothing_has_no_share_of_it(bits):
    runs = made(bits, spread=0.05)
    fits = fit_table(runs, {"bases": 2.0}, **QUICK)
    assert np.isnan(fits["tenth"][0].value) and not np.isnan(fits["saving"][0].value)
    assert gain_table(curve_table(runs, **QUICK), fits, {"bases": 2.0}).empty


def test_sizes_that_the_steps_limited_are_left_out():
    runs = made([2.0, 1.9, 1.8, 1.75, 1.75], limited={1e6, 1e7})
    fits = fit_table(runs, {"bases": 2.0}, **QUICK).loc[0]
    assert (fits["sizes"], fits["largest"], fits["identified"]) == (3, 1e5, False)
    assert fits["tenth"].value == pytest.approx(0.5)
    curves = curve_table(runs, **QUICK)
    assert list(curves["limited"]) == [0, 0, 0, 2, 2]
    assert fitted_curves(curves).empty  # three sizes are too few
    everything = fit_table(made([2.0, 1.9], limited={1e3, 1e4}), {"bases": 2.0}, **QUICK).loc[0]
    assert everything["sizes"] == 0 and np.isnan(everything["saving"].value)


def test_curves_of_a_kind_are_compared_at_the_size_that_all_have():
    runs = pd.concat([made([1.9, 1.8, 1.7, 1.6, 1.5]), made([4.0, 3.0, 2.5, 2.3], unit="words")])
    uniform = {"bases": 2.0, "words": 5.0}
    fits = fit_table(runs, uniform, **QUICK)
    assert list(fits["largest"]) == [1e6, 1e6]
    assert [tenth.value for tenth in fits["tenth"]] == pytest.approx([0.3 / 0.4, 2.5 / 2.7])
    gains = gain_table(curve_table(runs, **QUICK), fits, uniform)
    assert list(gains["share"].round(3)) == [0.25, 0.5, 0.75, 1, 1.25, 0.37, 0.741, 0.926, 1]


def test_a_single_group_has_no_interval():
    runs = made([2.0, 1.9, 1.8, 1.75, 1.72]).query("group == 0")
    assert np.isnan(curve_table(runs, **QUICK)["low"]).all()
    saving = fit_table(runs, {"bases": 2.0}, **QUICK)["saving"][0]
    assert saving.n == 1 and np.isnan(saving.low) and saving.value > 0
