"""Families of genes by shared k-mers, against links counted by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnastudy.files import InputError
from dnastudy.genes import decode, encode, find_families, kmers, reverse_complement


def letters(length, seed):
    return np.random.default_rng(seed).integers(0, 4, length).astype(np.uint8)


def families_by_hand(genes, k, share):
    """The same through sets of strings, and components by relabelling until nothing changes."""
    sets = []
    for gene in map(decode, genes):
        kmers = {gene[i : i + k] for i in range(len(gene) - k + 1)}
        sets.append({min(m, decode(reverse_complement(encode(m)))) for m in kmers if "N" not in m})
    label = list(range(len(genes)))
    for i in range(len(genes)):
        for j in range(i):
            shared = len(sets[i] & sets[j])
            equal = decode(genes[i]) in (decode(genes[j]), decode(reverse_complement(genes[j])))
            if equal or (shared and shared >= share * min(len(sets[i]), len(sets[j]))):
                label = [label[j] if old == label[i] else old for old in label]
    first = list(dict.fromkeys(label))
    return [first.index(old) for old in label]


def test_families_chain_over_either_strand():
    one, two, alone = letters(300, 0), letters(300, 1), letters(200, 2)
    bridge = np.concatenate([reverse_complement(one), two])
    assert find_families([one, alone, two, bridge], share=0.5).tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(("shared", "linked"), [(39, False), (40, True)])
def test_a_tenth_of_the_shorter_genes_kmers_links(shared, linked):
    """A gene of 130 bases has 100 31-mers: 40 bases in common are 10 of them."""
    long, short = letters(400, 0), letters(130, 1)
    short[:shared] = long[100 : 100 + shared]
    short[shared] = 3 - long[100 + shared]  # so that chance does not lengthen the match
    assert (np.ptp(find_families([long, short])) == 0) == linked


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.text(alphabet="ACGTN", min_size=1, max_size=40), min_size=2, max_size=8),
    st.sampled_from([0, 0.3, 0.7]),
    st.booleans(),
)
def test_families_agree_with_sets_of_strings(genes, share, many_parts):
    genes = [encode(gene) for gene in genes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kmers, "K", 4)
        patch.setattr(kmers, "PART", 3 if many_parts else 1 << 22)
        assert find_families(genes, share=share).tolist() == families_by_hand(genes, 4, share)


def test_genes_shorter_than_a_kmer_are_linked_only_where_equal():
    genes = [encode(gene) for gene in ("ACCT", "ACCG", "AGGT", "N")]
    assert find_families(genes).tolist() == [0, 1, 0, 2]


def test_a_repeat_that_stands_in_every_gene_links_only_short_ones():
    repeat = letters(60, 0)
    genes = [np.concatenate([repeat, letters(length, seed)]) for seed, length in enumerate([2000] * 50 + [150] * 3, 1)]
    found = find_families(genes)
    assert found[:3].tolist() == [0, 0, 0]  # 30 of 180 31-mers link each short gene to all that hold the repeat
    assert found.max() == 0
    assert find_families(genes[:50]).tolist() == list(range(50))


def test_an_unknown_method_is_refused():
    with pytest.raises(InputError, match="family_method='kmer': no such method; did you mean 'kmers'"):
        find_families([encode("ACGT")], method="kmer")
    with pytest.raises(InputError, match="family_method='mmseqs2': no such method"):
        find_families([encode("ACGT")], method="mmseqs2")


def test_a_share_is_a_share():
    with pytest.raises(InputError, match="family_share: expected a share from 0 to 1, found 10"):
        find_families([encode("ACGT")], share=10)


@pytest.mark.data
@pytest.mark.slow
def test_a_tenth_keeps_the_families_of_chr19_apart_and_less_chains_them(full_corpus):
    on_chr19 = np.flatnonzero(full_corpus.genes["contig"] == "chr19")
    genes = [full_corpus.codes(gene) for gene in on_chr19]
    assert (len(genes), np.bincount(find_families(genes)).max()) == (1467, 11)
    assert np.bincount(find_families(genes, share=0)).max() == 1412
