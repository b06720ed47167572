import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnastudy.genes import windows
from dnastudy.genes.codes import decode, encode, join, kmer_numbers, reverse_complement
from dnastudy.genes.corpus import write_corpus
from dnastudy.tasks.memorization import hide, longest_copies, repeat_shares

STRETCH = "ACGTTGCAACGGTTCATGCC"


def by_hand(sequence, train):
    """Longest common stretch of known bases by dynamic programming; 0 under 11."""
    best = 0
    for other in train:
        above = [0] * (len(other) + 1)
        for a in sequence:
            row = [0] * (len(other) + 1)
            for j, b in enumerate(other):
                if a == b != "N":
                    row[j + 1] = above[j] + 1
            above, best = row, max(best, *row)
    return best if best >= 11 else 0


def test_a_copied_stretch_is_measured():
    train = ["TTTT" + STRETCH + "GGGG", "CCCCCCCCCCCCC"]
    made = ["AAA" + STRETCH + "AAA", STRETCH[:11], STRETCH[:10], "", STRETCH[:12] + "N" + STRETCH[13:]]
    assert longest_copies(made, train).tolist() == [20, 11, 0, 0, 12]


def test_a_copy_ends_with_the_training_sequence():
    assert longest_copies([STRETCH], [STRETCH[:12], STRETCH[12:]]).tolist() == [12]


def test_the_other_strand_is_no_copy():
    reverse = STRETCH[::-1].translate(str.maketrans("ACGT", "TGCA"))
    assert longest_copies([reverse], [STRETCH]).tolist() == [0]


def test_codes_serve_as_well_as_letters():
    assert longest_copies([encode(STRETCH)], [encode(STRETCH)]).tolist() == [20]


def test_nothing_has_no_copies():
    assert longest_copies([], ["ACGT"]).tolist() == []
    assert longest_copies(["ACGT"], []).tolist() == [0]


@settings(deadline=None)
@given(
    st.lists(st.text("ACN", max_size=40), min_size=1, max_size=4),
    st.lists(st.text("ACN", max_size=50), max_size=4),
)
def test_as_by_hand(sequences, train):
    assert longest_copies(sequences, train).tolist() == [by_hand(s, train) for s in sequences]


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_as_by_hand_in_repeats(seed):
    rng = np.random.default_rng(seed)
    unit = "".join(rng.choice(list("ACGT"), rng.integers(1, 6)))
    train = [unit * rng.integers(1, 12), "".join(rng.choice(list("ACGT"), 20)) + unit * 5]
    sequences = [unit * rng.integers(1, 9) + "T" + unit * rng.integers(1, 9) for _ in range(3)]
    assert longest_copies(sequences, train).tolist() == [by_hand(s, train) for s in sequences]


def test_joining():
    text, starts = join(["AC", "", "G"])
    assert text.tolist() == [0, 1, 4, 4, 2, 4]
    assert starts.tolist() == [0, 3, 4]


def test_kmer_numbers():
    assert kmer_numbers(encode("AACTNGT"), 2).tolist() == [0, 1, 7, -1, -1, 11, -1]


@pytest.fixture
def overlapping(tmp_path):
    """Two training genes that share 10 bases of a contig, on opposite strands, a third, and a held-out one."""
    codes = np.random.default_rng(1).integers(0, 4, 200).astype(np.uint8)
    genes = pd.DataFrame(
        {
            "contig": "1",
            "start": [0, 50, 110, 150],
            "end": [60, 100, 140, 200],
            "strand": ["+", "-", "+", "+"],
            "locus": [0, 0, 1, 2],
        }
    )
    parts = [codes[:60], reverse_complement(codes[50:100]), codes[110:140], codes[150:]]
    repeats = np.array([5, 140]), np.array([45, 190])
    return write_corpus(tmp_path, parts, genes, np.array([0, 0, 0, 2], dtype=np.uint8), {"repeat": repeats}, {})


def test_a_share_of_a_training_repeat_is_found_on_either_strand(overlapping):
    repeat = decode(overlapping.all_codes[5:45])
    reverse = decode(reverse_complement(encode(repeat)))
    held_out = decode(overlapping.all_codes[140:190])
    sequences = [repeat, reverse, "C" * 20 + repeat[:20] + "N" * 10, repeat[:19], held_out, ""]
    assert repeat_shares(sequences, overlapping).tolist() == [1, 1, 0.4, 0, 0, 0]
    assert repeat_shares([repeat[:19]], overlapping, k=16).tolist() == [1]


def test_hidden_bases_are_unknown_in_every_gene_that_has_them(overlapping):
    # Ten bases at 48 to 57 of the first gene: the second, whose last 10 bases are the contig's 50 to 59, has 8 of them.
    chosen = pd.DataFrame({"gene": [0, 1], "start": [48, 60], "end": [58, 63], "locus": 0})
    hidden = hide(overlapping, chosen)
    assert np.flatnonzero(hidden == 4).tolist() == [*range(48, 58), 60, 61, 62, *range(102, 110)]
    same = hidden != 4
    assert (hidden[same] == overlapping.all_codes[same]).all()


def test_hidden_repeats_are_not_found(overlapping):
    repeat = decode(overlapping.all_codes[5:45])
    hidden = hide(overlapping, pd.DataFrame({"gene": [0], "start": [5], "end": [25], "locus": [0]}))
    assert repeat_shares([repeat], overlapping, hidden).tolist() == [0.5]


def test_what_is_hidden_is_the_sequence_of_the_windows(corpus):
    chosen = windows(corpus, "train", length=200, count=20)
    hidden = hide(corpus, chosen)
    assert all((hidden[start:end] == 4).all() for start, end in zip(chosen["start"], chosen["end"], strict=True))
    train = [hidden[start:end] for start, end in corpus.spans("train")]
    assert (longest_copies(corpus.cut(chosen), train) < 200).all()


def test_annotated_repeats_of_held_out_genes_are_told_from_the_rest(corpus):
    inside = corpus.inside("repeat")
    chosen = windows(corpus, "test", length=500, count=200)
    truth = np.array([inside[start:end].mean() for start, end in zip(chosen["start"], chosen["end"], strict=True)])
    found = repeat_shares(corpus.cut(chosen), corpus)
    assert np.corrcoef(truth, found)[0, 1] > 0.4
    assert found[truth == 0].mean() < 0.05
