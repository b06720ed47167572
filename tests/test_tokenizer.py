import itertools
import json
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library

from dnastudy.files import InputError
from dnastudy.genes.codes import as_codes, coded, encode
from dnastudy.tokens.tokenizer import KmerTokenizer, Tokenizer, load_foreign, single_base

MERGES = [("A", "C"), ("AC", "AC"), ("A", "A"), ("AA", "A"), ("A", "AA"), ("T", "G")]


VOCABULARY = {token: number for number, token in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"ACGT"))}


@st.composite
def made_up_merges(draw, *, alike):
    """Merges of two to four bases in an order that no sequence need have; ``alike``: two may spell one token."""
    tokens = list("ACGT")[: draw(st.integers(2, 4))]
    merges = []
    for left, right in draw(st.lists(st.tuples(st.integers(0), st.integers(0)), max_size=25)):
        pair = tokens[left % len(tokens)], tokens[right % len(tokens)]
        new = "".join(pair)
        if pair not in merges and (alike or new not in tokens):
            merges.append(pair)
            tokens += [] if new in tokens else [new]
    return merges


def sequences():
    """Text with what sequence comes with: soft masking, ambiguous bases, runs of one base, repeats, or nothing."""
    letters = st.sampled_from(["ACGT", "AC", "A", "ACGTN", "acgtACGTNR-"])
    repeated = st.builds(lambda unit, times: unit * times, st.text("ACGT", max_size=4), st.integers(0, 12))
    return st.lists(repeated | letters.flatmap(lambda some: st.text(some, max_size=40)), max_size=4).map("".join)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"


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


@pytest.mark.parametrize("alike", [False, True])
@settings(deadline=None)
@given(data=st.data())
def test_the_library_reads_the_file_and_encodes_alike(file, alike, data):
    tokenizer = Tokenizer(data.draw(made_up_merges(alike=alike)))
    tokenizer.save(file)
    library = Library.from_file(str(file))
    for sequence in data.draw(st.lists(sequences(), min_size=1, max_size=5)):
        ids = tokenizer.encode(sequence)
        assert ids.dtype == np.int32
        assert ids.tolist() == library.encode(sequence).ids
        assert tokenizer.decode(ids) == "".join(base if base in "ACGT" else "N" for base in sequence.upper())
        assert tokenizer.offsets(ids)[-1] == len(sequence)


@pytest.mark.parametrize(("block", "overlap"), [(7, 5), (40, 20)])
@settings(deadline=None)
@given(made_up_merges(alike=False), sequences())
def test_blocks_are_joined_as_if_merged_at_once(block, overlap, merges, sequence):
    tokenizer = Tokenizer(merges)
    with mock.patch.multiple("dnastudy.tokens.tokenizer", _BLOCK=block, _OVERLAP=overlap):
        in_blocks = tokenizer.encode(sequence)
    assert in_blocks.tolist() == tokenizer.encode(sequence).tolist()


def test_blocks_are_not_joined_before_a_token_that_the_end_of_one_cut_short():
    tokenizer = Tokenizer([("A", "C"), ("G", "AC")])
    with mock.patch.multiple("dnastudy.tokens.tokenizer", _BLOCK=2, _OVERLAP=1):
        assert tokenizer.encode("TGAC").tolist() == [8, 10]  # of T G A and A C


def test_blocks_that_share_no_token_are_merged_at_once():
    tokenizer = Tokenizer([("A", "A")])
    with (
        mock.patch.multiple("dnastudy.tokens.tokenizer", _BLOCK=21, _OVERLAP=9),
        mock.patch.object(tokenizer, "_merge_at_once", wraps=tokenizer._merge_at_once) as merge,
    ):
        assert tokenizer.encode(24 * "A" + "C" + 15 * "A").tolist() == [*12 * [9], 6, *7 * [9], 5]
        assert sorted(len(call.args[0]) for call in merge.call_args_list) == [19, 30]
        merge.reset_mock()
        # In a long run of one base, pairs that begin at an odd place never meet those that begin at an even one.
        assert tokenizer.encode(40 * "A").tolist() == 20 * [9]
        assert sorted(len(call.args[0]) for call in merge.call_args_list) == [19, 30, 40]


def test_an_earlier_merge_comes_due_again_where_two_spell_alike():
    # A CG never stands after the first merge, so that ACG is made by the last one, and the one before joins T to it.
    tokenizer = Tokenizer([("A", "C"), ("C", "G"), ("A", "CG"), ("ACG", "T"), ("AC", "G")])
    assert [tokenizer.tokens[number] for number in tokenizer.encode("ACGT")] == ["ACGT"]


def test_the_library_decodes(file):
    Tokenizer(MERGES).save(file)
    library = Library.from_file(str(file))
    assert library.decode(library.encode("acACaaa").ids) == "ACACAAA"


@pytest.mark.parametrize("tokenizer", [Tokenizer(MERGES), KmerTokenizer(3)], ids=["merges", "3-mers"])
def test_transformers_reads_the_file_and_encodes_alike(tmp_path, tokenizer):
    import transformers

    sequence = "ACACacgtNNaaaaRTGAC"
    tokenizer.save(tmp_path / "tokenizer.json")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    assert theirs(sequence)["input_ids"] == tokenizer.encode(sequence).tolist()

    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    tokenizer.save_for_transformers(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert theirs(sequence)["input_ids"] == [2, *tokenizer.encode(sequence).tolist(), 3]
    assert theirs(sequence, add_special_tokens=False)["input_ids"] == tokenizer.encode(sequence).tolist()
    assert theirs(["A", "ACGA"], padding=True)["input_ids"][0][-1] == 0
    specials = theirs.pad_token_id, theirs.unk_token_id, theirs.cls_token_id, theirs.sep_token_id, theirs.mask_token_id
    assert specials == (0, 1, 2, 3, 4)
    assert Tokenizer.load(tmp_path / "tokenizer.json").tokens == tokenizer.tokens


def test_offsets_are_in_bases():
    tokenizer = Tokenizer(MERGES)
    offsets = tokenizer.offsets(tokenizer.encode("ACACNAAATG"))
    assert offsets.dtype == np.int64
    assert offsets.tolist() == [0, 4, 5, 8, 10]
    assert tokenizer.offsets(tokenizer.encode("")).tolist() == [0]
    assert tokenizer.offsets(np.array([2, 5, 3])).tolist() == [0, 0, 1, 1]


def test_a_stretch_has_the_tokens_of_its_surroundings():
    tokenizer = Tokenizer([("A", "A")])
    ids, start = tokenizer.encode_within("CAAAAC", 2, 5)  # C AA AA C
    assert (ids.tolist(), start) == ([9, 9], 1)
    assert tokenizer.encode("CAAAAC"[2:5]).tolist() == [9, 5]
    ids, start = tokenizer.encode_within("CAAAAC", 2, 5, margin=0)
    assert (ids.tolist(), start) == ([9, 5], 2)
    # In a run that is longer than the margin, where pairs begin can't be seen.
    ids, start = tokenizer.encode_within("C" + 301 * "A", 200, 202)
    assert (ids.tolist(), start) == ([9], 200)
    ids, start = tokenizer.encode_within("C" + 301 * "A", 200, 202, margin=200)
    assert (ids.tolist(), start) == ([9, 9], 199)


@settings(deadline=None)
@given(made_up_merges(alike=False), sequences(), st.integers(0), st.integers(0))
def test_a_stretch_is_cut_from_the_whole_if_the_margin_holds_it(merges, sequence, first, last):
    sequence += "A"
    start, end = sorted((first % len(sequence), last % len(sequence)))
    tokenizer = Tokenizer(merges)
    ids, begin = tokenizer.encode_within(sequence, start, end + 1, margin=len(sequence))
    whole = tokenizer.encode(sequence)
    edges = tokenizer.offsets(whole)
    inside = (edges[1:] > start) & (edges[:-1] <= end)
    assert ids.tolist() == whole[inside].tolist()
    assert begin == edges[:-1][inside][0]


@pytest.mark.parametrize(("start", "end", "margin"), [(-1, 2, 0), (2, 2, 0), (3, 2, 0), (0, 5, 0), (0, 2, -1)])
def test_a_stretch_outside_the_sequence_is_refused(start, end, margin):
    found = rf"stretch {start} to {end} of a sequence of 4 bases, margin {margin}; expected"
    with pytest.raises(InputError, match=found):
        single_base().encode_within("ACGT", start, end, margin=margin)


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
        ({"model": {"type": "Unigram", "vocab": {}}}, "model type 'Unigram'; expected one of BPE, WordLevel"),
        ({"model": {"type": "BPE", "vocab": {"A": 0}, "merges": []}}, "C isn't in its vocabulary; expected .PAD., .U"),
        ({"model": {"type": "BPE", "vocab": VOCABULARY | {"N": 9}, "merges": []}}, "N is made by no merge"),
        ({"model": {"type": "WordLevel", "vocab": VOCABULARY | {"AA": 9}}}, "AC isn't in its vocabulary"),
        ({"model": {"type": "BPE", "vocab": VOCABULARY | {"A": 8, "T": 5}, "merges": []}}, "9 tokens numbered other"),
        (
            {"model": {"type": "BPE", "vocab": VOCABULARY | {"A": 8}, "merges": []}},
            "whole numbers, each its own",
        ),
        ({"model": {"type": "BPE", "vocab": VOCABULARY | {"A": "5"}, "merges": []}}, "aren't whole numbers"),
        ({"model": {"type": "BPE", "vocab": {}, "merges": ["A"]}}, "merge 'A'; expected two tokens"),
        ({"model": {"type": "BPE", "vocab": {}, "merges": ["A X"]}}, "merge 0 .A X.: 'X' isn't spelt in A C G T"),
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


def test_a_file_that_numbers_its_tokens_otherwise_is_read_with_its_ids(file):
    single_base().save(file)
    content = json.loads(file.read_text())
    theirs = ["A", "C", "G", "T", "AC", "ACG", "[CLS]", "[PAD]", "[UNK]", "[MASK]", "[SEP]"]
    content["model"] |= {"vocab": {token: number for number, token in enumerate(theirs)}, "merges": ["A C", "AC G"]}
    content["added_tokens"] = []
    file.write_text(json.dumps(content))
    tokenizer, numbers = load_foreign(file)
    assert tokenizer.merges == [("A", "C"), ("AC", "G")]
    assert numbers.tolist() == [7, 8, 6, 10, 9, 0, 1, 2, 3, 4, 5]
    assert numbers[tokenizer.encode("acgTNac")].tolist() == Library.from_file(str(file)).encode("acgTNac").ids
    with pytest.raises(InputError, match="11 tokens numbered otherwise"):
        Tokenizer.load(file)


@pytest.mark.parametrize(
    ("merges", "message"),
    [
        ([("AC", "A"), ("A", "C")], r"merge 0 \(AC A\): AC is neither a base nor made by an earlier merge"),
        ([("A", "CA"), ("C", "ACA")], r"merge 0 \(A CA\): CA is neither"),
        ([("A", "ACA")], r"merge 0 \(A ACA\): ACA is neither"),
        ([("A", "C"), ("C", "A"), ("A", "C")], r"merge 0 \(A C\) stands twice"),
        ([("a", "c")], r"merge 0 \(a c\): 'a' isn't spelt in A C G T"),
        ([("A", "U")], r"merge 0 \(A U\): 'U' isn't spelt"),
        ([("[UNK]", "A")], r"merge 0 \(\[UNK\] A\): '\[UNK\]' isn't spelt"),
        ([("A", "")], r"merge 0 \(A \): '' isn't spelt"),
        ([("A", "C", "G")], r"merge \('A', 'C', 'G'\); expected two tokens"),
        (["AC"], "merge 'AC'; expected two tokens"),
    ],
)
def test_merges_that_cannot_have_been_learnt_are_refused(merges, message):
    with pytest.raises(InputError, match=message):
        Tokenizer(merges)


def test_more_tokens_than_ids_of_16_bits_are_refused():
    words = ("".join(letters) for length in range(2, 9) for letters in itertools.product("ACGT", repeat=length))
    merges = [(word[:-1], word[-1]) for word in itertools.islice(words, 65_528)]
    assert len(Tokenizer(merges[:-1])) == 65_536
    with pytest.raises(InputError, match="65,537 tokens; expected at most 65,536"):
        Tokenizer(merges)


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
