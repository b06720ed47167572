from collections import Counter
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnastudy.genes.codes import decode, encode
from dnastudy.tasks.composition import dinucleotide_shuffle
from dnastudy.tasks.label_windows import matched_windows, token_shuffle
from dnastudy.tokens import KmerTokenizer, Tokenizer


def pairs(letters):
    return Counter(letters[at : at + 2] for at in range(len(letters) - 1))


@settings(deadline=None)
@given(st.text("ACGTN", max_size=80), st.integers(0, 2**32))
def test_dinucleotides_ends_and_unknown_bases_are_kept(letters, seed):
    shuffled = decode(dinucleotide_shuffle(encode(letters), np.random.default_rng(seed)))
    assert len(shuffled) == len(letters)
    assert pairs(shuffled) == pairs(letters)
    assert [at for at, base in enumerate(shuffled) if base == "N"] == [n for n, b in enumerate(letters) if b == "N"]
    assert [(run[:1], run[-1:]) for run in shuffled.split("N")] == [(run[:1], run[-1:]) for run in letters.split("N")]


def test_every_sequence_of_the_same_dinucleotides_is_drawn_as_often():
    letters = "AACACCGAT"  # whose last C is followed by G in some of them, by A in others
    same = {"".join(("A", *way, "T")) for way in permutations(letters[1:-1])}
    same = sorted(way for way in same if pairs(way) == pairs(letters))
    rng = np.random.default_rng(0)
    drawn = Counter(decode(dinucleotide_shuffle(encode(letters), rng)) for _ in range(300 * len(same)))
    assert sorted(drawn) == same and len(same) == 12
    chi_squared = sum((count - 300) ** 2 / 300 for count in drawn.values())
    assert chi_squared < 31.3  # of 11 degrees of freedom, by chance once in a thousand


def test_a_shuffle_leaves_its_sequence_alone_and_comes_again_with_its_seed():
    codes = np.random.default_rng(1).integers(0, 4, 300).astype(np.uint8)
    before = codes.copy()
    first, second = (dinucleotide_shuffle(codes, np.random.default_rng(2)) for _ in range(2))
    assert (codes == before).all() and (first == second).all() and (first == codes).mean() < 0.5
    for alone in ("ACG", "AAAAA"):
        assert decode(dinucleotide_shuffle(encode(alone), np.random.default_rng(0))) == alone


def test_tokens_are_shuffled_whole():
    tokenizer = Tokenizer([("A", "C"), ("AC", "G")])
    rng = np.random.default_rng(0)
    drawn = {decode(token_shuffle(encode("ACGTN"), tokenizer, rng)) for _ in range(100)}
    assert drawn == {"ACGTN", "ACGNT", "TACGN", "TNACG", "NACGT", "NTACG"}


def test_kmers_are_shuffled_whole():
    rng = np.random.default_rng(0)
    drawn = {decode(token_shuffle(encode("AAACCCG"), KmerTokenizer(3), rng)) for _ in range(50)}
    assert drawn == {"".join(way) for way in permutations(["AAA", "CCC", "G"])}


@pytest.fixture
def contig():
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 4, 200_000).astype(np.uint8)
    codes[150_000:150_100] = 4
    starts = rng.integers(60_000, 120_000, 40)
    repeats = pd.DataFrame({"start": np.arange(0, 200_000, 1000), "end": np.arange(0, 200_000, 1000) + 500})
    return codes, starts, repeats


def test_matches_are_alike_near_apart_and_clear_of_what_is_avoided(contig):
    codes, starts, repeats = contig
    avoid = np.append(starts, [20_000, 40_000])
    found = matched_windows(codes, starts, 300, avoid=avoid, within=(10_000, 180_000), repeats=repeats)
    assert (found >= 0).sum() == 40
    gc, in_repeat, unknown = np.isin(codes, (1, 2)), np.arange(200_000) % 1000 < 500, codes > 3
    for start, match in zip(starts, found, strict=True):
        mine, other = slice(start, start + 300), slice(match, match + 300)
        assert abs(gc[mine].sum() - gc[other].sum()) <= 6
        assert abs(in_repeat[mine].sum() - in_repeat[other].sum()) <= 30
        assert 10_000 <= abs(match - start) <= 1_000_000
        assert 10_000 <= match <= 180_000 - 300
        assert not unknown[other].any()
        assert ((avoid < match - 1000) | (avoid >= match + 1300)).all()
    assert (np.diff(np.sort(found)) >= 300).all()


def test_without_a_match_there_is_none(contig):
    codes, starts, repeats = contig
    codes = np.where(codes == 0, np.uint8(3), codes)
    codes[starts[0] : starts[0] + 300] = 1  # all C
    found = matched_windows(codes, starts[:1], 300, avoid=starts[:1], within=(0, 200_000), repeats=repeats)
    assert found.tolist() == [-1]


def test_the_repeat_share_narrows_the_choice(contig):
    codes, starts, _ = contig
    everywhere = pd.DataFrame({"start": [0], "end": [130_000]})
    found = matched_windows(codes, starts, 300, avoid=starts, within=(0, 200_000), repeats=everywhere)
    assert (found[found >= 0] <= 130_000 - 270).all()
    free = matched_windows(codes, starts, 300, avoid=starts, within=(0, 200_000))
    assert (free > 130_000).any()


def test_no_window_has_no_match(contig):
    found = matched_windows(contig[0], np.zeros(0, dtype=np.int64), 300, avoid=np.zeros(0), within=(0, 200_000))
    assert found.tolist() == []
