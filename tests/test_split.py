"""Splits by place, and what of the held-out genes stands in training."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnastudy.files import InputError
from dnastudy.genes import decode, encode, leakage, reverse_complement
from dnastudy.genes.split import CROSSING, assign_splits, shared_bases, shared_mask


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
        ({"validation": 0.01}, r"the validation split holds none of the 4 genes"),
        ({"test_contigs": ["chr1", "chr2"]}, r"the train split holds none of the 4 genes"),
    ],
)
def test_splits_that_cannot_be_made_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        assign_splits(TWO_CONTIGS, ["chr1", "chr2"], **options)


def test_shared_bases_are_found_on_both_strands_and_not_across_unknown_bases():
    core = "ACGTTGCAAC"
    sequences = [
        "TT" + core + "TT",
        "GG" + core + "G",
        "CC" + decode(reverse_complement(encode(core))),
        "ACGTNTGCAAC",
    ]
    codes = [encode(sequence) for sequence in sequences]
    offsets = np.cumsum([0, *map(len, codes)])
    mask = shared_mask(np.concatenate(codes), offsets, np.array([0, 1, 2, 2]), k=10)
    found = [mask[a:b].astype(int).tolist() for a, b in itertools.pairwise(offsets)]
    assert found == [[0] * 14, [0, 0] + [1] * 10 + [0], [0, 0] + [1] * 10, [0] * 11]


@settings(deadline=None)
@given(st.text(alphabet="ACGTN", max_size=60), st.text(alphabet="ACGTN", max_size=60), st.integers(1, 6))
def test_shared_bases_agree_with_looking_up_strings(train, held_out, k):
    seen = {train[i : i + k] for i in range(len(train) - k + 1)}
    seen |= {decode(reverse_complement(encode(kmer))) for kmer in seen}
    expected = np.zeros(len(train) + len(held_out), dtype=bool)
    for i in range(len(held_out) - k + 1):
        kmer = held_out[i : i + k]
        if kmer in seen and "N" not in kmer:
            expected[len(train) + i : len(train) + i + k] = True
    offsets = np.array([0, len(train), len(train) + len(held_out)])
    assert shared_mask(encode(train + held_out), offsets, np.array([0, 2]), k=k).tolist() == expected.tolist()


def test_a_kmer_must_fit_64_bits():
    with pytest.raises(ValueError, match="between 1 and 31, not 32"):
        shared_mask(encode("A"), np.array([0, 1]), np.array([0]), k=32)


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


@pytest.mark.data
@pytest.mark.slow
def test_leakage_of_the_default_corpus(full_corpus):
    report = leakage(full_corpus).query("type == 'all'").set_index("split")
    assert report["genes"].to_dict() == {"validation": 198, "test": 447}
    assert report["genes_shared"].to_dict() == {"validation": 188, "test": 395}
    assert report["share_bases"].round(3).to_dict() == {"validation": 0.198, "test": 0.16}
