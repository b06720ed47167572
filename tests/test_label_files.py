import gzip

import numpy as np
import pytest

from dnastudy.files import InputError
from dnastudy.genes.codes import decode, encode, reverse_complement
from dnastudy.tasks.label_sets import read_labels


def sequences(n, seed=0, length=40):
    return [decode(codes) for codes in np.random.default_rng(seed).integers(0, 4, (n, length)).astype(np.uint8)]


def write(path, letters, labels, header="sequence,label", separator=","):
    lines = [header, *(f"{each}{separator}{label}" for each, label in zip(letters, labels, strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def files(tmp_path):
    """The form of GUE: train, dev and test of 30, 4 and 6 sequences, labelled 0 and 1 by turns."""
    folder = tmp_path / "prom_300_all"
    folder.mkdir()
    letters = sequences(40)
    cuts = {"train": slice(0, 30), "dev": slice(30, 34), "test": slice(34, 40)}
    return [
        write(folder / f"{name}.csv", letters[cut], [0, 1] * (len(letters[cut]) // 2)) for name, cut in cuts.items()
    ]


def test_three_files(files):
    labels = read_labels(*files)
    assert labels.name == "prom_300_all" and labels.classes == ("0", "1")
    assert labels.table["split"].value_counts().to_dict() == {"train": 30, "test": 6, "validation": 4}
    assert [decode(codes) for codes in labels.codes] == sequences(40)
    assert labels.table["label"].tolist() == [0, 1] * 20
    assert labels.table["group"].is_unique and labels.table["end"].unique().tolist() == [40]
    assert labels.facts == {
        "files": {"train": "train.csv", "validation": "dev.csv", "test": "test.csv"},
        "drop_shared": False,
        "validation": {"sharing": 0, "copies": 0},
        "test": {"sharing": 0, "copies": 0},
    }


def test_a_tenth_of_training_is_drawn_for_validation(files):
    train, _, test = files
    first, again, other = (read_labels(train, test=test, seed=seed) for seed in (0, 0, 1))
    assert first.table.groupby(["split", "label"]).size().to_dict() == {
        ("train", 0): 14,
        ("train", 1): 14,
        ("validation", 0): 1,
        ("validation", 1): 1,
        ("test", 0): 3,
        ("test", 1): 3,
    }
    assert first.table.equals(again.table) and all(map(np.array_equal, first.codes, again.codes))
    assert not all(map(np.array_equal, first.codes, other.codes))
    assert sorted(map(decode, first.codes)) == sorted(sequences(30) + sequences(40)[34:])


def test_one_file_with_a_column_of_splits(tmp_path):
    splits = ["train", "Train", "dev", "valid", "test", "TEST"]
    labels = [f"{word}\t{split}" for word, split in zip(["b", "a"] * 3, splits, strict=True)]
    path = write(tmp_path / "mine.tsv", sequences(6), labels, "Seq\tClass\tSplit", "\t")
    found = read_labels(path)
    assert found.name == "mine" and found.classes == ("a", "b")
    assert found.table["split"].tolist() == ["train", "train", "validation", "validation", "test", "test"]
    assert found.table["label"].tolist() == [1, 0, 1, 0, 1, 0]


def test_whole_numbers_are_in_their_order_and_before_words(tmp_path):
    words = ["10", "9", "-1", "none"]
    paths = [write(tmp_path / f"{name}.csv", sequences(4), words) for name in ("train", "dev", "test")]
    found = read_labels(*paths)
    assert found.classes == ("-1", "9", "10", "none")
    assert found.table["label"].tolist()[:4] == [2, 1, 0, 3]


def test_gz_windows_line_ends_lower_case_iupac_and_other_lengths_are_read(tmp_path, files):
    text = 'id,target,Sequence\r\n1, x ,"acgtryn"\r\n2,y,ACGTACGTAA\r\n'
    path = tmp_path / "train.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    found = read_labels(path, path, path)
    assert found.classes == ("x", "y")
    assert found.codes[0].tolist() == [0, 1, 2, 3, 4, 4, 4]
    assert found.table["end"].tolist() == [7, 10] * 3


def test_what_is_held_out_but_known_is_counted(tmp_path, files):
    train, dev, _ = files
    known = sequences(30)
    other_strand = decode(reverse_complement(encode(known[1])))
    test = write(tmp_path / "test.csv", [known[0], other_strand, known[2][:31] + "ACGT", known[3][:30]], [1, 0, 1, 0])
    found = read_labels(train, dev, test)
    assert found.facts["test"] == {"sharing": 3, "copies": 2}
    assert found.table["shared"].tolist() == [False] * 34 + [True, True, True, False]


def test_what_is_held_out_but_known_is_dropped_if_asked(tmp_path, files):
    train, dev, _ = files
    known, new = sequences(30), sequences(40)[34:]
    test = write(tmp_path / "test.csv", [known[0], new[0], known[2], new[1]], [1, 0, 1, 1])
    found = read_labels(train, dev, test, drop_shared=True)
    assert found.table["split"].value_counts().to_dict() == {"train": 30, "validation": 4, "test": 2}
    assert [decode(codes) for codes in found.codes[34:]] == new[:2]
    assert found.table["label"].tolist()[34:] == [0, 1] and found.table["group"].tolist() == list(range(36))
    assert found.facts["test"] == {"sharing": 2, "copies": 2} and found.facts["drop_shared"]
    test = write(tmp_path / "test.csv", [known[0], new[0], known[2], known[3]], [1, 0, 1, 1])
    left = "that don't stand in training, whole or with 31 of their bases"
    message = rf"test.csv, test: found 1 of '0', 0 of '1' {left}; expected"
    with pytest.raises(InputError, match=message):
        read_labels(train, dev, test, drop_shared=True)


def test_a_short_copy_is_dropped_as_well(tmp_path):
    short = sequences(8, length=12)
    train = write(tmp_path / "train.csv", short[:4], [0, 1] * 2)
    test = write(tmp_path / "test.csv", [short[0], short[1], short[4], short[5]], [0, 1] * 2)
    validation = write(tmp_path / "dev.csv", short[6:], [0, 1])
    found = read_labels(train, validation, test, drop_shared=True)
    assert found.facts["test"] == {"sharing": 2, "copies": 2}
    assert [decode(codes) for codes in found.codes[6:]] == short[4:6]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "train.csv: the file is empty; expected a header"),
        ("sequence,label\n", "train.csv: a header and no sequence"),
        ("dna,label\nACGT,0\n", "train.csv: no column 'sequence' among dna, label; expected one named sequence or seq"),
        ("sequence,y\nACGT,0\n", "train.csv: no column 'label' among sequence, y; .* label or class or target"),
        ("sequence,label\nACGT,0\nACXT,1\n", "train.csv, line 3: 'X' at base 3 is no nucleotide code"),
        ("sequence,label\n,0\n", "train.csv, line 2: no sequence"),
        ("sequence,label\nACGT,\n", "train.csv, line 2: no label; expected a whole number or a word"),
        ("sequence,label\nACGT,0,1\n", "train.csv, line 2: 3 fields; expected 2"),
        (
            "sequence,label\nACGT,1\nACGG,1\n",
            "train.csv: all 2 training sequences have the label '1'; expected at least",
        ),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path, files, content, message):
    bad = tmp_path / "train.csv"
    bad.write_text(content)
    other = write(tmp_path / "other.csv", sequences(2), [1, 1])
    with pytest.raises(InputError, match=message):
        read_labels(bad, other, other)


def test_a_label_that_training_lacks_is_refused(tmp_path, files):
    test = write(tmp_path / "test.csv", sequences(3), [0, 1, 2])
    with pytest.raises(InputError, match=r"test.csv, line 4: label '2', which no training sequence has; .* 0, 1\."):
        read_labels(files[0], files[1], test)


@pytest.mark.parametrize(("word", "known"), [("1.0", "1"), ("01", "1"), ("-0", "0"), ("1e0", "1")])
def test_one_number_in_two_ways_is_refused(tmp_path, files, word, known):
    line = 2 + int(known)
    test = write(tmp_path / "test.csv", sequences(3), ["0", word, "1"])
    expected = f"test.csv, line 3: label '{word}', which .*train.csv, line {line} writes as '{known}'; expected one way"
    with pytest.raises(InputError, match=expected):
        read_labels(files[0], files[1], test)


def test_words_of_one_value_as_numbers_are_no_two_ways_of_a_label(tmp_path):
    paths = [write(tmp_path / f"{name}.csv", sequences(3), ["nan", "e1", "1"]) for name in ("train", "dev", "test")]
    assert read_labels(*paths).classes == ("1", "e1", "nan")


def test_a_held_out_file_of_one_class_is_refused(tmp_path, files):
    test = write(tmp_path / "test.csv", sequences(3), [1, 1, 1])
    with pytest.raises(InputError, match=r"test.csv, test: found 0 of '0', 3 of '1'; expected"):
        read_labels(files[0], files[1], test)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sequence,label\nACGT,0\n", "no sequences to test on; give a file of them, or a column `split`"),
        ("sequence,label,split\nACGT,0,train\nACGG,1,held\n", "line 3: split 'held'; expected train, validation"),
        ("sequence,label,split\nACGT,0,train\nACGG,1,train\n", "no line whose split is test"),
    ],
)
def test_one_file_without_its_splits_is_refused(tmp_path, content, message):
    path = tmp_path / "all.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_labels(path)


def test_a_missing_file_is_refused(tmp_path, files):
    with pytest.raises(InputError, match="cannot be read"):
        read_labels(files[0], files[1], tmp_path / "no.csv")
