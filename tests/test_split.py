"""Splits by place, and what of the held-out genes stands in training."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnastudy.files import InputError
from dnastudy.genes import coverage, encode, leakage, load_sequences
from dnastudy.genes.split import CROSSING, RELATED, assign_splits, draw_splits, find_copies, hold_out, shared_bases


def table(*genes):
    return pd.DataFrame(genes, columns=["contig", "start", "end"])


TWO_CONTIGS = table(("chr1", 0, 100), ("chr1", 200, 300), ("chr1", 880, 980), ("chr2", 0, 50))
ONE_CONTIG = table(*[("chr1", 200 * i, 200 * i + 100) for i in range(20)])


def test_the_last_contig_is_test_and_the_far_end_validation():
    split, rule = assign_splits(TWO_CONTIGS, ["chr1", "chr2"], validation=0.5)
    assert split.tolist() == [0, CROSSING, 1, 2]  # half of 300 bases ends inside the second gene
    assert rule == {"test": "chr2", "validation": "chr1 from base 251"}


def test_named_contigs_are_test_under_any_alias():
    split, rule = assign_splits(
        table(("chr2", 0, 50), ("chr19", 0, 100), ("chr19", 200, 300)),
        ["chr2", "chr19"],
        test_contigs=["2"],
        validation=0.5,
    )
    assert split.tolist() == [2, 0, 1]
    assert rule == {"test": "chr2", "validation": "chr19 from base 201"}


def test_a_single_contig_gives_its_far_tenth_to_test():
    split, rule = assign_splits(ONE_CONTIG, ["chr1"])
    assert split.tolist() == [0] * 16 + [CROSSING, 1] + [2, 2]
    assert rule["test"] == "chr1 from base 3,601"


def test_contigs_without_genes_are_not_held_out():
    assert assign_splits(ONE_CONTIG, ["chr1", "chr2"])[1]["test"] == "chr1 from base 3,601"


def test_the_far_end_may_take_in_whole_contigs():
    genes = table(("chr1", 0, 100), ("chr2", 0, 100), ("chr3", 0, 100), ("chr4", 0, 9))
    split, rule = assign_splits(genes, ["chr1", "chr2", "chr3", "chr4"], validation=0.6)
    assert split.tolist() == [0, CROSSING, 1, 2]
    assert rule["validation"] == "chr2 from base 21, chr3"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"test_contigs": ["chr9"]},
            r"test_contigs: contig 'chr9' carries no gene that was kept; expected one of chr1",
        ),
        ({"validation": 1.5}, r"validation: expected a share between 0 and 1, found 1.5"),
        ({"validation": 0.5, "test": 0.5}, r"validation and test: expected shares that leave something to train from"),
        ({"validation": 0.01}, r"the validation split holds none of the 4 genes"),
        ({"test_contigs": ["chr1", "chr2"]}, r"the train split holds none of the 4 genes"),
    ],
)
def test_splits_that_cannot_be_made_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        assign_splits(TWO_CONTIGS, ["chr1", "chr2"], **options)


SIXTY = {"test": 0.2, "validation": 0.2}  # and as many per cent to train from


def test_the_papers_random_split():
    split, rule = draw_splits(np.arange(22_886), SIXTY, seed=3)
    assert np.bincount(split).tolist() == [13_732, 4_577, 4_577]
    assert rule["test"] == "20% of the genes, drawn at random by seed 3"
    assert (draw_splits(np.arange(22_886), SIXTY, seed=3)[0] == split).all()
    other = draw_splits(np.arange(22_886), SIXTY, seed=4)[0]
    assert 700 < ((other == 2) & (split == 2)).sum() < 1_100  # a fifth of a fifth is 915


@given(st.lists(st.integers(0, 12), min_size=30, max_size=60), st.integers(0, 5))
def test_families_stay_whole_and_no_share_is_exceeded(families, seed):
    families = np.array(families)
    try:
        split, rule = draw_splits(families, {"test": 0.2, "validation": 0.3}, seed=seed)
    except InputError as error:
        assert "split holds none" in str(error)
        return
    assert all(len(set(split[families == family])) == 1 for family in set(families))
    assert (split == 2).sum() <= round(0.2 * len(families)) and (split == 1).sum() <= round(0.3 * len(families))
    assert rule["test"].endswith(f"in whole families (of {len(set(families))}), drawn at random by seed {seed}")


def test_a_family_too_large_for_a_share_is_trained_on():
    families = np.array([0] * 16 + [1, 1, 2, 2])
    for seed in range(4):
        split, _ = draw_splits(families, {"test": 0.1, "validation": 0.1}, seed=seed)
        assert not split[:16].any() and sorted([split[16], split[18]]) == [1, 2]
    with pytest.raises(InputError, match=r"the test split holds none .* The largest family has 18 genes"):
        draw_splits(np.array([0] * 18 + [1, 1]), {"test": 0.01})


def test_a_held_out_file_outranks_what_is_drawn():
    genes = [encode(s) for s in ("ACCT", "AGGT", "GG", "AAAAA", "TT", "ACCT")]
    split = np.array([0, 0, 0, 0, 0, 1])  # the first two equal the last, on either strand
    held = hold_out(genes, split, {"test": 0.3}, by_family=True)
    assert held.split[[0, 1, 5]].tolist() == [RELATED, RELATED, 1]
    assert sorted(held.split[2:5]) == [0, 0, 2] and held.families.tolist() == [0, 0, 1, 2, 3, 0]
    assert list(held.words) == ["validation", "test"] and held.rule["split"] == "family"
    at_random = hold_out(genes, split, {"test": 0.2}, by_family=False)
    assert sorted(at_random.split) == [0, 0, 0, 0, 1, 2] and at_random.families is None


def test_copies_are_found_on_both_strands():
    genes = [encode(s) for s in ("ACCT", "GG", "AGGT", "ACC", "CC", "GG", "ACCT")]
    split = np.array([0, 1, 2, 2, 2, 0, CROSSING])
    assert find_copies(genes, split).tolist() == [False, False, True, False, True, False, False]


def test_shared_bases_of_each_gene(corpus):
    shared = shared_bases(corpus)
    mask = corpus.inside("shared")
    counted = [int(mask[a:b].sum()) for a, b in itertools.pairwise(corpus.offsets)]
    assert shared.tolist() == counted
    assert not shared[corpus.indices("train")].any()


def test_leakage_of_the_sample(corpus):
    report = leakage(corpus).query("type == 'all'").set_index("split")
    assert report["genes"].to_dict() == {"validation": 6, "test": 27}
    assert report["genes_shared"].to_dict() == {"validation": 6, "test": 26}
    assert report["share_bases"].round(3).to_dict() == {"validation": 0.121, "test": 0.156}
    assert report.loc["test", "share_genes"] == 26 / 27


@pytest.fixture
def small(tmp_path):
    """Test genes of which train holds 40 bases, 31 on the other strand, and 28."""
    core = "ACGTTGCAACGGATCCTTAGACCATGGCATTAGCCGATTG"
    rows = {
        "train": [("a", core)],
        "validation": [("a", "GA" * 20)],
        "test": [("a", core + "T"), ("b", "A" * 40 + "GCTAATGCCATGGTCTAAGGATCCGTTGCAA"), ("b", "C" * 40 + core[:28])],
    }
    for name, genes in rows.items():
        lines = [f"{number},{kind},{sequence}" for number, (kind, sequence) in enumerate(genes)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["NCBIGeneID,GeneType,NucleotideSequence", *lines]))
    return load_sequences(tmp_path / "corpus", **{name: tmp_path / f"{name}.csv" for name in rows})


def test_leakage_by_type_and_length_of_match(small):
    report = leakage(small).query("split == 'test'").set_index("type")
    assert report["genes"].to_dict() == {"all": 3, "a": 1, "b": 2}
    assert report["genes_shared"].to_dict() == {"all": 2, "a": 1, "b": 1}
    assert report["genes_half_shared"].to_dict() == {"all": 1, "a": 1, "b": 0}
    assert report["share_bases"].round(4).to_dict() == {"all": 0.3944, "a": 0.9756, "b": 0.223}
    assert shared_bases(small).tolist() == [0, 0, 40, 31, 0]
    assert shared_bases(small, 24).tolist() == [0, 0, 40, 31, 28]
    assert leakage(small, 24).query("split == 'test' and type == 'b'")["share_genes"].tolist() == [1]


def test_coverage_is_a_histogram_of_shares(small):
    by_type = coverage(small, bins=4).query("split == 'test'")
    assert by_type.groupby("type")["genes"].sum().drop("all").sum() == 3
    table = by_type[by_type["type"] == "all"]
    assert table["genes"].tolist() == [1, 1, 0, 1]
    assert table["high"].tolist() == [0.25, 0.5, 0.75, 1]
    assert table["share_genes"].sum() == 1


@pytest.mark.data
@pytest.mark.slow
def test_leakage_of_the_default_corpus(full_corpus):
    report = leakage(full_corpus).query("type == 'all'").set_index("split")
    assert report["genes"].to_dict() == {"validation": 198, "test": 447}
    assert report["genes_shared"].to_dict() == {"validation": 188, "test": 395}
    assert report["share_bases"].round(3).to_dict() == {"validation": 0.198, "test": 0.16}
