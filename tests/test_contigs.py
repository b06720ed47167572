"""dnastudy.genes.contigs: which contigs are learnt from and which are held out."""

import numpy as np
import pytest

from dnastudy.files import InputError
from dnastudy.genes import decode, m5, read_contigs, read_genome
from dnastudy.genes.contigs import choose_contigs, read_chosen


@pytest.fixture
def files(tmp_path):
    (tmp_path / "a.fa").write_text(">1 first\nACGT\nAC\n>chr2\nggg\n")
    (tmp_path / "b.fa").write_text(">3\nTTNT\n")
    (tmp_path / "repeats.bed").write_text("chr1\t1\t3\nchr1\t2\t4\nchr3\t3\t4\n")
    return [tmp_path / "a.fa", tmp_path / "b.fa"]


def letters(found):
    return {split: decode(part.codes) for split, part in found.items()}


def test_of_a_genome_the_contigs_asked_for_are_kept(files):
    found = read_genome(files, {"chr3", "chr1", "chr9"})
    assert {name: (decode(codes), its) for name, (codes, its) in found.items()} == {
        "chr1": ("ACGTAC", m5("ACGTAC")),
        "chr3": ("TTNT", m5("TTNT")),
    }


def test_the_last_contig_is_held_out(files):
    found = read_contigs(files)
    assert letters(found) == {"train": "ACGTACNGGG", "test": "TTNT"}
    assert found["train"].contigs == {
        "chr1": {"length": 6, "m5": m5("ACGTAC")},
        "chr2": {"length": 3, "m5": m5("GGG")},
    }
    assert found["train"].repeats is None


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"test": ["chr1"]}, ("GGGNTTNT", "ACGTAC")),
        ({"train": ["3"]}, ("TTNT", "GGG")),
        ({"train": ["3", "1"]}, ("ACGTACNTTNT", "GGG")),
        ({"train": ["2"], "test": ["3"]}, ("GGG", "TTNT")),
    ],
)
def test_contigs_are_named(files, named, expected):
    assert tuple(letters(read_contigs(files, **named)).values()) == expected


def test_repeats_lie_where_the_track_says(files):
    found = read_contigs(files, repeats=files[0].with_name("repeats.bed"))
    assert np.flatnonzero(found["train"].repeats).tolist() == [1, 2, 3]
    assert (len(found["train"].repeats), found["test"].repeats.tolist()) == (10, [False, False, False, True])


def test_repeats_past_their_contig_are_refused(files):
    files[0].with_name("repeats.bed").write_text("chr3\t3\t9\n")
    with pytest.raises(InputError, match=r"repeats.bed, line 1: expected an interval inside chr3, which has 4 bases"):
        read_contigs(files, repeats=files[0].with_name("repeats.bed"))


def test_a_single_contig_is_halved(files):
    found = read_contigs(files[1:], repeats=files[0].with_name("repeats.bed"))
    assert letters(found) == {"train": "TT", "test": "NT"}
    assert list(found["test"].contigs) == ["chr3:3-4"]
    assert found["test"].contigs["chr3:3-4"] == {"length": 2, "m5": m5("NT")}
    assert found["test"].repeats.tolist() == [False, True]


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"train": ["4"]}, "no contig 'chr4' in the sequence; did you mean 'chr3'. expected one of chr1, chr2, chr3"),
        ({"train": ["1"], "test": ["chr1"]}, "chr1: both learnt from and held out"),
        ({"test": ["1", "2", "3"]}, "chr1, chr2, chr3: nothing left to learn from"),
        ({"train": ["1", "2", "3"]}, "chr1, chr2, chr3: nothing left to hold out"),
    ],
)
def test_what_cannot_be_is_refused(files, named, message):
    with pytest.raises(InputError, match=message):
        read_contigs(files, **named)


def test_a_single_contig_that_is_named_leaves_nothing(files):
    with pytest.raises(InputError, match="chr3: nothing left to hold out"):
        read_contigs(files[1:], train=["3"])


def test_a_contig_in_two_files_is_refused(files):
    with pytest.raises(InputError, match=r"b\.fa: a second contig named chr3"):
        read_contigs([*files, files[1]])


def test_of_contigs_that_are_all_named_no_others_are_read(tmp_path):
    (tmp_path / "a.fa").write_text(">22\nACGT\n>bad\nAC*T\n>chr19\nGG\n")
    found = read_chosen([tmp_path / "a.fa"], ["19"], ["22"])
    assert [(name, decode(codes)) for name, (codes, _) in found.items()] == [("chr22", "ACGT"), ("chr19", "GG")]
    assert choose_contigs(found, ["19"], ["22"]) == {"train": ["chr19"], "test": ["chr22"]}
    with pytest.raises(InputError, match=r"no contig 'chr2' in the sequence; .*chr22"):
        read_chosen([tmp_path / "a.fa"], ["19"], ["2"])
    with pytest.raises(InputError, match=r"base 3 of contig 'bad'"):
        read_chosen([tmp_path / "a.fa"], ["19"])
