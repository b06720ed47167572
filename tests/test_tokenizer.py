import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library

from dnastudy.files import InputError
from dnastudy.genes.fasta import encode
from dnastudy.tokens.tokenizer import Tokenizer, as_codes, coded, single_base

MERGES = [("A", "C"), ("AC", "AC"), ("A", "A"), ("AA", "A"), ("A", "AA"), ("T", "G")]


def test_ids_are_specials_then_bases_then_merges():
    tokens = Tokenizer(MERGES).tokens
    assert tokens[:5] == ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    assert tokens[5:] == ("A", "C", "G", "T", "AC", "ACAC", "AA", "AAA", "TG")


def test_two_merges_that_spell_the_same_share_an_id():
    assert len(Tokenizer(MERGES)) == 5 + 4 + 5


def test_single_bases():
    ids = single_base().encode("ACgtNR")
    assert ids.dtype == np.int32
    assert ids.tolist() == [5, 6, 7, 8, 1, 1]
    assert len(single_base()) == 9


def test_merges_apply_in_order_and_stop_at_unknown_bases():
    assert Tokenizer(MERGES).encode("ACACNaaaTG").tolist() == [10, 1, 12, 13]
    assert Tokenizer([("C", "G")]).encode("ACNGCG").tolist() == [5, 6, 1, 7, 9]


def test_codes_and_letters_encode_alike():
    tokenizer = Tokenizer(MERGES)
    np.testing.assert_array_equal(tokenizer.encode(encode("ACACNTG")), tokenizer.encode("ACACNTG"))


def test_an_empty_sequence_has_no_tokens():
    for tokenizer in (single_base(), Tokenizer(MERGES)):
        assert tokenizer.encode("").dtype == np.int32
        assert tokenizer.encode("").tolist() == []
        assert tokenizer.decode([]) == ""


def test_decoding_drops_specials_and_spells_unknown_as_n():
    assert single_base().decode([2, 5, 1, 8, 3, 0, 4]) == "ANT"


@settings(deadline=None)
@given(st.text("ACGTN", max_size=80))
def test_decoding_undoes_encoding(sequence):
    assert Tokenizer(MERGES).decode(Tokenizer(MERGES).encode(sequence)) == sequence


@pytest.mark.parametrize("merges", [[], MERGES])
def test_the_library_reads_the_file_and_encodes_alike(tmp_path, merges):
    Tokenizer(merges).save(tmp_path / "tokenizer.json")
    library = Library.from_file(str(tmp_path / "tokenizer.json"))
    rng = np.random.default_rng(0)
    for _ in range(100):
        sequence = "".join(rng.choice(list("AAACCTGacgtNnR"), rng.integers(50)))
        assert library.encode(sequence).ids == Tokenizer(merges).encode(sequence).tolist()
    assert library.decode(library.encode("acACaaa").ids) == "ACACAAA"


def test_loading_undoes_saving(tmp_path):
    Tokenizer(MERGES).save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert loaded.merges == MERGES
    assert loaded.tokens == Tokenizer(MERGES).tokens


def test_merges_kept_as_one_string_are_read(tmp_path):
    path = tmp_path / "tokenizer.json"
    Tokenizer([("A", "C")]).save(path)
    content = json.loads(path.read_text())
    content["model"]["merges"] = ["A C"]
    path.write_text(json.dumps(content))
    assert Tokenizer.load(path).merges == [("A", "C")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": None}, "no model with a vocabulary"),
        ({"model": {"type": "WordLevel", "vocab": {"ACGTACG": 0}}}, "k = 7; expected 1 to 6"),
        ({"model": {"type": "Unigram", "vocab": {}}}, "model type 'Unigram'"),
        ({"model": {"type": "BPE", "vocab": {"A": 0}, "merges": []}}, "numbered otherwise"),
        ({"model": {"type": "BPE", "vocab": {}, "merges": ["A"]}}, "merge 'A'; expected two tokens"),
        ({"model": {"type": "BPE", "vocab": {}, "merges": ["A X"]}}, "merge 0 .A X.: X is neither a base"),
    ],
)
def test_a_file_that_is_no_tokenizer_of_ours_is_refused(tmp_path, change, message):
    path = tmp_path / "tokenizer.json"
    single_base().save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message) as error:
        Tokenizer.load(path)
    assert str(path) in str(error.value)


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text("[1, 2]")
    with pytest.raises(InputError, match="no model with a vocabulary"):
        Tokenizer.load(tmp_path / "tokenizer.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.json: no such file"):
        Tokenizer.load(tmp_path / "absent.json")


def test_a_merge_of_a_token_not_yet_made_is_refused():
    with pytest.raises(InputError, match=r"merge 0 \(AC A\): AC is neither"):
        Tokenizer([("AC", "A"), ("A", "C")])


def test_what_is_neither_letters_nor_codes_is_refused():
    with pytest.raises(InputError, match=r"int64 array of shape \(2,\)"):
        as_codes(np.array([0, 1]))
    with pytest.raises(InputError, match="a sequence is list"):
        as_codes(["A"])


def test_a_list_of_sequences_or_codes_and_spans():
    spans = np.array([[2, 4], [0, 0], [1, 2]])
    for sequences in (["GT", "", "C"], [encode("gt"), "", "c"], (encode("ACGT"), spans), ("GT", "", "C")):
        assert [one.tolist() for one in coded(sequences)] == [[2, 3], [], [1]]
    assert [one.tolist() for one in coded(("A", "C"))] == [[0], [1]]  # two sequences, no pair


@pytest.mark.parametrize(("one", "found"), [("ACGT", "string"), (encode("ACGT"), "array of base codes")])
def test_one_sequence_is_no_list_of_them(one, found):
    with pytest.raises(InputError, match=f"expected a list of sequences, found one {found}; put it in a list"):
        coded(one)


def test_single_bases_need_no_library(tmp_path):
    import subprocess
    import sys

    script = (
        "import sys; sys.modules['tokenizers'] = None\n"
        "from dnastudy.tokens.tokenizer import Tokenizer, single_base\n"
        f"single_base().save({str(tmp_path / 't.json')!r})\n"
        f"print(Tokenizer.load({str(tmp_path / 't.json')!r}).encode('ACGT').tolist())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[5, 6, 7, 8]\n"
