"""dnastudy.study.tables: what was measured, as rows with intervals."""

import numpy as np
import pandas as pd
import pytest

from dnastudy.files import InputError
from dnastudy.study.tables import (
    accuracy_difference_table,
    accuracy_table,
    difference_table,
    floors_not_beaten,
    score_table,
)


def scored(bits):
    """Four windows of ten bases in two loci."""
    return pd.DataFrame({"window": range(4), "locus": [0, 0, 1, 1], "stratum": "all", "bits": bits, "bases": 10})


def test_bits_per_base_is_a_ratio_of_sums_with_an_interval_over_loci():
    row = score_table({"lstm": scored([20, 18, 16, 14])}, resamples=500, seed=0).iloc[0]
    assert (row["bits"], row["bases"], row["loci"]) == (1.7, 40, 2)
    assert row["perplexity"] == pytest.approx(2**1.7)
    assert (row["low"], row["high"]) == (1.5, 1.9)  # two loci: either one alone, or both


def test_a_difference_is_paired_so_that_a_constant_gain_has_no_width():
    base = np.array([20, 18, 16, 14])
    table = difference_table({"ngram": scored(base), "lstm": scored(base - 1)}, against="ngram", resamples=200, seed=0)
    row = table.iloc[0]
    assert (row["model"], row["verdict"]) == ("lstm", "better")
    assert (row["difference"], row["low"], row["high"]) == pytest.approx((-0.1, -0.1, -0.1))


def test_a_difference_that_changes_sign_between_loci_is_a_tie():
    base = np.array([20, 18, 16, 14])
    other = base + np.array([1, 1, -1, -1])
    table = difference_table({"ngram": scored(base), "gpt": scored(other)}, against="ngram", resamples=500, seed=0)
    assert table["verdict"].tolist() == ["tie"]


def test_one_model_has_nothing_to_differ_from():
    table = difference_table({"ngram": scored([20, 18, 16, 14])}, against="ngram", resamples=10, seed=0)
    assert table.empty and list(table)[-1] == "interval"


def test_a_floor_whose_interval_is_reached_is_not_beaten():
    table = {"uniform": scored([20] * 4), "8-gram": scored([18, 18, 16, 16]), "gpt": scored([18, 17, 17, 16])}
    unbeaten = floors_not_beaten(score_table(table, resamples=200, seed=0), models=["gpt"])
    assert unbeaten[["model", "floor"]].to_numpy().tolist() == [["gpt", "8-gram"]]


def test_an_unknown_reference_is_refused():
    with pytest.raises(InputError, match="against='ngarm': no such model here; did you mean 'ngram'"):
        difference_table({"ngram": scored([20, 18, 16, 14])}, against="ngarm", resamples=10, seed=0)


def test_a_difference_in_accuracy_is_paired():
    pairs = {"edits": 1, "group": [1, 2, 3, 4]}
    judged = pd.concat(
        [
            pd.DataFrame({"model": "ngram", "correct": [0, 0, 0.5, 1], **pairs}),
            pd.DataFrame({"model": "lstm", "correct": [0.5, 0.5, 1, 1.5], **pairs}),
        ]
    )
    row = accuracy_difference_table(judged, ["edits"], against="ngram", resamples=100, seed=0).iloc[0]
    assert (row["model"], row["difference"], row["low"], row["high"]) == ("lstm", 0.5, 0.5, 0.5)
    assert row["verdict"] == "better"


def test_accuracy_resamples_loci_not_pairs():
    judged = pd.DataFrame({"model": "lstm", "edits": 1, "group": ["a", "a", "b", "b"], "correct": [1, 1, 0, 0.5]})
    row = accuracy_table(judged, ["model", "edits"], resamples=500, seed=0).iloc[0]
    assert (row["accuracy"], row["low"], row["high"], row["pairs"]) == (0.625, 0.25, 1.0, 4)
