import numpy as np
import pytest

from dnastudy.files import InputError
from dnastudy.genes.fasta import encode
from dnastudy.tokens.bpe import bases_per_token, token_statistics, train_bpe
from dnastudy.tokens.tokenizer import Tokenizer


def test_the_most_frequent_pair_is_merged_first():
    # CG 4 times and GA 3 times; then CG A 3 times.
    assert train_bpe(encode("CGANCGANCGANCG"), 2).merges == [("C", "G"), ("CG", "A")]


def test_a_tie_goes_to_the_alphabetically_first_pair():
    assert train_bpe(encode("GTNACNGTNAC"), 1).merges == [("A", "C")]


def test_nothing_merges_across_an_unknown_base():
    assert train_bpe(encode("ANCANCANC"), 5).merges == [("C", "A")]


def test_nothing_merges_across_a_boundary():
    codes = encode("ACACACAC")
    assert train_bpe(codes, 5, boundaries=np.arange(8)).merges == []
    assert train_bpe(codes, 5, boundaries=np.array([0, 2, 4, 6, 8])).merges == [("A", "C")]


def test_as_many_merges_as_asked_for_even_where_two_spell_alike():
    rng = np.random.default_rng(0)
    codes = (rng.random(5000) < 0.1).astype(np.uint8)
    tokenizer = train_bpe(codes, 100, boundaries=np.arange(0, 5000, 500))
    assert len(tokenizer.merges) == 100
    assert len(tokenizer) <= 109


def test_a_rare_pair_is_left_alone():
    assert train_bpe(encode("CGANCGANCGANCG"), 50, min_count=4).merges == [("C", "G")]


def test_no_merges_is_the_single_base_tokenizer():
    assert train_bpe(encode("ACGT"), 0).tokens == Tokenizer().tokens


def test_training_is_repeatable():
    codes = np.random.default_rng(0).integers(0, 4, 20_000).astype(np.uint8)
    boundaries = np.arange(0, 20_000, 1000)
    assert train_bpe(codes, 40, boundaries).merges == train_bpe(codes, 40, boundaries).merges


@pytest.mark.parametrize(
    ("codes", "arguments", "message"),
    [
        ("NNN", {}, "no A, C, G or T"),
        ("ACGT", {"merges": -1}, "-1 merges"),
        ("ACGT", {"min_count": 0}, "least count of 0"),
        ("ACGT", {"boundaries": np.array([2, 5])}, "boundary 5 lies outside the sequence; expected 0 to 4"),
    ],
)
def test_bad_input_is_refused(codes, arguments, message):
    with pytest.raises(InputError, match=message):
        train_bpe(encode(codes), **arguments)


def test_token_statistics():
    tokenizer = Tokenizer([("A", "C"), ("G", "G")])
    table = token_statistics(tokenizer, tokenizer.encode("ACACGGNT"))
    assert table.index.tolist() == [5, 6, 7, 8, 9, 10]
    assert table["token"].tolist() == ["A", "C", "G", "T", "AC", "GG"]
    assert table["length"].tolist() == [1, 1, 1, 1, 2, 2]
    assert table["count"].tolist() == [0, 0, 0, 1, 2, 1]
    assert table["share"].tolist() == [0, 0, 0, 0.25, 0.5, 0.25]
    assert table["gc"].tolist() == [0, 1, 1, 0, 0.5, 1]
    assert table["first"].tolist() == ["A", "C", "G", "T", "A", "G"]


def test_bases_per_token_leaves_unknown_bases_out():
    tokenizer = Tokenizer([("A", "C"), ("G", "G")])
    assert bases_per_token(tokenizer, tokenizer.encode("ACACGGNT")) == 7 / 4
    assert np.isnan(bases_per_token(tokenizer, tokenizer.encode("NN")))
