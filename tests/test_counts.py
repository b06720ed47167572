"""Counts of n-grams of every order, and what is kept of sequences to count them again."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnastudy.genes import decode, encode
from dnastudy.models.counts import both_strands, count, fit_weights, flat, gathered, next_bases, pack, unpack

SEQUENCES = st.lists(st.text("ACGTN", max_size=40), min_size=1, max_size=6)


def ngrams_by_hand(sequences, order):
    """Every n-gram of A C G T of one order."""
    found = (one[start : start + order] for one in sequences for start in range(len(one) - order + 1))
    return Counter(ngram for ngram in found if "N" not in ngram)


@settings(deadline=None)  # numba compiles within the first example
@given(SEQUENCES, st.integers(1, 5))
def test_counts_are_exact_at_every_order(sequences, order):
    tables = count(*flat(sequences), order).tables
    for lower in range(1, order + 1):
        table = tables[(4**lower - 4) // 3 : (4 ** (lower + 1) - 4) // 3]
        expected = ngrams_by_hand(sequences, lower)
        assert table.sum() == expected.total()
        for ngram, times in expected.items():
            assert table[int("".join(str("ACGT".index(base)) for base in ngram), 4)] == times


@settings(deadline=None)
@given(SEQUENCES)
def test_older_bases_are_sorted_within_each_ngram(sequences):
    counts = count(*flat(sequences), 6, dense=2)
    assert len(counts.older) == ngrams_by_hand(sequences, 2).total() == counts.starts[-1]
    digits = np.stack([counts.older // 5**place % 5 for place in range(4)], axis=1)  # the furthest base first
    expected = ngrams_by_hand(sequences, 6)
    for number, pair in enumerate(first + second for first in "ACGT" for second in "ACGT"):
        inside = slice(counts.starts[number], counts.starts[number + 1])
        assert np.all(np.diff(counts.older[inside].astype(np.int64)) >= 0)
        found = Counter("".join(".ACGT"[digit] for digit in row) + pair for row in digits[inside])
        assert {ngram: times for ngram, times in found.items() if "." not in ngram} == {
            ngram: times for ngram, times in expected.items() if ngram.endswith(pair)
        }


@pytest.mark.parametrize("dense", [1, 2, 4])
def test_sorted_contexts_say_the_same_as_tables(dense):
    random = np.random.default_rng(3)
    train, validation = (
        decode(random.choice(5, 3_000, p=[0.4, 0.2, 0.2, 0.19, 0.01]).astype(np.uint8)) for _ in range(2)
    )
    tables, sorted_ones = count(*flat([train]), 6), count(*flat([train]), 6, dense=dense)
    weights, bits = fit_weights(tables, *flat([validation]))
    assert [one.tolist() for one in fit_weights(sorted_ones, *flat([validation]))] == [weights.tolist(), bits.tolist()]
    contexts, known = np.arange(4**5), np.arange(4**5) % 8
    expected, found = np.empty((2, 4**5, 4))
    next_bases(tables, weights, contexts, known, expected)
    next_bases(sorted_ones, weights, contexts, known, found)
    assert np.allclose(found, expected, rtol=1e-13, atol=0)
    assert np.allclose(expected.sum(axis=1), 1)


def test_older_bases_literal():
    counts = count(*flat(["GTAC", "AC"]), 4, dense=2)
    # AC is preceded by T, then G, and by nothing; digits in base 5 from the nearest: T G = 4 * 5 + 3.
    assert counts.older[counts.starts[1] : counts.starts[2]].tolist() == [0, 23]


@given(st.text("ACGTN", max_size=30))
def test_packed_codes_come_back(text):
    codes = encode(text)
    packed = pack(codes)
    assert len(packed) == (len(text) + 3) // 4
    assert unpack(packed, len(text), np.flatnonzero(codes > 3)).tolist() == codes.tolist()


def test_gathered_and_both_strands():
    codes, spans = encode("TTACGNTTGGA"), np.array([[2, 6], [8, 11]])
    alone, places = gathered(codes, spans)
    assert (decode(alone), places.tolist()) == ("ACGNGGA", [[0, 4], [4, 7]])
    both, places = both_strands(codes, spans)
    assert [decode(both[start:end]) for start, end in places] == ["ACGN", "GGA", "TCC", "NCGT"]


def test_fit_weights_are_one_for_each_order():
    weights, bits = fit_weights(count(*flat(["ACGTACGT"]), 3), *flat(["ACGT"]))
    assert weights.shape == bits.shape == (3,)
