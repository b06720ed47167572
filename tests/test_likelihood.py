from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from dnastudy.files import InputError
from dnastudy.genes import windows
from dnastudy.genes.codes import as_codes, encode, known_bases
from dnastudy.tasks.floors import Uniform
from dnastudy.tasks.likelihood import bits_per_base, score_windows

# Bits of A, C, G, T and of a base that isn't scored.
BITS = np.array([1, 2, 3, 3, np.nan])


class Composition:
    """Each base independent, at 1, 2, 3 and 3 bits."""

    def base_log_likelihoods(self, sequences):
        return [(-np.log(2) * BITS[as_codes(sequence)]).astype(np.float32) for sequence in sequences]

    def log_likelihood(self, sequences):
        return np.array([np.nansum(-np.log(2) * BITS[as_codes(sequence)]) for sequence in sequences])


@pytest.fixture
def small():
    """Twelve bases with a repeat at 2-5 and a shared stretch at 4-8."""
    codes = encode("AACCGGTTNACG")
    tracks = {"repeat": (2, 5), "shared": (4, 8)}

    def inside(kind):
        mask = np.zeros(len(codes), dtype=bool)
        mask[slice(*tracks[kind])] = True
        return mask

    intervals = pd.DataFrame([(k, *span) for k, span in tracks.items()], columns=["kind", "start", "end"])
    return SimpleNamespace(all_codes=codes, intervals=intervals, inside=inside)


WINDOWS = pd.DataFrame({"gene": [0, 1], "start": [0, 6], "end": [4, 12], "locus": [7, 9]})


def test_bits_per_base_is_a_ratio_of_sums():
    assert bits_per_base(Uniform(), ["ACGT", "ACGTTTGN"]) == 2.0
    # 2 A at 1 bit, 6 C at 2 bits: not the mean of 1 and 2.
    assert bits_per_base(Composition(), ["AA", "CCCCCC"]) == pytest.approx(14 / 8)


def test_unknown_bases_count_neither_above_nor_below():
    assert bits_per_base(Composition(), ["ANNNC"]) == pytest.approx(1.5)
    assert known_bases(["ANNNC", encode("ACN"), ""]).tolist() == [2, 2, 0]


def test_a_base_without_a_chance_costs_infinitely_many_bits(small, monkeypatch):
    monkeypatch.setitem(globals(), "BITS", np.array([1, 2, 3, np.inf, np.nan]))
    assert bits_per_base(Composition(), ["ACT"]) == np.inf
    table = score_windows(Composition(), small, WINDOWS, strata=[])
    # Window 0 is AACC, window 1 is TTNACG.
    assert table["bits"].tolist() == pytest.approx([6, np.inf])
    assert table["bases"].tolist() == [4, 5]


def test_nothing_to_score_is_refused():
    with pytest.raises(InputError, match="no A, C, G or T in 1 sequences"):
        bits_per_base(Uniform(), ["NN"])
    with pytest.raises(InputError, match="no A, C, G or T in 0 sequences"):
        bits_per_base(Uniform(), [])
    with pytest.raises(InputError, match="expected a list of sequences, found one string; put it in a list"):
        bits_per_base(Uniform(), "ACGT")


def test_windows_are_scored_inside_and_outside_each_kind(small):
    table = score_windows(Composition(), small, WINDOWS)
    found = {(row.window, row.stratum): (row.bits, row.bases) for row in table.itertuples()}
    # Window 0 is AACC, window 1 is TTNACG.
    assert found == {
        (0, "all"): (pytest.approx(6), 4),
        (1, "all"): (pytest.approx(12), 5),
        (1, "shared"): (pytest.approx(6), 2),
        (0, "not shared"): (pytest.approx(6), 4),
        (1, "not shared"): (pytest.approx(6), 3),
        (0, "repeat"): (pytest.approx(4), 2),
        (0, "not repeat"): (pytest.approx(2), 2),
        (1, "not repeat"): (pytest.approx(12), 5),
    }
    assert table["stratum"].drop_duplicates().tolist() == [
        "all",
        "shared",
        "not shared",
        "repeat",
        "not repeat",
    ]
    assert table.loc[table["window"] == 1, "locus"].unique().tolist() == [9]


def test_the_other_strand_is_scored_base_by_base_in_place(small):
    # Composition gives each letter its own price, so a base on the other strand costs what its partner does.
    table = score_windows(Composition(), small, WINDOWS, strand="-", strata=("repeat",)).set_index(
        ["window", "stratum"]
    )
    codes = small.all_codes[WINDOWS["start"][0] : WINDOWS["end"][0]]
    prices = -Composition().base_log_likelihoods([3 - codes])[0] / np.log(2)  # complemented, not reversed
    inside = small.inside("repeat")[WINDOWS["start"][0] : WINDOWS["end"][0]]
    assert table.loc[(0, "repeat"), "bits"] == pytest.approx(prices[inside].sum())
    assert table.loc[(0, "not repeat"), "bits"] == pytest.approx(prices[~inside].sum())


def test_a_stratum_and_its_complement_make_the_whole(small):
    table = score_windows(Composition(), small, WINDOWS)
    total = table.groupby("stratum")[["bits", "bases"]].sum()
    for kind in ("shared", "repeat"):
        assert (total.loc[kind] + total.loc[f"not {kind}"]).tolist() == pytest.approx(total.loc["all"].tolist())


def test_windows_without_a_base_are_refused(small):
    nothing = pd.DataFrame({"gene": [0], "start": [8], "end": [9], "locus": [0]})
    with pytest.raises(InputError, match="no base scored in 1 windows"):
        score_windows(Composition(), small, nothing)
    with pytest.raises(InputError, match="no base scored in 0 windows"):
        score_windows(Composition(), small, WINDOWS[:0])


def test_real_windows(corpus):
    chosen = windows(corpus, "test", length=200, count=30, seed=1)
    table = score_windows(Composition(), corpus, chosen)
    assert set(table["stratum"]) >= {"all", "shared", "not shared", "repeat", "cds", "not exon"}
    total = table.groupby("stratum")[["bits", "bases"]].sum()
    assert total.loc["all", "bases"] == known_bases(corpus.cut(chosen)).sum()
    by_stratum = total.loc["all", "bits"] / total.loc["all", "bases"]
    assert by_stratum == pytest.approx(bits_per_base(Composition(), corpus.cut(chosen)))
    # No more coding bases than exon bases, and each coding base lies in an exon.
    assert 0 < total.loc["cds", "bases"] <= total.loc["exon", "bases"]
