import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dnastudy.genes.fasta import encode
from dnastudy.tasks.copies import join, kmer_numbers, longest_copies

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
