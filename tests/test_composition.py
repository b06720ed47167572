import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnastudy.genes.codes import decode, encode, reverse_complement
from dnastudy.tasks.composition import (
    dinucleotide_odds,
    jensen_shannon,
    kmer_counts,
    longest_orfs,
    longest_runs,
    run_counts,
    spectrum_divergence,
    tabulate_odds,
    tabulate_runs,
)


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


def test_dinucleotide_odds():
    # ACACA: 3 A and 2 C in 5; AC and CA half of the pairs each: 1/2 over 3/5 times 2/5.
    odds = dinucleotide_odds(["ACACA"])
    assert odds[:2, :2].ravel().tolist() == pytest.approx([0, 25 / 12, 25 / 12, 0])
    assert np.isnan(odds[2:]).all() and np.isnan(odds[:, 2:]).all()
    table = tabulate_odds({"made": ["ACGTA", "NCG"]}).set_index("dinucleotide")["odds"]
    # Pairs AC CG GT TA CG; bases A 2, C 2, G 2, T 1.
    assert (table["CG"], table["TA"], table["AA"]) == pytest.approx((0.4 / (4 / 49), 0.2 / (2 / 49), 0))


def test_runs():
    counts = run_counts(["AACNC", "CCG", "T" * 25])
    assert counts[0].tolist() == [0, 1] + [0] * 18
    assert counts[1].tolist() == [2, 1] + [0] * 18
    assert counts[2].tolist() == [1] + [0] * 19
    assert counts[3].tolist() == [0] * 19 + [1]
    assert longest_runs(["AACNC", "", "NN", "GTTTG"]).tolist() == [2, 0, 0, 3]


def test_runs_of_at_least_a_length():
    table = tabulate_runs({"made": ["AAACAANCCC"]}).set_index(["base", "length"])["per_kb"]
    assert table["A"].tolist()[:4] == pytest.approx([2000 / 9, 2000 / 9, 1000 / 9, 0])
    assert table["C"].tolist()[:4] == pytest.approx([2000 / 9, 1000 / 9, 1000 / 9, 0])
    assert table["G"].sum() == table["T"].sum() == 0


@pytest.mark.parametrize(
    ("sequence", "bases"),
    [
        ("ATGTAA", 6),
        ("CCATGAAACCCTGACC", 12),
        ("ATGAAAATGTAG", 12),
        ("ATGAAACCC", 0),
        ("ATGAANTAA", 0),
        ("TAAATG", 0),
        ("ATGCTAAC", 0),
        ("ATGTAACATGCCCTGA", 9),
        ("AT", 0),
        ("", 0),
    ],
)
def test_a_reading_frame_goes_from_atg_to_stop(sequence, bases):
    assert longest_orfs([sequence]).tolist() == [bases]
    assert longest_orfs(["ATG", sequence, "TAA"]).tolist() == [0, bases, 0]


def test_reading_frames_of_the_other_strand_are_asked_for():
    sequence = decode(reverse_complement(encode("CATGAAACCCTGAC")))
    assert longest_orfs([sequence, "ATGTAA"]).tolist() == [0, 6]
    assert longest_orfs([sequence, "ATGTAA"], both_strands=True).tolist() == [12, 6]


@given(st.lists(st.text("ATGN", max_size=60), min_size=1, max_size=3))
def test_reading_frames_as_by_hand(sequences):
    def by_hand(sequence):
        best = 0
        for start in range(len(sequence)):
            codons = [sequence[i : i + 3] for i in range(start, len(sequence) - 2, 3)]
            ends = [i for i, codon in enumerate(codons) if codon in {"TAA", "TAG", "TGA"} or "N" in codon]
            if codons and codons[0] == "ATG" and ends and "N" not in codons[ends[0]]:
                best = max(best, 3 * ends[0] + 3)
        return best

    assert longest_orfs(sequences).tolist() == [by_hand(sequence) for sequence in sequences]
