"""dnastudy.tokens.statistics: what tokens are and where they stand."""

import numpy as np
import pytest

from dnastudy.chapters.train_tokenizers import (
    agreement,
    by_rank,
    dinucleotides_kept,
    edge_effect,
    first_letters,
    length_distribution,
    mirrored,
    random_like,
    strand_cuts,
)
from dnastudy.files import InputError
from dnastudy.genes.codes import encode
from dnastudy.tokens.statistics import bases_per_token, encode_nested, summarise, token_statistics
from dnastudy.tokens.tokenizer import KmerTokenizer, Tokenizer

TOKENIZER = Tokenizer([("A", "C"), ("G", "G")])


def test_token_statistics():
    table = token_statistics(TOKENIZER, TOKENIZER.encode("ACACGGNT"))
    assert table.index.tolist() == [5, 6, 7, 8, 9, 10]
    assert table["token"].tolist() == ["A", "C", "G", "T", "AC", "GG"]
    assert table["length"].tolist() == [1, 1, 1, 1, 2, 2]
    assert table["count"].tolist() == [0, 0, 0, 1, 2, 1]
    assert table["share"].tolist() == [0, 0, 0, 0.25, 0.5, 0.25]
    assert table["gc"].tolist() == [0, 1, 1, 0, 0.5, 1]
    assert table["first"].tolist() == ["A", "C", "G", "T", "A", "G"]


def test_share_of_tokens_in_repeats():
    repeats = np.array([1, 1, 1, 0, 0, 1, 1, 0], dtype=bool)  # AC AC GG N T
    table = token_statistics(TOKENIZER, TOKENIZER.encode("ACACGGNT"), repeats).set_index("token")
    assert table["in_repeats"].dropna().to_dict() == {"T": 0.0, "AC": 0.75, "GG": 0.5}


@pytest.mark.parametrize("alike", [False, True])
def test_nested_encodings_are_those_of_each(alike):
    merges = [("A", "C"), ("A", "A"), ("AC", "AA"), ("G", "AC"), ("T", "ACAA")]
    merges += [("A", "AA"), ("AA", "A")] if alike else [("GAC", "GAC")]
    codes = np.random.default_rng(0).choice(5, 3000, p=[0.5, 0.2, 0.15, 0.13, 0.02]).astype(np.uint8)
    found = list(encode_nested(Tokenizer(merges), codes, [len(merges), 2, 0, 4]))
    assert [size for size, _, _ in found] == [0, 2, 4, len(merges)]
    for size, tokenizer, ids in found:
        assert tokenizer.merges == merges[:size]
        assert ids.tolist() == Tokenizer(merges[:size]).encode(codes).tolist()


def test_bases_per_token_leaves_unknown_bases_out():
    assert bases_per_token(TOKENIZER, TOKENIZER.encode("ACACGGNT")) == 7 / 4
    assert np.isnan(bases_per_token(TOKENIZER, TOKENIZER.encode("NN")))


def test_a_vocabulary_in_a_few_numbers():
    tokenizer = Tokenizer([("C", "G"), ("A", "CG"), ("CG", "ACG"), ("CGACG", "A")])
    numbers = summarise(token_statistics(tokenizer, tokenizer.encode("CGACGATTCGACGNT")))  # CGACGA T T CGACG N T
    assert numbers == {
        "tokens": 8,
        "used": 3,
        "shortest": 1,
        "longest": 6,
        "mean_length": 4.0,
        "five_mers": 1,
        "six_mers": 1,
        "with_CG": 2,
        "A_or_T_first": pytest.approx(1 / 3),
        "bases_per_token": pytest.approx(14 / 5),
        "A_or_T_first_share": pytest.approx(0.6),
        "with_CG_share": pytest.approx(0.4),
        "entropy": pytest.approx(1.370951),  # of 0.6, 0.2 and 0.2
        "evenness": pytest.approx(1.370951 / np.log2(3)),
        "bits_per_base": pytest.approx(1.370951 * 5 / 14),
    }


def test_equally_frequent_tokens_are_wholly_even():
    numbers = summarise(token_statistics(Tokenizer(), Tokenizer().encode("ACGT")))
    assert (numbers["entropy"], numbers["evenness"], numbers["bits_per_base"]) == (2, 1, 2)


def test_lengths_have_no_gaps():
    tokenizer = Tokenizer([("A", "C"), ("AC", "G")])
    table = length_distribution(token_statistics(tokenizer, tokenizer.encode("ACGTTACG")))  # ACG T T ACG
    assert table["length"].tolist() == [1, 2, 3]
    assert table["tokens"].tolist() == [1, 0, 1]
    assert table["occurrences"].tolist() == [0.5, 0, 0.5]
    assert table["bases"].tolist() == [0.25, 0, 0.75]


def test_ranks_go_from_the_commonest_down():
    table = by_rank(token_statistics(TOKENIZER, TOKENIZER.encode("ACACGGNTAC")))
    assert table.to_dict("list") == {"rank": [1, 2, 3], "token": ["AC", "T", "GG"], "share": [0.6, 0.2, 0.2]}


def test_first_letters():
    table = first_letters(token_statistics(TOKENIZER, TOKENIZER.encode("ACACGGNT")))  # AC AC GG N T
    assert table["base"].tolist() == ["A", "C", "G", "T"]
    assert table["share"].tolist() == [0.5, 0, 0.25, 0.25]
    assert table["composition"].tolist() == [2 / 7, 2 / 7, 2 / 7, 1 / 7]


def test_dinucleotides_inside_tokens_and_across_cuts():
    table = dinucleotides_kept(TOKENIZER, TOKENIZER.encode("ACACGGGNGC")).set_index("dinucleotide")  # AC AC GG G N G C
    assert table["count"][table["count"] > 0].to_dict() == {"AC": 2, "CA": 1, "CG": 1, "GC": 1, "GG": 2}
    assert table["kept"].dropna().to_dict() == {"AC": 1, "CA": 0, "CG": 0, "GC": 0, "GG": 0.5}


def test_vocabularies_agree_in_their_first_tokens():
    first = Tokenizer([("A", "C"), ("G", "G"), ("T", "T"), ("A", "A")])
    second = Tokenizer([("G", "G"), ("A", "C"), ("T", "T"), ("C", "C")])
    table = agreement(first, second, [4, 1, 2, 3, 9])
    assert table["n"].tolist() == [1, 2, 3, 4]
    assert table["jaccard"].tolist() == [0, 1, 1, 3 / 5]
    assert table["rank_correlation"].tolist()[2:] == [0.5, 0.5]
    assert table["rank_correlation"].isna().tolist() == [True, True, False, False]


def test_the_mirror_image_of_a_vocabulary():
    tokenizer = Tokenizer([("A", "C"), ("AC", "C")])
    assert mirrored(tokenizer).merges == [("G", "T"), ("G", "GT")]
    assert mirrored(mirrored(tokenizer)).merges == tokenizer.merges


def test_cuts_of_both_strands():
    codes = encode("AAAAANAA")
    pairs = KmerTokenizer(2)  # AA AA A N AA and, read on the other strand, TT N TT TT T: A AA AA N AA
    assert strand_cuts(pairs, codes) == {"forward": 7 / 4, "reverse": 7 / 4, "shared": 0.0, "chance": 2 / 5}
    single = strand_cuts(Tokenizer(), codes)
    assert (single["shared"], single["chance"]) == (1, 1)


def test_what_a_cut_changes():
    codes = encode("A" * 40)
    pairs = Tokenizer([("A", "A")])
    table = edge_effect(pairs, codes, pairs.encode(codes), length=6, margins=(0, 40), count=50)
    assert not table[table["margin"] == 40]["differs"].any()
    bare = table[table["margin"] == 0].groupby("stretch")
    # From an even place the whole's three tokens are kept; from an odd one none of the four that have a base in it.
    assert set(bare["differs"].agg(["size", "sum"]).itertuples(index=False, name=None)) == {(3, 0), (4, 4)}
    assert set(bare["distance"].agg(tuple)) == {(0, 2, 0), (0, 1, 1, 0)}
    assert set(bare["side"].agg(tuple)) == {("left", "left", "right"), ("left", "left", "right", "right")}


def test_stretches_hold_known_bases_alone():
    codes = encode("ACGT" * 3 + "N" + "AC" + "N" + "ACGT" * 2)
    table = edge_effect(Tokenizer(), codes, Tokenizer().encode(codes), length=8, margins=(0,), count=40)
    assert (table.groupby("stretch").size() == 8).all()
    assert not table["differs"].any()
    with pytest.raises(InputError, match="no stretch of 13 known bases in 24"):
        edge_effect(Tokenizer(), codes, Tokenizer().encode(codes), length=13)


def test_random_sequence_is_composed_alike():
    codes = random_like(encode("AAACNNNN"), 10_000, seed=0)
    assert codes.dtype == np.uint8
    assert set(codes) == {0, 1}
    assert np.mean(codes == 0) == pytest.approx(0.75, abs=0.02)
