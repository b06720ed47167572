"""dnastudy.tasks.next_kmer: where the next k-mer is asked for, from which tokens, and what was seen before."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnastudy.files import InputError
from dnastudy.genes.codes import UNKNOWN, decode, encode, kmers_at, reverse_complement, true_runs
from dnastudy.tasks.next_kmer import (
    blocks,
    check_classes,
    context_tokens,
    draw_examples,
    seen_before,
    windows,
)
from dnastudy.tokens.bpe import train_bpe
from dnastudy.tokens.tokenizer import KmerTokenizer, Tokenizer

RANDOM = np.random.default_rng(0).choice(5, 3000, p=[0.35, 0.2, 0.2, 0.24, 0.01]).astype(np.uint8)


def sequence(length, seed=0):
    return np.random.default_rng(seed).integers(4, size=length).astype(np.uint8)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(0, 9), st.integers(1, 4), st.integers(0, 5))
def test_windows_are_known_and_lie_side_by_side(lengths, context, most, seed):
    codes = np.concatenate([np.append(sequence(length), np.uint8(4)) for length in lengths])
    width = context + most
    fit = sum(length // width for length in lengths)
    if not fit:
        with pytest.raises(InputError, match=f"no {width} known bases in a row"):
            draw_examples(codes, 1000, context=context, most=most, seed=seed)
        return
    places = draw_examples(codes, 1000, context=context, most=most, seed=seed)
    assert len(places) == fit
    assert (np.diff(places) >= width).all()
    assert (windows(codes, places, context, most) < 4).all()


def test_a_draw_is_a_part_of_all_windows_and_depends_on_the_seed():
    codes = sequence(1000)
    places = draw_examples(codes, 5, context=8, most=2, seed=3)
    assert len(places) == 5
    assert set(places) <= set(draw_examples(codes, 1000, context=8, most=2, seed=3).tolist())
    assert (places == draw_examples(codes, 5, context=8, most=2, seed=3)).all()
    assert (places != draw_examples(codes, 5, context=8, most=2, seed=4)).any()


def test_the_published_windows_overlap():
    codes = np.concatenate([sequence(14), [np.uint8(4)], sequence(11)])
    places = draw_examples(codes, 200, context=8, most=2, overlapping=True)
    assert len(places) == 200
    assert set(places) == {8, 9, 10, 11, 12, 23, 24}  # every place whose window is known
    with pytest.raises(InputError, match="no stretch of 16 known bases"):
        draw_examples(codes, 200, context=14, most=2, overlapping=True)


def test_runs_of_known_bases():
    assert true_runs(encode("NNACNGTTN") < UNKNOWN).tolist() == [[2, 4], [5, 8]]
    assert true_runs(encode("N") < UNKNOWN).tolist() == []


def test_numbers_of_k_mers():
    codes = encode("ACGTTTCA")
    assert kmers_at(codes, np.array([0, 1, 6]), 2).tolist() == [1, 6, 4]  # AC CG CA
    assert kmers_at(codes, np.array([3]), 3).tolist() == [63]


def test_fewer_windows_than_classes():
    check_classes(256, 4)
    with pytest.raises(InputError, match="255 windows to learn 4-mers from; expected at least 256"):
        check_classes(255, 4)


def test_windows_reach_beyond_the_ends():
    rows = windows(encode("ACGT"), np.array([1, 4]), 2, 1)
    assert [decode(row) for row in rows] == ["NAC", "GTN"]


@pytest.mark.parametrize("margin", [0, 3, 30])
@pytest.mark.parametrize("merges", [0, 1, 60])
def test_tokens_are_those_of_each_stretch_by_itself(merges, margin):
    tokenizer = train_bpe(RANDOM, merges) if merges else Tokenizer()
    runs = true_runs(RANDOM < UNKNOWN)
    # From the first place that has 12 bases before it, in the sequence and in each run.
    places = np.concatenate([np.arange(start + 12, end + 1) for start, end in runs])
    rows = context_tokens(tokenizer, RANDOM, places, context=12, margin=margin)
    assert len(rows) == len(places)
    for place, row in zip(places, rows, strict=True):
        first = max(0, place - 12 - margin)
        cut = RANDOM[first:place]
        expected, _ = tokenizer.encode_within(cut, place - 12 - first, place - first)
        assert row.tolist() == expected.tolist()
        assert row.dtype == np.int32


def test_k_mers_are_counted_backwards_from_the_place():
    tokenizer = KmerTokenizer(3)

    def spelt(text, place, **options):
        (row,) = context_tokens(tokenizer, encode(text), np.array([place]), **options)
        return [tokenizer.tokens[number] for number in row]

    text = "GACTTACGATT"
    assert spelt(text, 9, context=4, margin=5) == ["TTA", "CGA"]
    assert spelt(text, 10, context=4, margin=5) == ["TAC", "GAT"]
    assert spelt(text, 10, context=6, margin=100) == ["TAC", "GAT"]
    assert spelt(text, 10, context=7, margin=1) == ["TAC", "GAT"]  # one more base to the left isn't enough
    assert spelt("GANTTACGAT", 10, context=6, margin=4) == ["TAC", "GAT"]
    assert spelt("GANTTACGAT", 10, context=7, margin=3) == ["TAC", "GAT"]
    assert spelt(text, 10, context=7, margin=0) == ["TTA", "CGA", "T"]  # the tail as it falls


def test_no_places_have_no_tokens():
    assert context_tokens(Tokenizer(), RANDOM, np.zeros(0, dtype=np.int64)) == []


def test_blocks():
    assert blocks(np.array([0, 999_999, 1_000_000])).tolist() == [0, 0, 1]
    assert blocks(np.array([10, 25]), 10).tolist() == [1, 2]


@pytest.mark.parametrize("strand", [np.asarray, reverse_complement])
def test_what_was_seen_before_on_either_strand(strand):
    train, test = sequence(500, 1), sequence(100, 2)
    test[20:32] = train[100:112]  # 12 bases, of windows of 10 + 2 the whole, a half, none
    codes = np.concatenate([sequence(30, 3), [np.uint8(4)], strand(train)])
    share = seen_before(codes, test, np.array([30, 36, 60]), context=10, most=2, k=6)
    assert share.tolist() == [1, 0.5, 0]
    assert seen_before(codes, test, np.array([30, 36]), context=10, most=2, k=7).tolist() == [1, 0]


def test_how_far_a_window_reaches_must_be_said():
    with pytest.raises(TypeError, match="most"):
        seen_before(RANDOM, RANDOM, np.array([50]), context=10)
