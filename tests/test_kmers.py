"""K-mers of either strand, and the bases that two sets of genes share through them."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnastudy.genes import decode, encode, reverse_complement
from dnastudy.genes.kmers import either_strand, shared_mask


def test_a_sequence_and_its_reverse_complement_have_one_name():
    assert either_strand(encode("ACCTN")) == either_strand(encode("NAGGT")) != either_strand(encode("NTCCA"))


def test_shared_bases_are_found_on_both_strands_and_not_across_unknown_bases():
    core = "ACGTTGCAAC"
    sequences = [
        "TT" + core + "TT",
        "GG" + core + "G",
        "CC" + decode(reverse_complement(encode(core))),
        "ACGTNTGCAAC",
    ]
    codes = [encode(sequence) for sequence in sequences]
    offsets = np.cumsum([0, *map(len, codes)])
    mask = shared_mask(np.concatenate(codes), offsets, np.array([0, 1, 2, 2]), k=10)
    found = [mask[a:b].astype(int).tolist() for a, b in itertools.pairwise(offsets)]
    assert found == [[0] * 14, [0, 0] + [1] * 10 + [0], [0, 0] + [1] * 10, [0] * 11]


@settings(deadline=None)
@given(st.text(alphabet="ACGTN", max_size=60), st.text(alphabet="ACGTN", max_size=60), st.integers(1, 6))
def test_shared_bases_agree_with_looking_up_strings(train, held_out, k):
    seen = {train[i : i + k] for i in range(len(train) - k + 1)}
    seen |= {decode(reverse_complement(encode(kmer))) for kmer in seen}
    expected = np.zeros(len(train) + len(held_out), dtype=bool)
    for i in range(len(held_out) - k + 1):
        kmer = held_out[i : i + k]
        if kmer in seen and "N" not in kmer:
            expected[len(train) + i : len(train) + i + k] = True
    offsets = np.array([0, len(train), len(train) + len(held_out)])
    assert shared_mask(encode(train + held_out), offsets, np.array([0, 2]), k=k).tolist() == expected.tolist()


def test_a_kmer_must_fit_64_bits():
    with pytest.raises(ValueError, match="between 1 and 31, not 32"):
        shared_mask(encode("A"), np.array([0, 1]), np.array([0]), k=32)
