import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnastudy.files import InputError
from dnastudy.tasks.floors import Uniform
from dnastudy.tasks.mutation import KINDS, discriminate, judge, make_pairs, mutate, read_pairs

GENE = "ACGTTGCAACGGTTCA" * 4
genes = st.text("ACGTN", min_size=1, max_size=60)


class Counting:
    """Likes A and counts what it is asked to score: -1 nat an A, -2 any other base."""

    def __init__(self):
        self.asked = []

    def log_likelihood(self, sequences):
        self.asked.extend(sequences)
        return np.array([-2.0 * len(s) + s.count("A") for s in sequences])


def distance(first, second):
    """Edit distance (Levenshtein)."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        above, row = row, [i]
        for j, b in enumerate(second, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
    return row[-1]


@settings(deadline=None)
@given(genes, st.integers(0, 10), st.integers(0, 2**32))
def test_substitutions_change_exactly_so_many_bases(gene, edits, seed):
    known = len(gene) - gene.count("N")
    if edits > known:
        with pytest.raises(InputError):
            mutate(gene, edits=edits, kinds=["substitution"], seed=seed)
        return
    mutated = mutate(gene, edits=edits, kinds=["substitution"], seed=seed)
    assert len(mutated) == len(gene)
    assert sum(a != b for a, b in zip(gene, mutated, strict=True)) == edits
    assert mutated.count("N") == gene.count("N")


@settings(deadline=None)
@given(genes, st.integers(0, 10), st.integers(0, 2**32))
def test_insertions_add_exactly_so_many_bases(gene, edits, seed):
    mutated = mutate(gene, edits=edits, kinds=["insertion"], seed=seed)
    assert len(mutated) == len(gene) + edits
    assert distance(gene, mutated) == edits


@settings(deadline=None)
@given(genes, st.integers(0, 10), st.integers(0, 2**32))
def test_deletions_take_exactly_so_many_bases_and_leave_one(gene, edits, seed):
    if edits >= len(gene) - gene.count("N"):
        with pytest.raises(InputError):
            mutate(gene, edits=edits, kinds=["deletion"], seed=seed)
        return
    mutated = mutate(gene, edits=edits, kinds=["deletion"], seed=seed)
    assert len(mutated) == len(gene) - edits
    assert distance(gene, mutated) == edits
    assert mutated.count("N") == gene.count("N")


@settings(deadline=None)
@given(st.text("AC", min_size=6, max_size=20), st.integers(1, 5), st.integers(0, 2**32))
def test_mixed_edits_never_undo_each_other_and_are_no_more_than_asked(gene, edits, seed):
    assert 1 <= distance(gene, mutate(gene, edits=edits, seed=seed)) <= edits


def test_mutating_is_repeatable_and_literal():
    assert mutate("acgtacgt", edits=0, seed=0) == "ACGTACGT"
    assert mutate(GENE, edits=5, seed=1) == mutate(GENE, edits=5, seed=1)
    assert mutate(GENE, edits=5, seed=1) != mutate(GENE, edits=5, seed=2)


def test_kinds_places_and_letters_are_drawn_evenly():
    single = [mutate("CCCC", edits=1, seed=seed) for seed in range(3000)]
    lengths = np.bincount([len(s) for s in single], minlength=6)[3:] / 3000
    assert lengths == pytest.approx([1 / 3] * 3, abs=0.04)
    substituted = [s for s in single if len(s) == 4]
    letters = [next(base for base in s if base != "C") for s in substituted]
    places = [next(i for i, base in enumerate(s) if base != "C") for s in substituted]
    assert [letters.count(base) / len(letters) for base in "AGT"] == pytest.approx([1 / 3] * 3, abs=0.05)
    assert np.bincount(places) / len(places) == pytest.approx([0.25] * 4, abs=0.05)
    inserted = [s.index("A") for s in single if len(s) == 5 and "A" in s]
    assert sorted(set(inserted)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"edits": 1, "kinds": ["swap"]}, r"edit kinds \('swap',\); expected one or more of substitution"),
        ({"edits": 1, "kinds": []}, "expected one or more"),
        ({"edits": 4}, "4 edits in a sequence of 4 known bases; expected 0 to 3"),
        ({"edits": -1}, "-1 edits"),
    ],
)
def test_bad_edits_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        mutate("ACNGT", seed=0, **arguments)


def test_pairs():
    pairs = make_pairs(["acgtacgt", GENE], edits=2, kinds=["substitution"], seed=4, ids=["x", "y"])
    assert pairs.columns.tolist() == ["id", "edits", "kind", "real", "mutated"]
    assert pairs["id"].tolist() == ["x", "y"]
    assert pairs["kind"].tolist() == ["substitution"] * 2
    assert pairs["real"].tolist() == ["ACGTACGT", GENE]
    assert [distance(a, b) for a, b in zip(pairs["real"], pairs["mutated"], strict=True)] == [2, 2]
    assert make_pairs([GENE], edits=1)["kind"].tolist() == ["mixed"]


def test_a_pair_depends_on_its_own_place_alone():
    alone = make_pairs([GENE], edits=3, seed=4)
    among = make_pairs([GENE, GENE], edits=3, seed=4)
    assert among["mutated"][0] == alone["mutated"][0]
    assert among["mutated"][1] != alone["mutated"][0]


def test_a_sequence_too_short_for_the_edits_is_named():
    with pytest.raises(InputError, match="sequence b: 5 edits in a sequence of 2"):
        make_pairs([GENE, "AC"], edits=5, ids=["a", "b"])
    with pytest.raises(InputError, match="1 ids for 2 sequences"):
        make_pairs([GENE, GENE], edits=1, ids=["a"])


def test_pairs_written_are_read(tmp_path):
    pairs = make_pairs([GENE, GENE[:20]], edits=2, ids=["x", "y"])
    pairs.to_csv(tmp_path / "pairs.tsv", sep="\t", index=False)
    read = read_pairs(tmp_path / "pairs.tsv")
    pd.testing.assert_frame_equal(read, pairs, check_dtype=False)


def test_a_file_without_edits_leaves_them_open(tmp_path):
    (tmp_path / "pairs.csv").write_bytes(b"\xef\xbb\xbfid,real,mutated,note\r\na,acgt,acga,x\r\n\r\n")
    read = read_pairs(tmp_path / "pairs.csv")
    assert read[["id", "kind", "real", "mutated"]].values.tolist() == [["a", "given", "ACGT", "ACGA"]]
    assert read["edits"].isna().all()


def test_the_papers_columns_are_read_compressed_too(tmp_path):
    with gzip.open(tmp_path / "pairs.csv.gz", "wt") as handle:
        handle.write("NCBIGeneID,RealNucleotideSequence,MutatedNucleotideSequence\n672,<ACGT>,<ACG>\n")
    read = read_pairs(tmp_path / "pairs.csv.gz")
    assert read[["id", "real", "mutated"]].values.tolist() == [["672", "ACGT", "ACG"]]


def test_genes_longer_than_a_csv_field_usually_is(tmp_path):
    (tmp_path / "pairs.tsv").write_text(f"id\treal\tmutated\na\t{'ACGT' * 50_000}\tA\n")
    assert len(read_pairs(tmp_path / "pairs.tsv")["real"][0]) == 200_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no column 'id'"),
        ("id\treal\n", "no column 'mutated' among id, real"),
        ("id\treal\tmutated\n", "a header and no pair"),
        ("id\treal\tmutated\na\tACGT\tACGA\nb\tAC\n", "line 3: 2 fields; expected 3"),
        ("id,real,mutated\na,ACGT,ACGA,T\n", "line 2: 4 fields; expected 3"),
        ("id,real,mutated\n\na,ACXT,ACGA\n", "line 3, column real: 'X' at base 3 is no nucleotide code"),
        ("id,real,mutated\na,ACGT,<>\n", "line 2, column mutated: no sequence"),
        ("id,real,mutated,edits\na,AC,AG,one\n", "line 2, column edits: 'one'; expected a whole number"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path, content, message):
    path = tmp_path / "pairs.txt"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as error:
        read_pairs(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unreadable_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"absent\.tsv: cannot be read"):
        read_pairs(tmp_path / "absent.tsv")
    whole = gzip.compress(b"id\treal\tmutated\na\tACGT\tACGA\n" * 50)
    (tmp_path / "cut.tsv.gz").write_bytes(whole[:-10])
    with pytest.raises(InputError, match="not a whole table"):
        read_pairs(tmp_path / "cut.tsv.gz")
    (tmp_path / "latin.tsv").write_bytes(b"id\treal\tmutated\n\xe9\tA\tC\n")
    with pytest.raises(InputError, match="not a whole table"):
        read_pairs(tmp_path / "latin.tsv")


def test_right_wrong_and_tied():
    judged = discriminate(Counting(), ["AAAA", "CCCC", "ACCC"], ["AAAC", "CCCA", "CACC"])
    assert judged["correct"].tolist() == [1, 0, 0.5]
    assert judged["ll_real"].tolist() == [-4, -8, -7]
    assert judged["bases_mutated"].tolist() == [4, 4, 4]
    assert discriminate(Counting(), ["ACCC"], ["CACC"], ties=0)["correct"].tolist() == [0]


def test_probability_favours_the_shorter():
    real, mutated = ["AACC"], ["AAC"]
    # Total nats -6 against -4, nats a base -1.5 against -1.33.
    assert discriminate(Counting(), real, mutated, score="probability")["correct"].tolist() == [0]
    # -3 against -4, but -1.5 against -1.33 a base.
    assert discriminate(Counting(), ["AC"], ["AAC"], score="probability")["correct"].tolist() == [1]
    assert discriminate(Counting(), ["AC"], ["AAC"])["correct"].tolist() == [0]


def test_scored_pairs_are_judged_by_either_score():
    scored = discriminate(Counting(), ["AC", "AAC"], ["AAC", "AC"])
    assert judge(scored, score="perplexity").tolist() == [0, 1]
    assert judge(scored, score="probability").tolist() == [1, 0]


def test_a_model_that_knows_nothing_ties_by_perplexity_at_any_length():
    lengths = range(3, 60)
    judged = discriminate(Uniform(), ["A" * n for n in lengths], ["A" * (n + 1) for n in lengths])
    assert judged["correct"].tolist() == [0.5] * len(lengths)


def test_each_distinct_sequence_is_scored_once():
    model = Counting()
    discriminate(model, ["AA", "AA", "CC"], ["CC", "AC", "AC"])
    assert sorted(model.asked) == ["AA", "AC", "CC"]


def test_bad_pairs_are_refused():
    with pytest.raises(InputError, match="score 'likelihood'; expected 'perplexity' or"):
        discriminate(Uniform(), ["A"], ["C"], score="likelihood")
    with pytest.raises(InputError, match="1 real and 0 mutated"):
        discriminate(Uniform(), ["A"], [])
    with pytest.raises(InputError, match="pair 1: a sequence without A, C, G or T"):
        discriminate(Uniform(), ["A", "C"], ["C", "NN"])


def test_kinds_are_the_papers():
    assert KINDS == ("substitution", "insertion", "deletion")
