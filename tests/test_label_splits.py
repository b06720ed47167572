import numpy as np
import pandas as pd
import pytest

from dnastudy.files import InputError
from dnastudy.genes.codes import encode, reverse_complement
from dnastudy.tasks.label_windows import Draw, assign, divide, hold_out
from dnastudy.tasks.memorization import copied_bases


def genome(**lengths):
    return {name: np.zeros(length, dtype=np.uint8) for name, length in lengths.items()}


def test_the_far_tenth_of_a_training_contigs_blocks_is_for_validation():
    regions = divide(genome(a=25_500_000, b=12_000_000), {"a": "train", "b": "test"})
    assert [tuple(region) for region in regions] == [
        ("a", "train", 0, 23_000_000, 1_000_000),
        ("a", "validation", 23_000_000, 25_500_000, 1_000_000),
        ("b", "test", 0, 12_000_000, 1_000_000),
    ]


def test_a_short_contig_has_ten_blocks():
    regions = divide(genome(a=95, b=10), {"a": "train", "b": "test"})
    assert [tuple(region) for region in regions] == [
        ("a", "train", 0, 90, 10),
        ("a", "validation", 90, 95, 10),
        ("b", "test", 0, 10, 1),
    ]


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"a": "train", "c": "test"}, "no contig 'c' in the sequence"),
        ({"a": "train", "b": "dev"}, "contig b: split 'dev'; expected train or test"),
        ({"a": "train", "b": "train"}, "a, b: none is test"),
        ({"a": "test"}, "a: none is train"),
        ({}, "no contig: none is train"),
    ],
)
def test_contigs_that_cannot_be_divided_are_refused(splits, message):
    with pytest.raises(InputError, match=message):
        divide(genome(a=100, b=100), splits)


def test_a_window_belongs_where_its_middle_lies():
    regions = divide(genome(a=1000, b=500), {"a": "train", "b": "test"})
    windows = pd.DataFrame({"contig": ["b", "a", "a", "a"], "start": [120, 94, 884, 896], "end": [130, 104, 896, 906]})
    found = assign(windows, regions)
    assert found["split"].tolist() == ["test", "train", "train", "validation"]
    # Nine blocks for training, then one for validation; the other contig's are of 50 bases.
    assert found["group"].tolist() == [12, 0, 8, 9]
    assert found.index.tolist() == [0, 1, 2, 3]


def random(n, seed, length=60):
    return list(np.random.default_rng(seed).integers(0, 4, (n, length)).astype(np.uint8))


def windows(split, labels, first=0, contig="a"):
    starts = first + 1000 * np.arange(len(labels))
    return pd.DataFrame({"contig": contig, "start": starts, "end": starts + 60, "label": labels, "split": split})


@pytest.fixture
def examples():
    """30 windows to learn from, 12 and 20 held out; labels 0 and 1, of which 1 is a third."""
    sizes = {"train": 30, "validation": 12, "test": 20}
    parts = [
        windows(split, np.arange(size) % 3 // 2, 100_000 * number) for number, (split, size) in enumerate(sizes.items())
    ]
    return pd.concat(parts, ignore_index=True), random(62, 0)


def test_as_many_of_each_class_are_drawn(examples):
    table, codes, facts = hold_out("X", *examples, ("no", "yes"))
    assert table.groupby(["split", "label"]).size().to_dict() == {
        ("train", 0): 10,
        ("train", 1): 10,
        ("validation", 0): 4,
        ("validation", 1): 4,
        ("test", 0): 6,
        ("test", 1): 6,
    }
    assert facts == {
        "train": {"candidates": 30},
        "validation": {"candidates": 12, "overlapping": 0, "sharing": 0},
        "test": {"candidates": 20, "overlapping": 0, "sharing": 0},
    }
    assert table["split"].drop_duplicates().tolist() == ["train", "validation", "test"]
    places = examples[0]["start"].tolist()
    assert all(
        (each == examples[1][places.index(start)]).all() for each, start in zip(codes, table["start"], strict=True)
    )


def test_no_more_than_asked_for_are_drawn_and_the_seed_says_which(examples):
    draws = [hold_out("X", *examples, ("no", "yes"), Draw({"train": 7, "test": 0}, seed=seed))[0] for seed in (0, 0, 1)]
    assert draws[0]["split"].value_counts().to_dict() == {"train": 6, "validation": 8, "test": 12}
    assert draws[0].equals(draws[1]) and not draws[0].equals(draws[2])
    assert len(hold_out("X", *examples, ("no", "yes"), Draw(4))[0]) == 12


def test_held_out_windows_that_overlap_training_are_dropped(examples):
    table, codes = examples
    table.loc[30, ["start", "end"]] = 59, 119  # one base of the first
    table.loc[31, ["start", "end"]] = 60, 120  # none, between the first and the second
    table.loc[32, ["start", "end"]] = 940, 1000
    table.loc[42, ["contig", "start", "end"]] = "b", 0, 60
    held_out, _, facts = hold_out("X", table.assign(unit=np.arange(62)), codes, ("no", "yes"), by="locus")
    assert [facts[split]["overlapping"] for split in ("validation", "test")] == [1, 0]
    assert len(held_out) == 61 and 59 not in held_out["start"].tolist() and 60 in held_out["start"].tolist()


@pytest.mark.parametrize("drop", [False, True])
def test_held_out_windows_with_31_training_bases_are_told_and_dropped_if_asked(examples, drop):
    table, codes = examples
    codes[42] = np.concatenate([random(1, 9, 29)[0], reverse_complement(codes[2])[:31]])
    codes[43] = np.concatenate([random(1, 10, 30)[0], codes[2][:30]])
    table = table.assign(unit=np.arange(62))
    held_out, _, facts = hold_out("X", table, codes, ("no", "yes"), Draw(drop_shared=drop), by="locus")
    assert facts["test"]["sharing"] == 1 and facts["validation"]["sharing"] == 0
    assert len(held_out) == 62 - drop
    assert held_out.loc[held_out["shared"], "start"].tolist() == ([] if drop else [200_000])


def test_pairs_are_drawn_and_dropped_together(examples):
    table, codes = examples
    table["unit"], table["label"] = np.arange(62) // 2, np.arange(62) % 2
    codes[43] = codes[2]
    held_out, _, _ = hold_out("X", table, codes, ("no", "yes"), Draw(9, drop_shared=True), by="pair")
    assert held_out.groupby(["split", "label"]).size().tolist() == [4] * 6
    everything, _, _ = hold_out("X", table, codes, ("no", "yes"), Draw(drop_shared=True), by="pair")
    assert len(everything) == 60 and not everything["start"].isin([200_000, 201_000]).any()


def test_loci_are_drawn_whole_until_there_are_enough(examples):
    table, codes = examples
    table["unit"], table["label"] = np.arange(62) // 2, np.arange(62) % 2
    most = {"train": 7, "validation": 1, "test": 6}
    drawn, _, _ = hold_out("X", table, codes, ("no", "yes"), Draw(most), by="locus")
    assert drawn.groupby(["split", "label"], sort=False).size().tolist() == [4, 4, 1, 1, 3, 3]
    assert (drawn["start"] // 2000).value_counts().unique().tolist() == [2]


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({"label": 0}, [], "X, train: found 30 of 'no', 0 of 'yes'; expected at least two classes"),
        ({"split": "train"}, [], "X, validation: found 0 of 'no', 0 of 'yes';"),
        ({}, [Draw({"test": 1})], "X, test: found 0 of 'no', 0 of 'yes' among 1 examples; expected"),
    ],
)
def test_a_split_without_a_class_is_refused(examples, change, arguments, message):
    table, codes = examples
    with pytest.raises(InputError, match=message):
        hold_out("X", table.assign(**change), codes, ("no", "yes"), *arguments)


def test_one_class_alone_is_refused(examples):
    table, codes = examples
    with pytest.raises(InputError, match="X, train: found 30 of 'yes'; expected at least two classes"):
        hold_out("X", table.assign(label=0), codes, ("yes",))


def test_bases_that_are_copied_from_training():
    train = [encode("A" * 10 + "ACGGTCATTGCAAGCTTACGGATCCATGCAAT")]
    held_out = [train[0][10:41], train[0][:40][10:40], reverse_complement(train[0])[:31], np.zeros(0, np.uint8)]
    assert copied_bases(train, held_out).tolist() == [31, 0, 31, 0]
    assert copied_bases(train, []).tolist() == []
