import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library

from dnastudy.files import InputError
from dnastudy.tokens.tokenizer import KmerTokenizer, Tokenizer


def spell(tokenizer, sequence):
    return [tokenizer.tokens[number] for number in tokenizer.encode(sequence)]


def test_vocabulary():
    tokenizer = KmerTokenizer(2)
    assert len(tokenizer) == 9 + 16
    assert tokenizer.tokens[9:13] == ("AA", "AC", "AG", "AT")
    assert len(KmerTokenizer(1)) == 9
    assert len(KmerTokenizer(6)) == 9 + 4096


def test_a_tail_goes_base_by_base():
    assert spell(KmerTokenizer(3), "ACGTTGCA") == ["ACG", "TTG", "C", "A"]
    assert KmerTokenizer(3).encode("AAC").tolist() == [10]


def test_cutting_starts_anew_after_an_unknown_base():
    assert spell(KmerTokenizer(3), "ACGTNACGNNT") == ["ACG", "T", "[UNK]", "ACG", "[UNK]", "[UNK]", "T"]


@settings(deadline=None)
@given(st.text("ACGTN", max_size=60), st.integers(1, 6))
def test_encoding_is_what_the_pattern_says(sequence, k):
    tokenizer = KmerTokenizer(k)
    pieces = re.findall(f"[ACGT]{{{k}}}|.", sequence)
    assert spell(tokenizer, sequence) == [piece if piece != "N" else "[UNK]" for piece in pieces]
    assert tokenizer.encode(sequence).dtype == np.int32
    assert tokenizer.decode(tokenizer.encode(sequence)) == sequence


@pytest.mark.parametrize("k", [1, 2, 4])
def test_the_library_reads_the_file_and_encodes_alike(tmp_path, k):
    path = tmp_path / "tokenizer.json"
    KmerTokenizer(k).save(path)
    library = Library.from_file(str(path))
    rng = np.random.default_rng(0)
    for _ in range(50):
        sequence = "".join(rng.choice(list("ACGTacgtNR"), rng.integers(50)))
        assert library.encode(sequence).ids == KmerTokenizer(k).encode(sequence).tolist()


@pytest.mark.parametrize("k", [1, 3])
def test_loading_undoes_saving(tmp_path, k):
    KmerTokenizer(k).save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert type(loaded) is KmerTokenizer
    assert loaded.k == k


@pytest.mark.parametrize("k", [0, 7])
def test_other_lengths_are_refused(k):
    with pytest.raises(InputError, match=f"k = {k}; expected 1 to 6"):
        KmerTokenizer(k)
