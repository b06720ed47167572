import numpy as np
import pandas as pd
import pytest

from dnastudy.files import InputError
from dnastudy.tasks.generated import (
    compare,
    cut_pieces,
    describe,
    discriminate_sets,
    jensen_shannon,
    kmer_counts,
    run_lengths,
    spectrum_divergence,
)


def draw(n, length, seed, shares=(0.25, 0.25, 0.25, 0.25)):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGT"), length, p=shares)) for _ in range(n)]


def test_kmer_counts():
    assert kmer_counts(["ACGT", "aa"], 1).tolist() == [3, 1, 1, 1]
    counts = kmer_counts(["ACNCAA", "AC"], 2)
    assert {number: count for number, count in enumerate(counts) if count} == {0: 1, 1: 2, 4: 1}


def test_jensen_shannon():
    assert jensen_shannon(np.array([1, 1]), np.array([5, 5])) == 0
    assert jensen_shannon(np.array([3, 0]), np.array([0, 7])) == pytest.approx(1)
    assert np.isnan(jensen_shannon(np.array([0, 0]), np.array([1, 0])))
    # H(3/4, 1/4) - (H(1/2, 1/2) + H(1, 0)) / 2
    assert jensen_shannon(np.array([1, 1]), np.array([2, 0])) == pytest.approx(0.811278 - 0.5, abs=1e-6)


def test_divergence_table():
    table = spectrum_divergence({"same": ["ACGT"], "other": ["AAAA"]}, ["ACGT"], ks=[1, 2])
    assert table["set"].tolist() == ["same", "other", "same", "other"]
    assert table["k"].tolist() == [1, 1, 2, 2]
    # A against A, C, G, T in equal shares: H(5/8, 1/8, 1/8, 1/8) - 2 / 2.
    assert table["divergence"].tolist() == pytest.approx([0, 0.548795, 0, 1], abs=1e-6)


def test_runs():
    assert run_lengths(["AACNC", "CCG"]).tolist() == [2, 1, 1, 2, 1]


def test_descriptions():
    stretch = "ACGTTGCAACGGTTCATGCC"
    table = describe({"made": ["CGCGAT", stretch, "AAAN"], "train": [stretch]}, ["TT" + stretch])
    assert table["set"].tolist() == ["made"] * 3 + ["train"]
    assert table["sequence"].tolist() == [0, 1, 2, 0]
    assert table["bases"].tolist() == [6, 20, 3, 20]
    assert table["gc"].tolist() == pytest.approx([4 / 6, 11 / 20, 0, 11 / 20])
    # CGCGAT: 2 CG in 6 bases with 2 C and 2 G; the stretch: 2 CG in 20 bases with 6 C and 5 G.
    assert table["cpg"].tolist() == pytest.approx([3, 2 * 20 / 30, np.nan, 2 * 20 / 30], nan_ok=True)
    assert table["longest_run"].tolist() == [1, 2, 3, 2]
    assert table["longest_copy"].tolist() == pytest.approx([0, 20, 0, np.nan], nan_ok=True)


def test_pieces_are_as_long_as_asked_and_stand_in_train():
    train = ["ACGTTGCAACGG", "TTTT", "GATTACA"]
    pieces = cut_pieces(train, [5] * 50 + [12, 4, 1], seed=1)
    assert [len(piece) for piece in pieces] == [5] * 50 + [12, 4, 1]
    assert all(any(piece in sequence for sequence in train) for piece in pieces)
    # Eight places in the first, none in the second, three in the third: each comes up.
    assert len(set(pieces[:50])) == 11


def test_a_piece_longer_than_all_is_the_longest_whole():
    assert cut_pieces(["ACGT", "GG"], [9]) == ["ACGT"]


def test_a_discriminator_tells_composition_and_not_chance():
    sets = {"alike": draw(120, 300, 1), "rich": draw(120, 300, 2, (0.2, 0.3, 0.3, 0.2))}
    table = discriminate_sets(sets, draw(120, 300, 3), resamples=200).set_index("set")
    assert table.loc["alike", "auroc"] == pytest.approx(0.5, abs=0.12)
    assert table.loc["rich", "auroc"] > 0.95
    assert (table["low"] <= table["auroc"]).all() and (table["auroc"] <= table["high"]).all()


def test_comparison_has_both_references():
    held_out = draw(30, 200, 1)
    tables = compare({"uniform": draw(30, 200, 3)}, held_out, draw(5, 2000, 2), seed=1)
    assert tables.sequences["set"].drop_duplicates().tolist() == ["uniform", "train", "held out"]
    assert tables.spectra["set"].drop_duplicates().tolist() == ["uniform", "train"]
    assert tables.spectra["k"].max() == 8
    assert tables.discriminator["set"].tolist() == ["uniform", "train"]
    assert tables.sequences.query("set == 'train'")["longest_copy"].isna().all()
    assert tables.sequences.query("set != 'train'")["longest_copy"].notna().all()


def test_comparing_is_repeatable():
    arguments = {"made": draw(10, 100, 1)}, draw(10, 100, 2), draw(2, 500, 3)
    for first, second in zip(compare(*arguments), compare(*arguments), strict=True):
        pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize(
    ("generated", "held_out", "message"),
    [
        ({"made": []}, ["ACGT"], "set 'made': no sequence"),
        ({"made": [""]}, ["ACGT"], "set 'made': no sequence"),
        ({"made": ["A"]}, [], "set 'held out': no sequence"),
        ({"train": ["A"]}, ["ACGT"], "set 'train': that name is a reference's"),
        ({"made": ["ACGT"] * 3}, ["ACGT"] * 9, "3 sequences against 9 held out; expected at least 5"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(generated, held_out, message):
    with pytest.raises(InputError, match=message):
        compare(generated, held_out, ["ACGT"])
