"""dnastudy.chapters.compare_models: what was measured, as rows with intervals."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from dnastudy.chapters.compare_models import (
    difference_table,
    floors_not_beaten,
    pool_seeds,
    protocol_table,
    score_table,
    seed_table,
)
from dnastudy.chapters.detect_mutations import accuracy_difference_table, accuracy_table, published_accuracy_table
from dnastudy.files import InputError
from dnastudy.models import NgramModel


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


def test_only_windows_of_which_both_scored_as_many_bases_are_compared_and_they_are_paired_by_name():
    ours, theirs = scored([19, 17, 15, 13]), scored([20, 18, 16, 14]).iloc[::-1]
    theirs = theirs.assign(bases=[10, 9, 10, 10]).query("window > 0")
    row = difference_table({"ngram": theirs, "lstm": ours}, against="ngram", resamples=200, seed=0).iloc[0]
    assert row["bases"] == 20  # of windows 1 and 3: the reference lacks window 0 and read 9 bases of window 2
    assert (row["difference"], row["low"], row["high"]) == pytest.approx((-0.1, -0.1, -0.1))


def test_without_a_window_in_common_a_difference_is_unknown():
    tables = {"ngram": scored([20] * 4).head(2), "lstm": scored([20] * 4).tail(2)}
    row = difference_table(tables, against="ngram", resamples=10, seed=0).iloc[0]
    assert (row["bases"], row["verdict"]) == (0, "unknown") and np.isnan(row["difference"])


def test_a_difference_that_changes_sign_between_loci_is_a_tie():
    base = np.array([20, 18, 16, 14])
    other = base + np.array([1, 1, -1, -1])
    table = difference_table({"ngram": scored(base), "gpt": scored(other)}, against="ngram", resamples=500, seed=0)
    assert table["verdict"].tolist() == ["tie"]


def test_one_model_has_nothing_to_differ_from():
    table = difference_table({"ngram": scored([20, 18, 16, 14])}, against="ngram", resamples=10, seed=0)
    assert table.empty and list(table)[-1] == "interval"


def test_a_floor_is_beaten_only_by_a_paired_difference_that_excludes_zero():
    table = {"uniform": scored([20] * 4), "8-gram": scored([18, 18, 16, 16]), "gpt": scored([18, 17, 17, 16])}
    unbeaten = floors_not_beaten(table, ["uniform", "8-gram"], resamples=200, seed=0)
    assert unbeaten[["model", "floor", "verdict"]].to_numpy().tolist() == [["gpt", "8-gram", "tie"]]
    # The intervals of the two overlap, but on each locus the model is ahead by the same.
    table["gpt"] = scored([17, 17, 15, 15])
    assert floors_not_beaten(table, ["uniform", "8-gram"], resamples=200, seed=0).empty


def test_runs_that_differ_in_their_seed_are_averaged_window_by_window():
    runs = {"ngram": scored([20] * 4), "lstm": scored([20, 18, 16, 14]), "lstm_seed1": scored([18, 16, 14, 12])}
    pooled = pool_seeds(runs)
    assert {name: table["bits"].tolist() for name, table in pooled.items()} == {
        "ngram": [20, 20, 20, 20],
        "lstm": [19, 17, 15, 13],
    }
    (row,) = seed_table(runs).to_dict("records")
    assert (row["model"], row["runs"], row["lowest"], row["highest"]) == ("lstm", 2, 1.5, 1.7)
    assert (row["mean"], row["sd"]) == pytest.approx((1.6, 0.2 / 2**0.5))


def test_the_published_perplexity_beside_the_papers():
    genes = pd.DataFrame({"gene": [0, 1], "locus": [0, 1], "symbols": [10, 10]})
    scored = pd.concat(
        [
            genes.assign(model="1-gram", nats=np.log(4) * np.array([10, 10])),
            genes.assign(model="6-gram", nats=[12, np.inf]),
        ]
    )
    table = protocol_table({"short": scored}, {"1-gram": 3.9959, "LSTM": 3.2878}, resamples=50, seed=0)
    assert table[["model", "corpus"]].to_numpy().tolist() == [
        ["1-gram", "paper"], ["LSTM", "paper"], ["1-gram", "short"], ["6-gram", "short"],
    ]  # fmt: skip
    assert table["perplexity"].tolist() == pytest.approx([3.9959, 3.2878, 4, np.inf])
    assert table["high"].tolist() == pytest.approx([np.nan, np.nan, 4, np.nan], nan_ok=True)


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


def test_the_papers_accuracy_stands_beside_that_of_the_same_name_or_kind():
    models = {
        "Laplace 8-gram": NgramModel(8, smoothing="laplace"),
        "mine": NgramModel(8),
        "small": SimpleNamespace(kind="lstm"),
    }
    rows = [("probability", model, 5, 0.6, 0.5, 0.7, "interval") for model in models]
    accuracy = pd.DataFrame(rows, columns=["score", "model", "most", "accuracy", "low", "high", "interval"])
    table = published_accuracy_table(accuracy, models).set_index("model")
    columns = ["published", "published_low", "published_high"]
    assert table.loc["Laplace 8-gram", columns].tolist() == pytest.approx([2.053 / 3, 0.678, 0.695])
    assert table.loc["small", columns].tolist() == pytest.approx([2.235 / 3, 0.737, 0.758])
    assert table.loc["mine", columns].isna().all()
    assert "interval" not in table
