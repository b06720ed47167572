"""Learning merges: those of the `tokenizers` library, in its order, whatever the threads."""

import json
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library
from tokenizers import models, trainers

from dnastudy.files import InputError
from dnastudy.genes.codes import decode, encode
from dnastudy.genes.fasta import read_fasta
from dnastudy.tokens.bpe import train_bpe
from dnastudy.tokens.tokenizer import BASES, SPECIALS, Tokenizer


def by_library(codes, boundaries, merges):
    """The merges that the `tokenizers` library learns."""
    chunks = [
        run for chunk in np.split(codes, boundaries[boundaries > 0]) for run in decode(chunk).split("N") if len(run)
    ]
    library = Library(models.BPE(unk_token=SPECIALS[1]))
    trainer = trainers.BpeTrainer(
        vocab_size=len(SPECIALS) + len(BASES) + merges,
        min_frequency=1,
        special_tokens=list(SPECIALS),
        initial_alphabet=list(BASES),
        show_progress=False,
    )
    library.train_from_iterator(chunks, trainer)
    return [tuple(pair) for pair in json.loads(library.to_str())["model"]["merges"]]


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


@given(
    st.lists(st.sampled_from("ACGTN"), min_size=2, max_size=400).filter(lambda letters: set(letters) != {"N"}),
    st.floats(0.02, 1),
    st.integers(1, 120),
    st.integers(1, 400),
    st.integers(1, 3),
)
@settings(max_examples=150, deadline=None)
def test_merges_are_those_of_the_library(letters, rarity, merges, chunk, threads):
    # With few letters runs are long: of three like tokens the first two are merged.
    codes = encode("".join(letter if number * rarity % 1 < rarity else "A" for number, letter in enumerate(letters)))
    codes[0] = 0
    boundaries = np.arange(0, len(codes), chunk)
    with mock.patch("dnastudy.tokens.bpe.cores", return_value=threads):
        learnt = train_bpe(codes, merges, boundaries).merges
    assert learnt == by_library(codes, boundaries, merges)
    assert len({left + right for left, right in learnt}) == len(learnt)


@pytest.mark.slow
@pytest.mark.data
def test_600_merges_on_ten_megabases_are_those_of_the_library(chromosomes):
    codes = next(read_fasta(chromosomes["chr22.fa"])).codes[15_000_000:25_000_000]
    boundaries = np.arange(0, len(codes), 10_000)
    learnt = train_bpe(codes, 600, boundaries)
    assert learnt.merges == by_library(codes, boundaries, 600)
    assert learnt.merges[:4] == [("A", "A"), ("T", "T"), ("G", "G"), ("C", "C")]


def test_a_chromosome_as_one_stream(corpus):
    codes = np.asarray(corpus.all_codes[:300_000])
    assert train_bpe(codes, 50).merges == by_library(codes, np.array([0]), 50)


def test_letters_will_do():
    assert train_bpe("cgaNCGAnCGANCG", 2).merges == [("C", "G"), ("CG", "A")]


def test_more_merges_than_there_are_pairs_take_no_memory():
    assert train_bpe("ACGT", 60_000).merges == [("A", "C"), ("G", "T"), ("AC", "GT")]


def test_a_rare_pair_is_left_alone():
    assert train_bpe(encode("CGANCGANCGANCG"), 50, min_count=4).merges == [("C", "G")]


def test_no_merges_is_the_single_base_tokenizer():
    assert train_bpe(encode("ACGT"), 0).tokens == Tokenizer().tokens


def test_training_is_repeatable():
    codes = np.random.default_rng(0).integers(0, 4, 20_000).astype(np.uint8)
    boundaries = np.arange(0, 20_000, 1000)
    assert train_bpe(codes, 40, boundaries).merges == train_bpe(codes, 40, boundaries).merges


def test_one_base_has_no_pair_and_one_token():
    for sequence in ("A", "a", "NAN"):
        tokenizer = train_bpe(sequence, 5)
        assert tokenizer.merges == [] and tokenizer.decode(tokenizer.encode(sequence)) == sequence.upper()


@pytest.mark.parametrize(
    ("codes", "arguments", "message"),
    [
        ("NNN", {}, "no A, C, G or T"),
        ("", {}, "no A, C, G or T"),
        ("ACGT", {"merges": -1}, "-1 merges"),
        ("ACGT", {"merges": 65_528}, "65,528 merges .* expected 0 to 65,527, since ids have 16 bits"),
        ("ACGT", {"min_count": 0}, "least count of 0"),
        ("ACGT", {"boundaries": np.array([2, 5])}, "boundary 5 lies outside the sequence; expected 0 to 4"),
    ],
)
def test_bad_input_is_refused(codes, arguments, message):
    with pytest.raises(InputError, match=message):
        train_bpe(encode(codes), **arguments)
