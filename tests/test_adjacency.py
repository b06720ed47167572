"""Which tokens may stand side by side: a row of words is an encoding if each two neighbours may, and only then."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnastudy.models.token_bits import successors
from dnastudy.tokens.bpe import train_bpe
from dnastudy.tokens.tokenizer import CLS, FIRST_BASE, UNK, KmerTokenizer, Tokenizer, single_base

ALIKE = [("A", "C"), ("C", "G"), ("A", "CG"), ("ACG", "T"), ("AC", "G")]  # two merges spell ACG


@st.composite
def learnt(draw):
    """Merges learnt on runs of one base, repeats of a few, and text without either."""
    repeated = st.builds(lambda unit, times: unit * times, st.text("ACGT", min_size=1, max_size=3), st.integers(1, 9))
    letters = draw(st.lists(repeated | st.text("ACGT", min_size=1, max_size=30), min_size=1, max_size=5))
    return train_bpe("".join(letters), draw(st.integers(1, 30)))


def is_encoding(tokenizer, row):
    return tokenizer.encode(tokenizer.decode(row)).tolist() == list(row)


def may_stand(may, row):
    return all(may[left, right] for left, right in itertools.pairwise([CLS, *row]))


def test_neighbours_that_would_have_been_merged_may_not_stand():
    # 5 6 7 8 9 10 are A C G T AC ACA.
    may = successors(Tokenizer([("A", "C"), ("AC", "A")]))
    assert (may.shape, may.dtype) == ((11, 11), bool)
    # A C is AC, AC A is ACA; ACA C is AC AC.
    assert (np.argwhere(~may[5:, 5:]) + 5).tolist() == [[5, 6], [9, 5], [10, 6]]


def test_special_tokens():
    may = successors(Tokenizer([("A", "C")]))
    assert may[CLS].tolist() == may[UNK].tolist() == [False, True, False, False, False] + 5 * [True]
    assert may[:, UNK].tolist() == [False, True, True, False, False] + 5 * [True]
    assert not may[[0, 3, 4]].any()
    assert not may[:, [0, 2, 3, 4]].any()


def test_a_word_that_no_sequence_has_stands_nowhere():
    # ACG is AC G: that A is never left for CG.
    tokenizer = Tokenizer([("A", "C"), ("C", "G"), ("A", "CG")])
    never = tokenizer.tokens.index("ACG")
    may = successors(tokenizer)
    assert not may[:, never].any()


@pytest.mark.parametrize("tokenizer", [single_base(), KmerTokenizer(1)])
def test_single_bases_stand_anywhere(tokenizer):
    assert successors(tokenizer)[5:, 5:].all()


def test_single_bases_end_a_run_of_kmers():
    may = successors(KmerTokenizer(3))
    assert may[9:, 5:].all()
    assert may[5:9, 5:9].all()
    assert not may[5:9, 9:].any()
    assert not successors(KmerTokenizer(2))[5:9, 5:].any()


@settings(deadline=None)
@given(st.just(Tokenizer(ALIKE)) | learnt(), st.data())
def test_a_row_is_an_encoding_if_its_neighbours_may_stand_so(tokenizer, data):
    may = successors(tokenizer)
    words = st.integers(FIRST_BASE, len(tokenizer) - 1)
    for row in data.draw(st.lists(st.lists(words, min_size=1, max_size=6), min_size=10, max_size=40)):
        assert may_stand(may, row) == is_encoding(tokenizer, row)


@settings(deadline=None)
@given(st.just(Tokenizer(ALIKE)) | learnt(), st.lists(st.text("ACGT", min_size=1, max_size=60), min_size=1))
def test_neighbours_in_an_encoding_may_stand_so(tokenizer, sequences):
    may = successors(tokenizer)
    assert all(may_stand(may, tokenizer.encode(sequence)) for sequence in sequences)
    stream = tokenizer.encode("N" + "NN".join(sequences) + "N")
    assert may_stand(may, stream)


@settings(deadline=None)
@given(st.integers(1, 4), st.data())
def test_rows_of_kmers(k, data):
    tokenizer = KmerTokenizer(k)
    may = successors(tokenizer)
    assert may_stand(
        may, tokenizer.encode("".join(data.draw(st.lists(st.text("ACGTN", max_size=9), min_size=1))) + "A")
    )
    row = data.draw(st.lists(st.integers(FIRST_BASE, len(tokenizer) - 1), min_size=1, max_size=6))
    singles = sum(token < FIRST_BASE + 4 for token in row)
    assert (may_stand(may, row) and (k == 1 or singles < k)) == is_encoding(tokenizer, row)
