import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnastudy.files import InputError
from dnastudy.genes import place_variants, read_variants
from dnastudy.tasks.mutation import (
    KINDS,
    make_pairs,
    make_published_pairs,
    make_variant_pairs,
    mutate,
    read_pairs,
    substituted_places,
)

GENE = "ACGTTGCAACGGTTCA" * 4
genes = st.text("ACGTN", min_size=1, max_size=60)


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


@pytest.mark.parametrize(("kinds", "growth"), [(["substitution"], 0), (["insertion"], 1), (["deletion"], -1)])
@settings(deadline=None)
@given(st.text("ACGT", min_size=12, max_size=60), st.integers(0, 10), st.integers(0, 2**32))
def test_edits_in_turn_are_no_more_than_asked_and_each_counts_in_the_length(kinds, growth, gene, edits, seed):
    mutated = mutate(gene, edits=edits, kinds=kinds, seed=seed, in_turn=True)
    assert len(mutated) == len(gene) + growth * edits
    assert distance(gene, mutated) <= edits
    assert mutated == mutate(gene, edits=edits, kinds=kinds, seed=seed, in_turn=True)


def test_in_turn_a_base_may_be_edited_twice_and_the_real_sequence_come_back():
    twice = [mutate("C", edits=1, kinds=["substitution"], seed=s, in_turn=True) for s in range(50)]
    assert set(twice) == {"A", "G", "T"}
    changed = [mutate("CC", edits=2, kinds=["substitution"], seed=s, in_turn=True) for s in range(600)]
    # Both on one place (1/2): back to C with 1/3, another base with 2/3.
    assert changed.count("CC") / 600 == pytest.approx(1 / 6, abs=0.04)
    assert sum(s.count("C") == 1 for s in changed) / 600 == pytest.approx(1 / 3, abs=0.05)
    assert all(mutate("CC", edits=2, kinds=["substitution"], seed=s).count("C") == 0 for s in range(50))


def test_in_turn_a_gene_shorter_than_its_edits_may_grow_and_never_runs_out():
    mutated = [mutate("ACG", edits=8, seed=seed, in_turn=True) for seed in range(300)]
    assert min(map(len, mutated)) >= 1 and max(map(len, mutated)) > 6
    with pytest.raises(InputError, match="8 edits in a sequence of 3 known bases"):
        mutate("ACG", edits=8, kinds=["deletion"], seed=0, in_turn=True)
    with pytest.raises(InputError, match="1 edits in a sequence of 0 known bases"):
        mutate("NN", edits=1, seed=0, in_turn=True)


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


def test_the_published_draw_takes_genes_again_and_one_to_n_edits_of_each_kind_alike():
    genes = ["ACGT" * 30, "GGCA" * 40, "TTAC" * 50]
    pairs = make_published_pairs(genes, most=5, draws=3000, seed=7, ids=["a", "b", "c"])
    assert pairs["id"].value_counts(normalize=True).to_numpy() == pytest.approx([1 / 3] * 3, abs=0.03)
    assert pairs["edits"].value_counts(normalize=True).sort_index().to_dict() == pytest.approx(
        dict.fromkeys(range(1, 6), 0.2), abs=0.03
    )
    assert (pairs["real"] == pairs["id"].map(dict(zip("abc", genes, strict=True)))).all()
    one = make_published_pairs(genes, most=1, draws=3000, seed=7)
    growth = one["mutated"].str.len() - one["real"].str.len()
    assert growth.value_counts(normalize=True).to_dict() == pytest.approx(dict.fromkeys((-1, 0, 1), 1 / 3), abs=0.03)
    assert one["kind"].unique().tolist() == ["mixed"]
    pd.testing.assert_frame_equal(pairs, make_published_pairs(genes, most=5, draws=3000, seed=7, ids=["a", "b", "c"]))


def test_a_published_draw_of_nothing_is_refused():
    with pytest.raises(InputError, match="0 sequences, at most 1 edits; expected at least one of both"):
        make_published_pairs([], most=1)
    with pytest.raises(InputError, match="1 sequences, at most 0 edits"):
        make_published_pairs([GENE], most=0)


def test_the_places_of_substitutions():
    pairs = pd.DataFrame({"real": ["ACGT"] * 4, "mutated": ["ACTT", "TCTT", "ACGTT", "ACGT"]})
    assert substituted_places(pairs, [0, 10, 20, 30]) == ["2", "10,12", None, None]


def test_variant_pairs_differ_from_the_reference_in_one_base_each(corpus, sample):
    placed = place_variants(corpus, read_variants(sample["snps.vcf.gz"], set(corpus.genes["contig"])))
    ends = corpus.offsets[placed["gene"]], corpus.offsets[placed["gene"] + 1]
    placed = placed[(placed["place"] >= ends[0] + 50) & (placed["place"] < ends[1] - 50)]
    pairs = make_variant_pairs(corpus, placed, length=101, seed=3)
    assert pairs["kind"].value_counts().to_dict() == dict.fromkeys(
        ["alternative allele", "neither allele", "same change elsewhere"], len(placed)
    )
    places = substituted_places(pairs, [0] * len(pairs))
    for (_, pair), place in zip(pairs.iterrows(), map(int, places), strict=True):
        variant = placed.set_index("id").loc[pair["id"]]
        change = pair["real"][place] + pair["mutated"][place]
        middle = place == 50
        if pair["kind"] == "neither allele":
            assert middle and change[0] == variant["ref"] and change[1] not in (variant["ref"], variant["alt"])
        else:
            assert change == variant["ref"] + variant["alt"]
            assert middle == (pair["kind"] == "alternative allele")
    assert (
        pairs["real"].iloc[0]
        == corpus.cut(pd.DataFrame({"start": placed["place"] - 50, "end": placed["place"] + 51}))[0]
    )


def test_a_variant_near_a_genes_end_and_one_without_another_such_base(corpus):
    gene = int(corpus.indices("test")[0])
    start, end = corpus.offsets[gene], corpus.offsets[gene + 1]
    placed = pd.DataFrame({"id": ["x"], "gene": [gene], "locus": [5], "place": [start + 1], "ref": ["A"], "alt": ["G"]})
    real = make_variant_pairs(corpus, placed, length=40)["real"].iloc[0]
    assert real == corpus.cut(pd.DataFrame({"start": [start], "end": [start + 40]}))[0]
    assert len(make_variant_pairs(corpus, placed, length=10**9)["real"].iloc[0]) == end - start
    alone = make_variant_pairs(corpus, placed, length=1)
    assert alone["kind"].tolist() == ["alternative allele", "neither allele"]


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


def test_kinds_are_the_papers():
    assert KINDS == ("substitution", "insertion", "deletion")
